"""Money that was to go back and did not, and money that was taken back without a refund of payd's.

The summary, the advice and the sentences for attention speak of both, so they stand here once.
"""

from collections.abc import Iterable

from payd.domain.dispute import DisputeStatus
from payd.domain.disputes import is_disputed
from payd.domain.explain.words import in_asset, listing, money, sentence
from payd.domain.history import History
from payd.domain.outcome import Asking
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refund_reports import SAME_REFUND, SETTLED
from payd.domain.refunds import NOTHING_LEFT, left, taken

_ENDED = (RefundStatus.FAILED, RefundStatus.CANCELED)


def code_of(refund: Refund) -> str:
    """The code of its failure; empty without one."""
    return refund.failure.code if refund.failure else ""


def not_refunded(payment: Payment) -> list[Refund]:
    """Refunds that ended without the money, unless later ones made up for them."""
    return [
        refund
        for refund in payment.refunds
        if refund.status in _ENDED
        and code_of(refund) != SAME_REFUND
        and made_up(payment, refund) < refund.amount
    ]


def made_up(payment: Payment, refund: Refund) -> int:
    """How much later refunds have brought, or will bring."""
    return sum(
        other.amount
        for other in payment.refunds
        if other.status.is_live and other.create_time > refund.create_time
    )


def still_owed(payment: Payment, refunds: Iterable[Refund]) -> int:
    """How much has to be refunded again, at most, when these refunds ended without the money.

    Two of them count once: the second is another attempt at the first.
    """
    missing = (refund.amount - made_up(payment, refund) for refund in refunds)
    return max(0, min(left(payment), max(missing, default=0)))


def nothing_more(payment: Payment) -> str:
    """Why nothing has to be sent: what has gone back, or is on its way."""
    on_their_way = [refund for refund in payment.refunds if refund.status.is_open]
    if on_their_way:
        names = [f"{refund.id} of {money(payment, refund.amount)}" for refund in on_their_way]
        one = f"Refund {names[0]} sends it back, and has not succeeded yet."
        several = f"Refunds {listing(names)} send it back, and have not succeeded yet."
        return f"{one if len(names) == 1 else several} Do not refund it again."
    back = taken_back(payment)
    return f"{back[0].upper()}{back[1:]}. Nothing more has to be sent."


def held_by_dispute(payment: Payment, amount: int) -> str:
    """What to do instead of sending an amount, where a dispute decides on it; else empty."""
    if not is_disputed(payment):
        return ""
    much = money(payment, amount)
    waiting = [one for one in payment.disputes if one.status.is_open]
    if waiting or not payment.disputes:
        names = [f"dispute {one.id}" for one in waiting] or ["the dispute"]
        return (
            f"Do not send {much} back while {listing(names)} {'is' if len(names) == 1 else 'are'}"
            f" open: if it is lost, the bank takes the money and gives it to the customer. When the"
            f" bank has decided, explain the payment again."
        )
    gone = [one for one in payment.disputes if one.status is DisputeStatus.LOST]
    gave = listing(f"dispute {name} gave {sum_} to the customer" for name, sum_ in lost(payment))
    if sum(one.amount for one in gone if payment.is_asset(one.asset)) >= amount:
        return f"Do not send {much} back in another way: {gave}."
    return (
        f"Compare first: {gave}, and payd refunds nothing after a lost dispute. Send something"
        f" only if the customer is owed more than they got."
    )


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
