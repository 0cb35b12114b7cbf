"""A payment: its status, the facts that only grow, and the reasons for a person to look."""

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from payd.domain.evidence import NextAction, ProviderStatus, Receipt, ReceiptState
from payd.domain.money import Money, TokenTerms


class Status(enum.Enum):
    """Coarse, for the caller. See the transition table in `decide`."""

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
        """Whether payd still has something to do or to wait for."""
        return self in _OPEN

    @property
    def is_closed(self) -> bool:
        """Whether it ended without the money."""
        return self in _CLOSED


_OPEN = frozenset({Status.CREATING, Status.PENDING, Status.PROCESSING, Status.CANCELING})
_CLOSED = frozenset({Status.CANCELED, Status.EXPIRED, Status.FAILED})


class Attention(enum.Enum):
    """Why a person should look. Only those in MONEY are published as payment.attention."""

    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    UNDERPAID = "UNDERPAID"
    OVERPAID = "OVERPAID"
    PAID_AFTER_CLOSE = "PAID_AFTER_CLOSE"
    DUPLICATE_PAYMENT = "DUPLICATE_PAYMENT"
    AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
    WRONG_TOKEN = "WRONG_TOKEN"  # noqa: S105 - a reason, not a password
    CONFLICTING_EVIDENCE = "CONFLICTING_EVIDENCE"
    REFUNDED_EXTERNALLY = "REFUNDED_EXTERNALLY"
    DISPUTED = "DISPUTED"
    STUCK = "STUCK"


class Asking(enum.Enum):
    """What is known of the provider call that creates the provider's object."""

    #: Under way, by some daemon, until `ask_deadline`; after that it counts as UNKNOWN.
    ASKING = "ASKING"
    #: Provably nothing was sent: the same operation may be sent.
    NOT_ATTEMPTED = "NOT_ATTEMPTED"
    #: It may exist at the provider. Only a lookup, or the same operation again, can tell.
    UNKNOWN = "UNKNOWN"
    ANSWERED = "ANSWERED"


@attrs.frozen(kw_only=True)
class Customer:
    """The main app's user; `id` is the main app's own."""

    id: str
    wallet_address: str = ""
    email: str = ""


@attrs.frozen(kw_only=True)
class LineItem:
    """One product at the price it had when it was quoted."""

    chain_profile_id: str
    node_type: str
    duration: str
    unit_price: Money


@attrs.frozen(kw_only=True)
class Failure:
    """Why a payment FAILED: a short code for programs, a sentence for people."""

    code: str
    message: str


@attrs.frozen(kw_only=True)
class Origin:
    """Who caused a change, and in which request: kept in the audit trail.

    `actor` and `ip` are what a caller claims. `certificate` and `peer` are proven by its
    connection, and are empty for what payd does by itself.
    """

    actor: str
    request_id: str = ""
    ip: str = ""
    #: CN of the client certificate that made the call.
    certificate: str = ""
    #: IP address at the other end of the call's TCP connection.
    peer: str = ""
    traceparent: str = ""


@attrs.frozen(kw_only=True)
class Payment:
    """One row of `payments`, with its items and receipts. `version` grows by one a change."""

    id: UUID
    version: int = 1
    status: Status = Status.CREATING
    idempotency_key: str
    #: SHA-256 over the request's meaning: tells a repetition from a reuse of the key.
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
    #: What the provider made of it before it was first asked: every request sends these.
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    pricing_version: str
    request_id: str = ""
    traceparent: str = ""

    create_time: datetime
    update_time: datetime
    expire_time: datetime
    complete_time: datetime | None = None
    #: When it became EXPIRED, FAILED or CANCELED; starts the late window.
    close_time: datetime | None = None

    asking: Asking = Asking.ASKING
    ask_deadline: datetime | None = None
    provider_reference: str | None = None
    #: Other names under which the provider may report this payment.
    aliases: tuple[str, ...] = ()
    next_action: NextAction | None = None
    #: The newest snapshot's status, and its time: an older one never undoes it.
    provider_status: ProviderStatus | None = None
    provider_status_time: datetime | None = None

    #: The largest totals that any snapshot reported.
    snapshot_received: int = 0
    snapshot_confirmed: int = 0
    snapshot_refunded: int = 0
    receipts: tuple[Receipt, ...] = ()

    attention: frozenset[Attention] = frozenset()
    failure: Failure | None = None
    late: bool = False

    #: Looks at the provider since the last change; spaces the next one.
    checks: int = 0
    next_check_time: datetime | None = None

    @property
    def asset(self) -> str:
        """What has to arrive: a currency code, or a token's address."""
        return self.crypto.token_address if self.crypto else self.amount.currency_code

    @property
    def due(self) -> int:
        """In the unit of `asset`: minor units, or base units."""
        return self.crypto.due_base_units if self.crypto else self.amount.minor_units

    @property
    def received(self) -> int:
        """Seen, final or not. Channels report the same money, so the larger total counts."""
        moved = sum(receipt.amount for receipt in self._moved())
        return max(self.snapshot_received, self.snapshot_confirmed, moved)

    @property
    def confirmed(self) -> int:
        """Final at the provider. Never shrinks."""
        return max(self.snapshot_confirmed, self._final())

    @property
    def refunded(self) -> int:
        """Sent back at the provider, by whomever."""
        return self.snapshot_refunded

    def is_asset(self, asset: str) -> bool:
        """Whether money in `asset` counts towards what is due. Hex has no case."""
        return asset.lower() == self.asset.lower()

    def confirmed_by(self, end: datetime) -> int:
        """What is final of the money that had moved by then; only receipts know when they did."""
        return self._final(end)

    def has_moved_after(self, end: datetime) -> bool:
        """Whether some money, final or not, moved later than that."""
        return any(receipt.time > end for receipt in self._moved())

    def _final(self, end: datetime | None = None) -> int:
        final = (r for r in self._moved() if r.state is ReceiptState.CONFIRMED)
        return sum(r.amount for r in final if end is None or r.time <= end)

    def _moved(self) -> tuple[Receipt, ...]:
        moved = (ReceiptState.SEEN, ReceiptState.CONFIRMED)
        return tuple(r for r in self.receipts if r.state in moved and self.is_asset(r.asset))
