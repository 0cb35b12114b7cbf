"""Money that was to go back and did not, and money that was taken back without a refund of payd's.

The summary, the advice and the sentences for attention speak of both, so they stand here once.
"""

from payd.domain.dispute import DisputeStatus
from payd.domain.explain.words import in_asset, listing, money, sentence
from payd.domain.history import History
from payd.domain.outcome import Asking
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refund_reports import SAME_REFUND, SETTLED
from payd.domain.refunds import NOTHING_LEFT, taken

_ENDED = (RefundStatus.FAILED, RefundStatus.CANCELED)


def code_of(refund: Refund) -> str:
    """The code of its failure; empty without one."""
    return refund.failure.code if refund.failure else ""


def not_refunded(payment: Payment) -> list[Refund]:
    """Refunds that ended without the money, unless a later one made up for it."""
    return [
        refund
        for refund in payment.refunds
        if refund.status in _ENDED
        and code_of(refund) != SAME_REFUND
        and not any(_makes_up(other, refund) for other in payment.refunds)
    ]


def _makes_up(other: Refund, refund: Refund) -> bool:
    is_later = other.create_time > refund.create_time
    return is_later and other.status.is_live and other.amount >= refund.amount


def why_not_refunded(payment: Payment, refund: Refund) -> str:
    """One clause: which refund did not go to the customer, and why."""
    made = f" that was made at {payment.provider}, not by payd," if refund.external else ""
    name = f"the refund of {money(payment, refund.amount)}{made}"
    if refund.is_withdrawn:
        return f"{name} was withdrawn before it was sent"
    if refund.status is RefundStatus.CANCELED:
        return f"{name} was canceled at {payment.provider}, so the customer did not get it"
    match code_of(refund):
        case code if code == SETTLED:
            return f"{name} was never sent, as an operator found out: the customer did not get it"
        case code if code == NOTHING_LEFT.code:
            return f"{name} was stopped before it was sent, because all was taken back already"
    why = f" ({sentence(refund.failure.message)})" if refund.failure else ""
    return f"{name} failed{why}, so the customer does not have it"


def taken_back(payment: Payment) -> str:
    """What took money back, and how much of what was paid: one clause."""
    parts = [
        f"refund {refund.id} of {money(payment, refund.amount)}"
        for refund in payment.refunds
        if refund.status.is_live
    ]
    parts += [f"dispute {name} of {amount}" for name, amount in lost(payment)]
    took = listing(parts) if parts else "something that payd no longer knows"
    total = money(payment, taken(payment))
    return f"{took} took back {total} of the {money(payment, payment.confirmed)} that was paid"


def lost(payment: Payment) -> list[tuple[str, str]]:
    """Id and amount of each dispute that is lost."""
    return [
        (one.id, in_asset(payment, one.asset, one.amount))
        for one in payment.disputes
        if one.status is DisputeStatus.LOST
    ]


def first_amount(history: History, refund: Refund) -> int:
    """The amount that payment.refunded named: that of the report by which it succeeded."""
    for change in history.changes:
        for known in change.payment.refunds:
            if known.id == refund.id and known.status is RefundStatus.SUCCEEDED:
                return known.amount
    return refund.amount


def may_be_sent(refund: Refund) -> bool:
    """Whether the request was sent, and payd does not know what became of it."""
    return refund.status is RefundStatus.CREATING and refund.asking is not Asking.NOT_ATTEMPTED
