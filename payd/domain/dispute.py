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

    Attributes:
        INQUIRY: The bank asks a question; no money has moved.
        INQUIRY_CLOSED: The bank took its question back, or was satisfied by the answer.
        NEEDS_RESPONSE: The merchant has to answer, see `Dispute.evidence_due_time`.
        UNDER_REVIEW: The bank examines the answer.
        WITHDRAWN: The customer or the bank took the dispute back.
        WON: The bank decided for the merchant.
        LOST: The bank decided for the customer: the money is gone.
    """

    INQUIRY = "INQUIRY"
    INQUIRY_CLOSED = "INQUIRY_CLOSED"
    NEEDS_RESPONSE = "NEEDS_RESPONSE"
    UNDER_REVIEW = "UNDER_REVIEW"
    WITHDRAWN = "WITHDRAWN"
    WON = "WON"
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
    """A dispute or inquiry as it stands at the remote side.

    Attributes:
        id: Unique within the provider.
        status: Its state at `as_of`.
        asset: ISO 4217 code, or the token's 0x-hex address.
        amount: The disputed amount, in the unit of what is due.
        reason: The bank's reason, as the remote side names it, such as "fraudulent".
        open_time: When it was opened, by the remote side's clock.
        as_of: When this status was reported, by the remote side's clock: of two open statuses the
            newer one wins; a closed one wins over both.
        evidence_due_time: Until when the merchant can answer the bank, where the remote side says
            so.
        aliases: Other names of the payment's object that the report contains.
    """

    id: str = attrs.field(validator=is_name)
    status: DisputeStatus = attrs.field(validator=instance_of(DisputeStatus))
    asset: str = attrs.field(validator=is_name_or_empty)
    amount: int = attrs.field(validator=is_amount)
    reason: str = attrs.field(default="", validator=is_short_text)
    open_time: datetime = attrs.field(validator=is_aware)
    as_of: datetime = attrs.field(validator=is_aware)
    evidence_due_time: datetime | None = attrs.field(default=None, validator=optional(is_aware))
    aliases: tuple[str, ...] = attrs.field(default=(), validator=are_aliases)
