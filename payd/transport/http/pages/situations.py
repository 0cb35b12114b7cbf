"""Where a payment stands for its customer: one situation for every state, with words of its own."""

import enum
from datetime import datetime

from payd.domain.next_action import Redirect
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundStatus


class Situation(enum.Enum):
    """What the page says. The values are the names of their texts."""

    STARTING = "starting"
    ELSEWHERE = "elsewhere"
    WAITING = "waiting"
    PARTLY = "partly"
    SEEN = "seen"
    OVERDUE = "overdue"
    PAID = "paid"
    LATE = "late"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    PARTLY_REFUNDED = "partly_refunded"
    CANCELING = "canceling"
    CANCELED = "canceled"
    EXPIRED = "expired"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


#: The customer may still send money.
PAYABLE = frozenset({Situation.ELSEWHERE, Situation.WAITING, Situation.PARTLY})
#: Nothing more is expected, except refunds.
SETTLED = frozenset({Situation.PAID, Situation.LATE, Situation.REFUNDED, Situation.PARTLY_REFUNDED})

_CLOSED = {
    Status.CANCELED: Situation.CANCELED,
    Status.EXPIRED: Situation.EXPIRED,
    Status.FAILED: Situation.FAILED,
}
#: Refunds that were started and have not reached the customer.
UNDER_WAY = frozenset({RefundStatus.CREATING, RefundStatus.PENDING, RefundStatus.AWAITING_TRANSFER})


def situation_of(payment: Payment, now: datetime) -> Situation:
    """The customer's situation."""
    match payment.status:
        case Status.CREATING:
            return Situation.STARTING
        case Status.PENDING | Status.PROCESSING:
            return _open(payment, now)
        case Status.CANCELING:
            return Situation.CANCELING
        case Status.COMPLETED:
            paid = Situation.LATE if payment.late else Situation.PAID
            return _refunded(payment) or paid
        case closed:
            held = Situation.INCOMPLETE if payment.received else _CLOSED[closed]
            return _refunded(payment) or held


def _open(payment: Payment, now: datetime) -> Situation:
    has_all = payment.received >= payment.due > 0
    if has_all or (payment.status is Status.PROCESSING and not payment.received):
        return Situation.SEEN
    if now >= payment.expire_time:
        return Situation.OVERDUE
    if payment.received:
        return Situation.PARTLY
    if isinstance(payment.next_action, Redirect):
        return Situation.ELSEWHERE
    return Situation.WAITING


def _refunded(payment: Payment) -> Situation | None:
    """The situation of money that goes back, if any does."""
    if any(refund.status in UNDER_WAY for refund in payment.refunds):
        return Situation.REFUNDING
    if not payment.refunded:
        return None
    is_whole = payment.refunded >= payment.received
    return Situation.REFUNDED if is_whole else Situation.PARTLY_REFUNDED
