"""Evidence: everything that `decide` takes in, from providers, callers and recovery."""

import enum
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import attrs
from attrs.validators import and_, deep_iterable, instance_of, optional

from payd.domain.attention import Attention
from payd.domain.dispute import Dispute
from payd.domain.next_action import CryptoTransfer, NextAction, Redirect, Show
from payd.domain.refund import Refund, RefundInstructions, RefundSnapshot, RefundTerms
from payd.domain.text import (
    are_aliases,
    are_details,
    cut_code,
    cut_message,
    is_amount,
    is_aware,
    is_name,
    is_name_or_empty,
    is_storable,
    is_whole,
)


class ProviderStatus(enum.Enum):
    """Status of the provider's own object, which is not the payment's status.

    Attributes:
        OPEN: The customer can pay.
        PROCESSING: The customer has paid, and the money is on its way: nothing closes the payment.
        PAID: All of it is paid and final.
        CANCELED: Closed by us, or by the merchant at the remote side; it cannot be paid.
        EXPIRED: Closed by its time; it cannot be paid.
        DECLINED: Refused for good; it cannot be paid.
    """

    OPEN = "OPEN"
    PROCESSING = "PROCESSING"
    PAID = "PAID"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    DECLINED = "DECLINED"


class ReceiptState(enum.Enum):
    """How final one arrival of money is. A later value replaces an earlier one.

    Attributes:
        SEEN: Reported, but not final: it may still be undone.
        DROPPED: Undone before it was final, for example by a reorganisation of the chain.
        HELD: Held back by the bank or chain: it is not ours until it is released.
        CONFIRMED: Final: the money is ours.
    """

    SEEN = "SEEN"
    DROPPED = "DROPPED"
    HELD = "HELD"
    CONFIRMED = "CONFIRMED"


_RECEIPT_RANK = {state: rank for rank, state in enumerate(ReceiptState)}


@attrs.frozen(kw_only=True)
class Snapshot:
    """The provider's object as it stood at `as_of`, with totals, not differences.

    Amounts are in the unit of what is due: minor units of a currency, base units of a token.

    Attributes:
        status: Status of the object itself.
        asset: ISO 4217 code, or the token's 0x-hex address.
        received: Total that arrived so far, final or not. Refunds do not lower it.
        confirmed: The part of `received` that is final at the provider. While the payment is open
            it counts as paid in time, whenever it is read. Where the time of the money has to
            decide, report receipts.
        as_of: When the object stood so, by the remote side's clock; where it reports no time, when
            the request was sent. Of two snapshots with the same `as_of` the one counts whose status
            is later in the order of ProviderStatus, then the one with more `received`. An object
            that is still open after the payment's expiry lets the payment expire.
        due: The amount that the object asks for. If it is not what is due, its money does not
            count; None where the object asks for no amount.
        reference: The object's own reference; None if the report names only the payment or an
            alias.
        aliases: Other names of the object that this report contains.
        failure_code: Why it was declined, in one word of the remote side.
        failure_message: Why it was declined, for people.
        refunds: All refunds of the object that this report contains; one that is missing proves
            nothing.
        disputes: All disputes of the object that this report contains.
        fee: What the provider keeps of the money, in the same unit, where it says so; for
            accounting.
    """

    status: ProviderStatus = attrs.field(validator=instance_of(ProviderStatus))
    asset: str = attrs.field(validator=is_name_or_empty)
    received: int = attrs.field(validator=is_amount)
    confirmed: int = attrs.field(validator=is_amount)
    as_of: datetime = attrs.field(validator=is_aware)
    due: int | None = attrs.field(default=None, validator=optional(is_whole))
    reference: str | None = attrs.field(default=None, validator=optional(is_name_or_empty))
    aliases: tuple[str, ...] = attrs.field(default=(), validator=are_aliases)
    failure_code: str | None = attrs.field(
        default=None, converter=cut_code, validator=optional(is_storable)
    )
    failure_message: str | None = attrs.field(
        default=None, converter=cut_message, validator=optional(is_storable)
    )
    refunds: tuple[RefundSnapshot, ...] = attrs.field(
        default=(), validator=and_(instance_of(tuple), deep_iterable(instance_of(RefundSnapshot)))
    )
    disputes: tuple[Dispute, ...] = attrs.field(
        default=(), validator=and_(instance_of(tuple), deep_iterable(instance_of(Dispute)))
    )
    fee: int | None = attrs.field(default=None, validator=optional(is_amount))


@attrs.frozen(kw_only=True)
class Receipt:
    """One arrival of money. The provider gives it an id that never changes.

    Attributes:
        id: Unique within the provider.
        asset: ISO 4217 code, or the token's 0x-hex address.
        amount: Amount in minor units or base units.
        state: How final it is.
        time: When the money moved, by the clock of the bank or chain (the time of the block).
        details: For the person that has to match or return it: sender, reference, place of record.
            `likely_payment` is the id of the payment that it was probably meant for, such as one
            whose reference was mistyped: payd shows it, and never credits by it.
    """

    id: str = attrs.field(validator=is_name)
    asset: str = attrs.field(validator=is_name_or_empty)
    amount: int = attrs.field(validator=is_amount)
    state: ReceiptState = attrs.field(validator=instance_of(ReceiptState))
    time: datetime = attrs.field(validator=is_aware)
    details: Mapping[str, str] = attrs.field(factory=dict, eq=False, validator=are_details)

    def outranks(self, other: "Receipt") -> bool:
        """Whether this report of a receipt is more final than `other`, another report of it."""
        return _RECEIPT_RANK[self.state] > _RECEIPT_RANK[other.state]


@attrs.frozen(kw_only=True)
class Outflow:
    """Money that left our account. It belongs to no payment; the audit of balances needs it.

    Attributes:
        id: Unique within the provider.
        asset: ISO 4217 code, or the token's 0x-hex address.
        amount: Amount in minor units or base units.
        time: When the money moved, by the clock of the bank or chain.
        details: For a person: receiver, place of record.
    """

    id: str = attrs.field(validator=is_name)
    asset: str = attrs.field(validator=is_name_or_empty)
    amount: int = attrs.field(validator=is_amount)
    time: datetime = attrs.field(validator=is_aware)
    details: Mapping[str, str] = attrs.field(factory=dict, eq=False, validator=are_details)


@attrs.frozen(kw_only=True)
class Observation:
    """One report of a provider about one payment.

    Attributes:
        id: Unique within the provider; the same report always has the same id.
        reference: The stored provider reference, one of its aliases, the payment id, or the id of
            one of its refunds; empty for receipts that name no payment.
        fact: A Snapshot, a tuple of receipts, a RefundSnapshot, a Dispute; or a Conflict, which
            marks a report that contradicts what payd knows, such as test money in production.
        also: Another name by which the report names the payment, in the form of `reference`, such
            as what the customer wrote beside an address of the payment's own. It counts where
            `reference` names no payment. Where both name one and they differ, that of `reference`
            gets the fact, and attention.
    """

    id: str = attrs.field(validator=is_name_or_empty)
    reference: str = attrs.field(validator=is_name_or_empty)
    fact: "Snapshot | tuple[Receipt, ...] | RefundSnapshot | Dispute | Conflict" = attrs.field()
    also: str = attrs.field(default="", validator=is_name_or_empty)

    @fact.validator
    def _is_fact(self, _attribute: object, fact: object) -> None:
        if isinstance(fact, tuple):
            if not all(type(receipt) is Receipt for receipt in fact):
                raise ValueError("fact: a tuple must have receipts only")
        elif type(fact) not in (Snapshot, RefundSnapshot, Dispute, Conflict):
            raise ValueError(f"fact: must be a fact, is a {type(fact).__name__}")
        elif not self.reference:
            raise ValueError("reference: only receipts may name no payment")


@attrs.frozen(kw_only=True)
class Created:
    """The provider has the payable object: its answer to `create`, or the result of a lookup.

    Attributes:
        reference: The remote side's id of the object, never empty. It is stored; later calls and
            reports name the object by it.
        next_action: What the customer has to do; None if nothing is left to do.
        aliases: Other ids of the object by which reports may name it.
        expire_time: When the remote side closes the object by itself, if it says so. The payment
            then expires at this time, unless it expires earlier: never later than its caller
            expects.
    """

    reference: str = attrs.field(validator=is_name)
    next_action: NextAction | None = attrs.field(
        validator=optional(instance_of((Redirect, CryptoTransfer, Show)))
    )
    aliases: tuple[str, ...] = attrs.field(default=(), validator=are_aliases)
    expire_time: datetime | None = attrs.field(default=None, validator=optional(is_aware))


@attrs.frozen(kw_only=True)
class Declined:
    """The provider refused to create the object for good: nothing payable exists."""

    code: str = attrs.field(converter=cut_code)
    message: str = attrs.field(converter=cut_message)


@attrs.frozen(kw_only=True)
class NotAttempted:
    """This attempt provably sent nothing to the provider."""


@attrs.frozen(kw_only=True)
class OutcomeUnknown:
    """The request was sent, and no readable answer came: the object may exist."""


@attrs.frozen(kw_only=True)
class Absent:
    """A lookup by the payment's operation found no object.

    Attributes:
        proven: True if absence proves that nothing was created; that needs the manifest's
            `Lookup.INCLUDING_ABSENCE`, too. False if it only shows that nothing is payable now:
            enough to expire the payment, too little to send the request again.
    """

    proven: bool = True


@attrs.frozen(kw_only=True)
class AskAgain:
    """A claim to send the create operation again, until `deadline`.

    Only the daemon that commits this evidence may send, so that two never send at once.
    """

    deadline: datetime


@attrs.frozen(kw_only=True)
class CancelRequested:
    """A caller asks to cancel the payment."""

    reason: str = ""


@attrs.frozen(kw_only=True)
class NotClosable:
    """The provider cannot close a payment, as on a chain.

    `snapshot` is fresh, and covers everything that is final there.
    """

    snapshot: Snapshot


@attrs.frozen(kw_only=True)
class Unanswered:
    """A status check that brought no readable answer."""


@attrs.frozen(kw_only=True)
class Conflict:
    """A report that contradicts what payd knows.

    For example other contents under a known id, or an object that belongs to another payment.

    Attributes:
        detail: What contradicts, for the person that looks: two conflicts with one detail are one.
    """

    detail: str = attrs.field(default="", converter=cut_message, validator=is_storable)


@attrs.frozen(kw_only=True)
class RefundRequested:
    """A caller asks for a refund: it is granted, or refused with an error."""

    #: As it is to be stored, with the claim to send it. Granting sets its amount and status.
    refund: Refund
    terms: RefundTerms
    #: Refund all that is left, whatever `refund.amount` is.
    is_all_left: bool = False


@attrs.frozen(kw_only=True)
class RefundApproved:
    """A second person approves a refund."""

    refund_id: UUID
    #: The certificate or user, in the form of `Refund.requester`.
    by: str
    note: str


@attrs.frozen(kw_only=True)
class RefundCanceled:
    """A person withdraws a refund that was not sent yet."""

    refund_id: UUID
    note: str


@attrs.frozen(kw_only=True)
class RefundSettled:
    """A person says what became of a refund without an answer."""

    refund_id: UUID
    #: True if the money has gone back, False if it never will.
    has_succeeded: bool
    #: The provider's id of the refund; empty if the person found none, and for a failure.
    reference: str = attrs.field(validator=is_name_or_empty)
    #: Until then payd can find out by itself, and the settlement is refused.
    not_before: datetime
    note: str


RefundAnswer = (
    RefundSnapshot
    | RefundInstructions
    | Declined
    | NotAttempted
    | OutcomeUnknown
    | Absent
    | AskAgain
    | Unanswered
)


@attrs.frozen(kw_only=True)
class RefundAnswered:
    """What a call of the provider about one refund of ours brought, or a claim to call it."""

    refund_id: UUID
    answer: RefundAnswer


@attrs.frozen(kw_only=True)
class AttentionResolved:
    """A person has looked: the reasons that are open end, until new facts open them again."""

    reasons: frozenset[Attention]
    #: The person, as in the audit trail.
    by: str
    note: str


@attrs.frozen(kw_only=True)
class CustomerForgotten:
    """An operator erases the personal data of the customer."""

    note: str = ""


Evidence = (
    Created
    | Declined
    | NotAttempted
    | OutcomeUnknown
    | Absent
    | AskAgain
    | CancelRequested
    | NotClosable
    | Unanswered
    | Conflict
    | AttentionResolved
    | CustomerForgotten
    | RefundRequested
    | RefundApproved
    | RefundCanceled
    | RefundSettled
    | RefundAnswered
    | RefundSnapshot
    | Dispute
    | Snapshot
    | tuple[Receipt, ...]
)
