"""A refund: money that goes back to the customer, by payd's request or without it."""

import enum
from datetime import datetime, timedelta
from uuid import UUID

import attrs
from attrs.validators import instance_of, optional

from payd.domain.next_action import CryptoTransfer, NextAction, Redirect, Show
from payd.domain.outcome import Asking, Failure
from payd.domain.text import (
    are_aliases,
    cut_code,
    cut_message,
    is_amount,
    is_aware,
    is_name,
    is_name_or_empty,
    is_storable,
)


class RefundState(enum.Enum):
    """Status of the remote side's own refund object, which is not payd's `RefundStatus`.

    Of two reports the later value in this order wins: a refund that failed after it had succeeded
    has failed, in whatever order the reports arrive.

    Attributes:
        PENDING: On its way.
        SUCCEEDED: The money has left for the customer.
        CANCELED: Taken back at the remote side before it was sent.
        FAILED: It did not arrive: the money is ours again.
    """

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    CANCELED = "CANCELED"
    FAILED = "FAILED"


@attrs.frozen(kw_only=True)
class RefundSnapshot:
    """One refund of a payment as it stands at the remote side.

    The amount is in the unit of what is due: minor units of a currency, base units of a token.

    Attributes:
        reference: The remote side's own id of the refund, unique within the provider.
        state: Its state at the remote side.
        asset: ISO 4217 code, or the token's 0x-hex address.
        amount: Amount in minor units or base units.
        time: When it was made, by the remote side's clock.
        refund_id: payd's id of the refund where the remote side returns it, such as in its
            metadata; None for a refund that was not requested from payd, such as in the provider's
            dashboard.
        failure_code: Why it failed, in one word of the remote side.
        failure_message: Why it failed, for people.
        aliases: Other names of the payment's object that the report contains.
    """

    reference: str = attrs.field(validator=is_name)
    state: RefundState = attrs.field(validator=instance_of(RefundState))
    asset: str = attrs.field(validator=is_name_or_empty)
    amount: int = attrs.field(validator=is_amount)
    time: datetime = attrs.field(validator=is_aware)
    refund_id: UUID | None = attrs.field(default=None, validator=optional(instance_of(UUID)))
    failure_code: str | None = attrs.field(
        default=None, converter=cut_code, validator=optional(is_storable)
    )
    failure_message: str | None = attrs.field(
        default=None, converter=cut_message, validator=optional(is_storable)
    )
    aliases: tuple[str, ...] = attrs.field(default=(), validator=are_aliases)


@attrs.frozen(kw_only=True)
class RefundInstructions:
    """What the merchant has to send by hand, on a rail on which payd cannot send.

    Attributes:
        next_action: What to send, and where to.
    """

    next_action: NextAction = attrs.field(validator=instance_of((Redirect, CryptoTransfer, Show)))


class RefundStatus(enum.Enum):
    """Status of a refund, for callers. payment-model.md has the transition table."""

    #: Waits until an operator other than the requester approves it.
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    #: Stored, and its amount reserved; the provider's answer is not known yet.
    CREATING = "CREATING"
    #: The provider has it, and the money is on its way.
    PENDING = "PENDING"
    #: A person has to send the money, see `Refund.next_action`.
    AWAITING_TRANSFER = "AWAITING_TRANSFER"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def is_live(self) -> bool:
        """Whether its amount is reserved: it was or may still be paid out."""
        return self not in (RefundStatus.FAILED, RefundStatus.CANCELED)

    @property
    def is_open(self) -> bool:
        """Whether payd still waits for its outcome."""
        return self.is_live and self is not RefundStatus.SUCCEEDED


@attrs.frozen(kw_only=True)
class Refund:
    """A refund of a payment; it is stored, read and changed with its payment.

    Amounts are in the unit of what is due.
    """

    id: UUID
    status: RefundStatus
    amount: int = attrs.field(validator=is_amount)
    #: True when it was not requested from payd, but made at the provider.
    external: bool = False
    #: Empty for an external refund.
    idempotency_key: str = ""
    #: SHA-256 of the request's contents; distinguishes a retry from a reuse of the key.
    request_hash: bytes = b""
    #: Why, in the words of the person who requested it.
    reason: str = ""
    #: Where to send the money, on rails on which payd can only say what to send.
    destination: str = ""
    #: The certificate or user that requested it; another one has to approve it.
    requester: str = ""
    request_id: str = ""

    create_time: datetime
    update_time: datetime
    #: When it succeeded; None again if it failed after that.
    complete_time: datetime | None = None

    asking: Asking = Asking.NOT_ATTEMPTED
    #: Until when one daemon alone may send the request to the provider.
    ask_deadline: datetime | None = None
    #: The provider's own id of the refund.
    provider_reference: str | None = None
    #: What the merchant has to send, once the status was AWAITING_TRANSFER.
    next_action: NextAction | None = None
    failure: Failure | None = None

    #: Number of checks in this status; sets the delay before the next one.
    checks: int = 0
    next_check_time: datetime | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it ended by a person's word, which the provider has not confirmed."""
        has_ended = self.status in (RefundStatus.SUCCEEDED, RefundStatus.FAILED)
        return has_ended and self.asking is Asking.UNKNOWN

    @property
    def is_withdrawn(self) -> bool:
        """Whether a person took it back. A refund that the provider canceled has a failure."""
        return self.status is RefundStatus.CANCELED and self.failure is None

    @property
    def has_failed(self) -> bool:
        """Whether the customer did not get it, other than by the word of a person who took it back.

        A refund that the provider canceled has failed for the main app.
        """
        is_canceled = self.status is RefundStatus.CANCELED and not self.is_withdrawn
        return self.status is RefundStatus.FAILED or is_canceled


@attrs.frozen(kw_only=True)
class RefundTerms:
    """What the provider and the operator's settings allow for a refund that is requested."""

    #: Whether less than the whole payment can be refunded.
    partial: bool = True
    #: Whether a payment can be refunded more than once.
    several: bool = True
    #: How long after its end a payment can be refunded; None is for ever.
    window: timedelta | None = None
    #: Whether the request must say where the money is to go.
    needs_destination: bool = False
    #: From how many minor units on a second person has to approve; None is never.
    approval_from: int | None = None
