"""The explanation of a payment: what happened, why, what must happen next, and who must do it."""

import enum
from datetime import datetime
from uuid import UUID

import attrs

from payd.domain.payment import Status


class Actor(enum.Enum):
    """Party that must do what a payment waits for.

    Attributes:
        CUSTOMER: The customer has to pay.
        PROVIDER: The provider, or a bank or chain behind it, has to report or finish something.
        PAYD: payd does it by itself.
        OPERATOR: A person has to act.
        NOBODY: The payment waits for nothing.
    """

    CUSTOMER = "CUSTOMER"
    PROVIDER = "PROVIDER"
    PAYD = "PAYD"
    OPERATOR = "OPERATOR"
    NOBODY = "NOBODY"


@attrs.frozen(kw_only=True)
class WaitingFor:
    """What must happen next, and who must do it."""

    what: str
    actor: Actor


@attrs.frozen
class FieldChange:
    """One value before and after a step; empty before it existed."""

    field: str
    before: str
    after: str


@attrs.frozen(kw_only=True)
class Step:
    """One thing that happened."""

    time: datetime
    actor: str
    #: What brought the news: a call, a report, a status check.
    source: str
    what: str
    because: str
    changes: tuple[FieldChange, ...] = ()


@attrs.frozen(kw_only=True)
class Advice:
    """What a person can do, and the command for it; empty where payd has none."""

    text: str
    command: str = ""


@attrs.frozen(kw_only=True)
class Explanation:
    """Why a payment stands as it does."""

    payment_id: UUID
    #: The time of which it speaks.
    time: datetime
    summary: str
    status: Status
    waiting_for: WaitingFor
    #: When payd asks the provider next, about the payment or one of its refunds.
    next_look_time: datetime | None = None
    #: Oldest first.
    steps: tuple[Step, ...]
    #: Older versions of the payment, for which there is no step.
    steps_left_out: int = 0
    advice: tuple[Advice, ...] = ()
