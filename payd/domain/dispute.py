"""A dispute: the customer's bank takes a payment back, or asks about it."""

import enum
from datetime import datetime

import attrs
from attrs.validators import instance_of, optional

from payd.domain.text import (
    are_aliases,
    is_amount,
    is_aware,
    is_name,
    is_name_or_empty,
    is_short_text,
)


class DisputeStatus(enum.Enum):
    """State of a dispute.

    An inquiry is a question of the bank before a dispute: no money has moved, and none is withheld.
    """

    INQUIRY = "INQUIRY"
    #: The bank took its question back, or was satisfied by the answer.
    INQUIRY_CLOSED = "INQUIRY_CLOSED"
    #: The merchant has to answer, see `Dispute.evidence_due_time`.
    NEEDS_RESPONSE = "NEEDS_RESPONSE"
    #: The bank examines the answer.
    UNDER_REVIEW = "UNDER_REVIEW"
    #: The customer or the bank took the dispute back.
    WITHDRAWN = "WITHDRAWN"
    #: The bank decided for the merchant.
    WON = "WON"
    #: The bank decided for the customer: the money is gone.
    LOST = "LOST"

    @property
    def is_inquiry(self) -> bool:
        """Whether it is only a question of the bank."""
        return self in (DisputeStatus.INQUIRY, DisputeStatus.INQUIRY_CLOSED)

    @property
    def is_open(self) -> bool:
        """Whether a dispute, and not an inquiry, waits for its decision."""
        return self in (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW)


@attrs.frozen(kw_only=True)
class Dispute:
    """A dispute or inquiry as it stands at the remote side."""

    #: Unique within the provider.
    id: str = attrs.field(validator=is_name)
    status: DisputeStatus = attrs.field(validator=instance_of(DisputeStatus))
    #: ISO 4217 code, or the token's 0x-hex address.
    asset: str = attrs.field(validator=is_name_or_empty)
    #: The disputed amount, in the unit of what is due.
    amount: int = attrs.field(validator=is_amount)
    #: The bank's reason, as the remote side names it, such as "fraudulent".
    reason: str = attrs.field(default="", validator=is_short_text)
    #: When it was opened, by the remote side's clock.
    open_time: datetime = attrs.field(validator=is_aware)
    #: When this status was reported, by the remote side's clock: of two open statuses the newer one
    #: wins; a closed one wins over both.
    as_of: datetime = attrs.field(validator=is_aware)
    #: Until when the merchant can answer the bank, where the remote side says so.
    evidence_due_time: datetime | None = attrs.field(default=None, validator=optional(is_aware))
    #: Other names of the payment's object that the report contains.
    aliases: tuple[str, ...] = attrs.field(default=(), validator=are_aliases)
