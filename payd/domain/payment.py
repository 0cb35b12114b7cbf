"""The payment: its status, the facts known about it, and why a person should look at it."""

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import attrs

from payd.domain.attention import Attention, AttentionRecord, add_fact, open_reasons
from payd.domain.dispute import Dispute
from payd.domain.evidence import ProviderStatus, Receipt
from payd.domain.money import Money, TokenTerms
from payd.domain.next_action import NextAction
from payd.domain.outcome import Asking, Failure
from payd.domain.refund import Refund, RefundStatus
from payd.domain.sums import ReceiptSums


class Status(enum.Enum):
    """Status of a payment, for callers. `decide` has the transition table."""

    CREATING = "CREATING"
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"

    @property
    def is_open(self) -> bool:
        """Whether payd still waits for money or for an answer of the provider."""
        return self in _OPEN

    @property
    def is_closed(self) -> bool:
        """Whether the payment ended without the full amount."""
        return self in _CLOSED

    @property
    def is_final(self) -> bool:
        """Whether payd waits for nothing more; only late money may still complete it."""
        return not self.is_open


_OPEN = frozenset({Status.CREATING, Status.PENDING, Status.PROCESSING, Status.CANCELING})
_CLOSED = frozenset({Status.CANCELED, Status.EXPIRED, Status.FAILED})


@attrs.frozen(kw_only=True)
class Customer:
    """A user of the main app; `id` is the id that the main app uses."""

    id: str
    wallet_address: str = ""
    email: str = ""


@attrs.frozen(kw_only=True)
class LineItem:
    """One product with its price at the time of the payment's creation.

    Attributes:
        chain_profile_id: First part of the product's name in the price list, such as
            `ethereum-mainnet`.
        node_type: Second part, such as `full`.
        duration: Third part, such as `30d`.
        unit_price: Price of one.
    """

    chain_profile_id: str
    node_type: str
    duration: str
    unit_price: Money


@attrs.frozen(kw_only=True)
class Origin:
    """Origin of a change for the audit trail: actor, request and connection.

    A caller claims `actor` and `ip`. Its connection proves `certificate` and `peer`; both are empty
    for work that payd does by itself.
    """

    actor: str
    request_id: str = ""
    ip: str = ""
    #: Common name (CN) of the client certificate.
    certificate: str = ""
    #: IP address at the other end of the call's TCP connection.
    peer: str = ""
    traceparent: str = ""
    #: Spans of the webhooks whose reports led to it.
    linked_spans: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Payment:
    """A payment, with its items and the sums of its receipts.

    Each change increases `version` by one.
    """

    id: UUID
    version: int = 1
    status: Status = Status.CREATING
    idempotency_key: str
    #: SHA-256 of the request's contents; distinguishes a retry from a reuse of the key.
    request_hash: bytes
    customer: Customer
    method: str
    provider: str
    amount: Money
    #: Set when the method takes tokens; then `due` is in base units.
    crypto: TokenTerms | None = None
    items: tuple[LineItem, ...]
    subscription_ids: tuple[str, ...] = ()
    return_url: str = ""
    cancel_url: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    #: Request parameters that the provider prepared before the first call; every retry sends them.
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    pricing_version: str
    request_id: str = ""
    traceparent: str = ""

    create_time: datetime
    update_time: datetime
    expire_time: datetime
    complete_time: datetime | None = None
    #: When it became EXPIRED, FAILED or CANCELED; the late window starts here.
    close_time: datetime | None = None

    asking: Asking = Asking.ASKING
    ask_deadline: datetime | None = None
    provider_reference: str | None = None
    #: Other names under which the provider may report this payment.
    aliases: tuple[str, ...] = ()
    next_action: NextAction | None = None
    #: Status and time of the newest snapshot; an older snapshot does not replace them.
    provider_status: ProviderStatus | None = None
    provider_status_time: datetime | None = None

    #: Totals of snapshots, in the unit of `due`: `received` of the newest, else the largest.
    snapshot_received: int = 0
    snapshot_confirmed: int = 0
    #: What had been refunded when payd did not yet keep each refund. It never changes.
    snapshot_refunded: int = 0
    #: Sums of all its receipts, and those receipts that were asked for or decided on, by id.
    sums: ReceiptSums = attrs.field(factory=ReceiptSums)
    receipts: tuple[Receipt, ...] = ()

    #: Its refunds, sorted by `create_time` and id, and its disputes, by `open_time` and id.
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    #: What the provider keeps of the money, in the unit of `due`, where it says so.
    fee: int | None = None

    #: Why a person should look, or should have looked; oldest first, one for each reason.
    attention_records: tuple[AttentionRecord, ...] = ()
    failure: Failure | None = None
    late: bool = False

    #: Number of status checks since the last change; sets the delay before the next one.
    checks: int = 0
    next_check_time: datetime | None = None

    @property
    def asset(self) -> str:
        """The asset that has to arrive: a currency code, or a token's address."""
        return self.crypto.token_address if self.crypto else self.amount.currency_code

    @property
    def due(self) -> int:
        """The amount due, in minor units of a currency or base units of a token."""
        return self.crypto.due_base_units if self.crypto else self.amount.minor_units

    @property
    def received(self) -> int:
        """Amount seen, final or not.

        Snapshots and receipts may report the same money, so the larger total counts, not the sum.
        """
        moved = sum(self.sums.seen) + sum(self.sums.confirmed)
        return max(self.snapshot_received, self.snapshot_confirmed, moved)

    @property
    def may_have_receipts(self) -> bool:
        """Whether the store may have receipts of it, of whatever state.

        False for a payment that has not changed since its provider answered `create`: a receipt
        comes with a change. So most payments that are looked at need no look into the ledger.
        """
        is_new = self.version == 1
        is_answered = self.version == 2 and self.status is Status.PENDING
        return not (is_new or (is_answered and self.provider_status is None))

    @property
    def confirmed(self) -> int:
        """Amount that is final at the provider. It never decreases."""
        return max(self.snapshot_confirmed, sum(self.sums.confirmed))

    def late_end(self, late_window: timedelta) -> datetime:
        """The last moment at which money may move and still complete the payment.

        Closing may have waited for a status check. That does not extend the window: receipts carry
        the time at which the money moved.
        """
        return min(self.close_time or self.expire_time, self.expire_time) + late_window

    @property
    def refunded(self) -> int:
        """Amount returned, whether payd or a person started it. It falls when a refund fails."""
        return max(self.snapshot_refunded, sum(map(_succeeded, self.refunds)))

    @property
    def refunded_unlisted(self) -> int:
        """The part of `snapshot_refunded` that none of the refunds explains."""
        return max(0, self.snapshot_refunded - sum(map(_succeeded, self.refunds)))

    @property
    def attention(self) -> frozenset[Attention]:
        """The reasons that a person still has to look at."""
        return open_reasons(self.attention_records)

    def is_asset(self, asset: str) -> bool:
        """Whether money in `asset` counts towards what is due. Case is ignored, as in hex."""
        return asset.lower() == self.asset.lower()


def _succeeded(refund: Refund) -> int:
    return refund.amount if refund.status is RefundStatus.SUCCEEDED else 0


def flag(payment: Payment, reason: Attention, fact: str, now: datetime) -> Payment:
    """Return the payment with one more fact behind a reason for attention."""
    records = add_fact(payment.attention_records, reason, fact, now)
    return attrs.evolve(payment, attention_records=records)


def name_also(payment: Payment, aliases: tuple[str, ...]) -> Payment:
    """Return the payment with further names under which the provider may report it."""
    return attrs.evolve(payment, aliases=tuple(dict.fromkeys((*payment.aliases, *aliases))))


def find_refund(payment: Payment, refund_id: UUID) -> Refund | None:
    """The payment's refund with this id, if any."""
    return next((refund for refund in payment.refunds if refund.id == refund_id), None)


def put_refund(payment: Payment, refund: Refund) -> Payment:
    """The payment with one of its refunds new or replaced, oldest first."""
    others = (one for one in payment.refunds if one.id != refund.id)
    ordered = sorted((*others, refund), key=lambda one: (one.create_time, str(one.id)))
    return attrs.evolve(payment, refunds=tuple(ordered))
