"""Values of refunds, disputes and reasons for attention."""

import enum
from datetime import datetime
from uuid import UUID

import attrs

from payd_client.parts import Failure, Money, NextAction, is_address, is_base_units, is_decimals
from payd_client.proto import payment_pb2 as pb


class RefundStatus(enum.Enum):
    """Status of a refund; docs/reference.md says what to do in each."""

    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    CREATING = "CREATING"
    PENDING = "PENDING"
    AWAITING_TRANSFER = "AWAITING_TRANSFER"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def is_open(self) -> bool:
        """Whether payd still waits for a person or for the provider."""
        return self not in (RefundStatus.SUCCEEDED, RefundStatus.FAILED, RefundStatus.CANCELED)


class DisputeStatus(enum.Enum):
    """Status of a dispute, or of an inquiry before one."""

    INQUIRY = "INQUIRY"
    INQUIRY_CLOSED = "INQUIRY_CLOSED"
    NEEDS_RESPONSE = "NEEDS_RESPONSE"
    UNDER_REVIEW = "UNDER_REVIEW"
    WITHDRAWN = "WITHDRAWN"
    WON = "WON"
    LOST = "LOST"


@attrs.frozen(kw_only=True)
class RefundRequest:
    """A refund to request. The proto describes each field and its limits."""

    payment_id: UUID | str
    #: The same key always returns the same refund: choose it once for each refund and store it.
    idempotency_key: str
    #: In the payment's currency; None refunds all that is left.
    amount: Money | None = None
    reason: str = ""
    #: Where to send the money, on rails on which payd can only say what to send.
    destination: str = ""


@attrs.frozen(kw_only=True)
class RefundCrypto:
    """Exact token amount of a refund, in base units."""

    currency: str
    #: 0x-hex.
    token_address: str = attrs.field(validator=is_address)
    decimals: int = attrs.field(validator=is_decimals)
    amount_base_units: int = attrs.field(validator=is_base_units)


@attrs.frozen(kw_only=True)
class Refund:
    """A refund as payd returned or published it. The proto describes each field."""

    id: UUID
    payment_id: UUID
    #: Empty for an external refund.
    idempotency_key: str
    status: RefundStatus
    #: For tokens rounded down to minor units; `crypto` has the exact amount.
    amount: Money
    crypto: RefundCrypto | None
    reason: str
    destination: str
    provider_reference: str
    #: What a person has to send, while the status is AWAITING_TRANSFER.
    next_action: NextAction | None
    failure: Failure | None
    create_time: datetime
    update_time: datetime
    complete_time: datetime | None
    #: Made at the provider, such as in its dashboard, and not requested from payd.
    external: bool
    #: The certificate or the console's operator that requested it, and cannot approve it.
    requester: str
    #: The protobuf message. It also keeps fields that a newer payd has added.
    message: pb.Refund = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class RefundPage:
    """Some refunds, newest first."""

    refunds: tuple[Refund, ...]
    #: For the next page; empty on the last one.
    next_page_token: str


@attrs.frozen(kw_only=True)
class Dispute:
    """A dispute: the customer's bank takes a payment back, or asks about it."""

    #: The provider's own id.
    id: str
    status: DisputeStatus
    #: In the asset that the provider names; None for a token that is not the payment's.
    amount: Money | None
    #: As the provider names it, such as `fraudulent`.
    reason: str
    open_time: datetime
    close_time: datetime | None
    #: Until when the merchant can answer, where the provider says so.
    evidence_due_time: datetime | None


@attrs.frozen(kw_only=True)
class AttentionRecord:
    """A reason why a person should look at a payment, or looked."""

    reason: str
    since: datetime
    #: None while it is open.
    resolved_time: datetime | None
    #: The operator; empty when it went away by itself, and in events.
    resolved_by: str
    note: str
