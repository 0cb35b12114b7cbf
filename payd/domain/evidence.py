"""What a provider saw or said, and what a caller wants: all that `decide` takes in."""

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs
from attrs.validators import instance_of, optional

from payd.domain.money import BASE_UNITS_MAX
from payd.domain.text import (
    are_aliases,
    are_details,
    is_name,
    is_name_or_empty,
    is_short_text,
    is_text,
    is_whole,
)

#: Characters that are kept of a provider's failure code and message; the rest is cut off. A payment
#: travels whole in its event, and the stream takes messages of a limited size.
CODE_MAX = 100
MESSAGE_MAX = 500


class ProviderStatus(enum.Enum):
    """The state of the provider's own object. Not a payment's status."""

    OPEN = "OPEN"
    PROCESSING = "PROCESSING"
    PAID = "PAID"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    DECLINED = "DECLINED"
    DISPUTED = "DISPUTED"


class ReceiptState(enum.Enum):
    """How far a single arrival of money has come. A later value outranks an earlier one."""

    SEEN = "SEEN"
    #: Seen once, then undone before it was final.
    DROPPED = "DROPPED"
    #: On its way to us, and withheld by the rail: not ours until it is released.
    HELD = "HELD"
    CONFIRMED = "CONFIRMED"


_RECEIPT_RANK = {state: rank for rank, state in enumerate(ReceiptState)}


def _amount(instance: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= BASE_UNITS_MAX:
        raise ValueError(f"{attribute.name}: not an amount in whole units: {value!r}")


def _aware(instance: object, attribute: "attrs.Attribute[datetime]", value: datetime) -> None:
    if value.tzinfo is None:
        raise ValueError(f"{attribute.name}: a time without its zone")


def _code(value: Any) -> Any:
    """Cut text to its limit; the validator refuses anything else."""
    return value[:CODE_MAX] if isinstance(value, str) else value


def _message(value: Any) -> Any:
    """As `_code`."""
    return value[:MESSAGE_MAX] if isinstance(value, str) else value


def _is_storable(_instance: object, attribute: "attrs.Attribute[str]", value: object) -> None:
    if not is_text(value):
        raise ValueError(f"{attribute.name}: must be text without NUL")


@attrs.frozen(kw_only=True)
class Snapshot:
    """The provider's object as it stood at `as_of`: totals, not differences."""

    status: ProviderStatus = attrs.field(validator=instance_of(ProviderStatus))
    #: ISO 4217 code, or the token's 0x-hex address.
    asset: str = attrs.field(validator=is_name_or_empty)
    #: In the unit of what is due: minor units, or base units of the token.
    received: int = attrs.field(validator=_amount)
    #: The part of `received` that is final at the provider.
    confirmed: int = attrs.field(validator=_amount)
    refunded: int = attrs.field(default=0, validator=_amount)
    #: When it stood so, by the remote side's own clock; where it tells none, when it was asked. An
    #: object that is still open then, and expired before, is given up.
    as_of: datetime = attrs.field(validator=_aware)
    #: What the object asks for. Where it is not what is due, none of its money counts.
    due: int | None = attrs.field(default=None, validator=optional(is_whole))
    #: The object's own reference; None where only its payment or an alias is known.
    reference: str | None = attrs.field(default=None, validator=optional(is_name_or_empty))
    #: Other names of the object that this report told.
    aliases: tuple[str, ...] = attrs.field(default=(), validator=are_aliases)
    failure_code: str | None = attrs.field(
        default=None, converter=_code, validator=optional(_is_storable)
    )
    failure_message: str | None = attrs.field(
        default=None, converter=_message, validator=optional(_is_storable)
    )


@attrs.frozen(kw_only=True)
class Receipt:
    """One arrival of money, named by the provider for ever."""

    #: Unique within the provider.
    id: str = attrs.field(validator=is_name)
    asset: str = attrs.field(validator=is_name_or_empty)
    amount: int = attrs.field(validator=_amount)
    state: ReceiptState = attrs.field(validator=instance_of(ReceiptState))
    #: When the money moved, by the rail's own clock (on a chain: the block's time).
    time: datetime = attrs.field(validator=_aware)
    #: For who has to place it or send it back: who sent it, what it named, where it is recorded.
    details: Mapping[str, str] = attrs.field(factory=dict, eq=False, validator=are_details)

    def outranks(self, other: "Receipt") -> bool:
        """Whether this report of the same receipt replaces the other one."""
        return _RECEIPT_RANK[self.state] > _RECEIPT_RANK[other.state]


@attrs.frozen(kw_only=True)
class Outflow:
    """Money that left our account at the rail; it belongs to no payment, only to the books."""

    #: Unique within the provider.
    id: str = attrs.field(validator=is_name)
    asset: str = attrs.field(validator=is_name_or_empty)
    amount: int = attrs.field(validator=_amount)
    time: datetime = attrs.field(validator=_aware)
    details: Mapping[str, str] = attrs.field(factory=dict, eq=False, validator=are_details)


@attrs.frozen(kw_only=True)
class Reversal:
    """Money that went back to the customer, or that he contests. It moves no payment by itself."""

    asset: str = attrs.field(validator=is_name_or_empty)
    #: In total so far, in the unit of what is due.
    refunded: int = attrs.field(default=0, validator=_amount)
    disputed: bool = False
    #: Other names of the object that this report told.
    aliases: tuple[str, ...] = attrs.field(default=(), validator=are_aliases)


@attrs.frozen(kw_only=True)
class Observation:
    """Something that a provider reports about one payment."""

    #: Unique within the provider; the same report always has the same id.
    id: str = attrs.field(validator=is_name_or_empty)
    #: The stored provider reference, one of its aliases, or the payment id; empty for receipts
    #: that name no payment.
    reference: str = attrs.field(validator=is_name_or_empty)
    #: Conflict is for a report that contradicts what payd knows: test money, another's object.
    fact: "Snapshot | tuple[Receipt, ...] | Reversal | Conflict" = attrs.field()

    @fact.validator
    def _is_fact(self, _attribute: object, fact: object) -> None:
        if isinstance(fact, tuple):
            if not all(type(receipt) is Receipt for receipt in fact):
                raise ValueError("fact: a tuple must have receipts only")
        elif type(fact) not in (Snapshot, Reversal, Conflict):
            raise ValueError(f"fact: must be a fact, is a {type(fact).__name__}")
        elif not self.reference:
            raise ValueError("reference: only receipts may name no payment")


@attrs.frozen(kw_only=True)
class Redirect:
    """Send the customer to this page."""

    url: str = attrs.field(validator=is_short_text)


@attrs.frozen(kw_only=True)
class CryptoTransfer:
    """Ask the customer for this transfer. Addresses, memo and calldata are 0x-hex."""

    currency: str = attrs.field(validator=is_short_text)
    chain_id: int = attrs.field(validator=is_whole)
    token_address: str = attrs.field(validator=is_short_text)
    receiver_address: str = attrs.field(validator=is_short_text)
    amount_base_units: int = attrs.field(validator=_amount)
    decimals: int = attrs.field(validator=is_whole)
    memo: str = attrs.field(validator=is_short_text)
    calldata: str = attrs.field(validator=is_short_text)
    payment_uri: str = attrs.field(validator=is_short_text)


NextAction = Redirect | CryptoTransfer


@attrs.frozen(kw_only=True)
class Created:
    """The provider's answer to `create`, or what a lookup of it found."""

    reference: str = attrs.field(validator=is_name)
    #: None when there is nothing left for the customer to do.
    next_action: NextAction | None = attrs.field(
        validator=optional(instance_of((Redirect, CryptoTransfer)))
    )
    aliases: tuple[str, ...] = attrs.field(default=(), validator=are_aliases)


@attrs.frozen(kw_only=True)
class Declined:
    """The provider refused to create it, definitively: nothing payable exists."""

    code: str = attrs.field(converter=_code)
    message: str = attrs.field(converter=_message)


@attrs.frozen(kw_only=True)
class NotAttempted:
    """Provably nothing was sent in this attempt."""


@attrs.frozen(kw_only=True)
class OutcomeUnknown:
    """Asked, and no readable answer: it may exist."""


@attrs.frozen(kw_only=True)
class Absent:
    """A lookup found nothing under this payment's operation."""

    #: Finding nothing proves that nothing was created. Otherwise it only shows that nothing is
    #: payable now, which is enough to expire a payment, and too little to send it again.
    proven: bool = True


@attrs.frozen(kw_only=True)
class AskAgain:
    """Somebody is about to send the create operation again; who commits this may send."""

    deadline: datetime


@attrs.frozen(kw_only=True)
class CancelRequested:
    """The caller wants it closed."""

    reason: str = ""


@attrs.frozen(kw_only=True)
class NotClosable:
    """The rail cannot close; `look` is fresh, up to what is final there."""

    snapshot: Snapshot


@attrs.frozen(kw_only=True)
class Unanswered:
    """A look at the provider that brought nothing."""


@attrs.frozen(kw_only=True)
class Conflict:
    """A report that contradicts what is known: another content under its id, another's object."""


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
    | Reversal
    | Snapshot
    | tuple[Receipt, ...]
)
