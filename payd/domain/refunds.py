"""Refunds of ours: who may have one, and what commands and the provider's answers make of it. Pure.

With refund_reports.py this is the transition table of payment-model.md.
"""

from datetime import datetime, timedelta
from uuid import UUID

import attrs

from payd.domain.asking import after_answer
from payd.domain.attention import Attention
from payd.domain.dispute import DisputeStatus
from payd.domain.disputes import is_disputed
from payd.domain.errors import (
    ApproverIsRequester,
    NotRefundable,
    PaymentDisputed,
    RefundDestinationRequired,
    RefundExceedsPaid,
    RefundNotFound,
)
from payd.domain.evidence import (
    Absent,
    AskAgain,
    Declined,
    NotAttempted,
    OutcomeUnknown,
    RefundAnswered,
    RefundApproved,
    RefundCanceled,
    RefundRequested,
    Unanswered,
)
from payd.domain.money import MINOR_UNITS_MAX, Money, written
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Payment, Status, find_refund, flag, put_refund
from payd.domain.refund import (
    Refund,
    RefundInstructions,
    RefundSnapshot,
    RefundStatus,
    RefundTerms,
)
from payd.domain.refund_reports import as_answered, learn_refund

#: A refund without an answer is STUCK after so long. It keeps its amount, and never fails by age.
REFUND_STUCK_AFTER = timedelta(hours=1)
#: Delay before the next check, by the number of checks in this status. The last one repeats.
REFUND_CHECK_DELAYS = {
    # Twice an hour: after the first one the refund is STUCK, after the second that is published.
    RefundStatus.CREATING: tuple(timedelta(seconds=s) for s in (30, 120, 600, 3600, 3600, 21600)),
    RefundStatus.PENDING: tuple(timedelta(seconds=s) for s in (600, 3600, 21600, 86400)),
}

_WAITING = (RefundStatus.AWAITING_APPROVAL, RefundStatus.AWAITING_TRANSFER)
#: A refund that was stopped because its money was taken back otherwise.
NOTHING_LEFT = Failure(
    code="nothing_left", message="The money was taken back otherwise before the refund was sent."
)


def left(payment: Payment) -> int:
    """What can still be refunded, in the unit of what is due.

    A total from the time when payd did not keep each refund may contain a refund that is still on
    its way, or not: here it counts as another one.
    """
    taken = _live(payment) + payment.refunded_unlisted + _lost(payment)
    return max(0, payment.confirmed - taken)


def refundable(payment: Payment) -> int:
    """What a refund can take now: nothing while the payment is open, or a dispute decides on it."""
    return left(payment) if _has_ended(payment) and not is_disputed(payment) else 0


def taken(payment: Payment) -> int:
    """What was certainly taken back, or is on its way."""
    return max(_live(payment), payment.snapshot_refunded) + _lost(payment)


def _has_ended(payment: Payment) -> bool:
    """Whether it is completed, or closed with money."""
    is_closed_with_money = payment.status.is_closed and payment.confirmed > 0
    return payment.status is Status.COMPLETED or is_closed_with_money


def _live(payment: Payment) -> int:
    return sum(refund.amount for refund in payment.refunds if refund.status.is_live)


def _lost(payment: Payment) -> int:
    return sum(
        dispute.amount
        for dispute in payment.disputes
        if dispute.status is DisputeStatus.LOST and payment.is_asset(dispute.asset)
    )


def refund_of(payment: Payment, refund_id: UUID) -> Refund:
    """As `find_refund`; raises RefundNotFound."""
    refund = find_refund(payment, refund_id)
    if refund is None:
        raise RefundNotFound("no refund has this id", refund_id=str(refund_id))
    return refund


def next_refund_check_time(refund: Refund, now: datetime) -> datetime | None:
    """Time of the next status check; None for a refund that needs no more."""
    steps = REFUND_CHECK_DELAYS.get(refund.status)
    return None if steps is None else now + steps[min(refund.checks, len(steps) - 1)]


def schedule_refunds(before: Payment, after: Payment, now: datetime) -> Payment:
    """Give the refunds that have changed their new time of change and of the next check."""
    known = {refund.id: refund for refund in before.refunds}
    return attrs.evolve(
        after,
        refunds=tuple(
            refund if refund == known.get(refund.id) else _schedule(known, refund, now)
            for refund in after.refunds
        ),
    )


def _schedule(known: dict[UUID, Refund], refund: Refund, now: datetime) -> Refund:
    old = known.get(refund.id)
    is_same = old is not None and old.status is refund.status
    refund = attrs.evolve(refund, update_time=now, checks=refund.checks if is_same else 0)
    return attrs.evolve(refund, next_check_time=next_refund_check_time(refund, now))


# -- commands: granted, or refused with an error -----------------------------------------------


def grant(payment: Payment, requested: RefundRequested, now: datetime) -> Payment:
    """Reserve the amount of a refund.

    Raises NotRefundable, PaymentDisputed, RefundDestinationRequired, RefundExceedsPaid.
    """
    draft, terms = requested.refund, requested.terms
    if find_refund(payment, draft.id) is not None:
        return payment
    _refuse(payment, draft, terms, now)
    remaining = left(payment)
    amount = remaining if requested.is_all_left else draft.amount
    if not 0 < amount <= remaining:
        raise _exceeds(payment, remaining)
    if not terms.partial and amount < payment.confirmed:
        raise _not_refundable(payment, "the provider refunds only the whole payment at once")
    if terms.approval_from is not None and _minor_units(payment, amount) >= terms.approval_from:
        status, asking, deadline = RefundStatus.AWAITING_APPROVAL, Asking.NOT_ATTEMPTED, None
    else:
        status, asking, deadline = RefundStatus.CREATING, draft.asking, draft.ask_deadline
    granted = attrs.evolve(
        draft, amount=amount, status=status, asking=asking, ask_deadline=deadline
    )
    return put_refund(payment, granted)


def _refuse(payment: Payment, draft: Refund, terms: RefundTerms, now: datetime) -> None:
    status = payment.status
    if status.is_open:
        why = f"the payment is still {status.value}: it can be refunded once it has ended"
        raise _not_refundable(payment, why)
    if not _has_ended(payment):
        raise _not_refundable(payment, f"the payment is {status.value} and brought no money")
    if is_disputed(payment):
        raise _disputed(payment)
    end = payment.complete_time or payment.close_time or payment.update_time
    if terms.window is not None and now > end + terms.window:
        raise _not_refundable(payment, f"the provider refunds up to {terms.window} later")
    if not terms.several and any(refund.status.is_live for refund in payment.refunds):
        raise _not_refundable(payment, "the provider refunds a payment only once")
    if terms.needs_destination and not draft.destination:
        raise RefundDestinationRequired(
            "payd cannot send money on this rail: say where it is to go", field="destination"
        )


def _not_refundable(payment: Payment, why: str) -> NotRefundable:
    return NotRefundable(why, payment_id=str(payment.id), status=payment.status.value)


def _disputed(payment: Payment) -> PaymentDisputed:
    return PaymentDisputed(
        "a dispute of this payment is open or lost: it decides on the money",
        payment_id=str(payment.id),
    )


def _exceeds(payment: Payment, remaining: int) -> RefundExceedsPaid:
    currency, minor_units = payment.amount.currency_code, _minor_units(payment, remaining)
    money = Money(currency_code=currency, minor_units=min(minor_units, MINOR_UNITS_MAX))
    terms = payment.crypto
    exact = f" ({remaining} base units of {terms.currency})" if terms else ""
    error = RefundExceedsPaid(
        f"{written(money)}{exact} is left to refund",
        payment_id=str(payment.id),
        currency=currency,
        left_minor_units=str(money.minor_units),
    )
    if terms is not None:
        error.metadata["left_base_units"] = str(remaining)
    return error


def _minor_units(payment: Payment, amount: int) -> int:
    currency = payment.amount.currency_code
    return payment.crypto.minor_units(amount, currency) if payment.crypto else amount


def approve(payment: Payment, approved: RefundApproved) -> Payment:
    """Let a refund be sent that waits for it; one that was approved before stays as it is.

    Raises RefundNotFound, ApproverIsRequester, NotRefundable, PaymentDisputed.
    """
    refund = refund_of(payment, approved.refund_id)
    if refund.status is not RefundStatus.AWAITING_APPROVAL:
        _refuse_ended(refund)
        return payment
    if refund.requester == approved.by:
        raise ApproverIsRequester(
            "another certificate or user has to approve it", refund_id=str(refund.id)
        )
    if is_disputed(payment):
        raise _disputed(payment)
    return put_refund(payment, attrs.evolve(refund, status=RefundStatus.CREATING))


def _refuse_ended(refund: Refund) -> None:
    if not refund.status.is_live:
        raise NotRefundable(
            f"the refund is {refund.status.value}: it can no longer be approved",
            refund_id=str(refund.id),
            status=refund.status.value,
        )


def withdraw(payment: Payment, canceled: RefundCanceled) -> Payment:
    """Take a refund back that nobody has sent; one that was withdrawn before stays as it is.

    Raises RefundNotFound, NotRefundable.
    """
    refund = refund_of(payment, canceled.refund_id)
    if refund.is_withdrawn:
        return payment
    if refund.status not in _WAITING:
        raise NotRefundable(
            f"the refund is {refund.status.value}: it can no longer be taken back",
            refund_id=str(refund.id),
            status=refund.status.value,
        )
    return put_refund(payment, attrs.evolve(refund, status=RefundStatus.CANCELED))


# -- the provider's answers --------------------------------------------------------------------


def answered(payment: Payment, evidence: RefundAnswered, now: datetime) -> Payment:
    """Return the payment with the answer to a call about one of its refunds."""
    refund = find_refund(payment, evidence.refund_id)
    if refund is None:
        return payment
    match evidence.answer:
        case RefundSnapshot() as snapshot:
            return learn_refund(payment, attrs.evolve(snapshot, refund_id=refund.id), now)
        case _ if refund.status is not RefundStatus.CREATING:
            return payment
        case RefundInstructions(next_action=action):
            instructed = attrs.evolve(
                as_answered(refund), status=RefundStatus.AWAITING_TRANSFER, next_action=action
            )
            return put_refund(payment, instructed)
        case Unanswered():
            if now < refund.create_time + REFUND_STUCK_AFTER:
                return payment
            return flag(payment, Attention.STUCK, f"refund {refund.id}", now)
        case answer:
            return put_refund(payment, _asked(refund, answer))


def _asked(
    refund: Refund, answer: OutcomeUnknown | NotAttempted | Absent | AskAgain | Declined
) -> Refund:
    if answer == Absent(proven=False):
        return refund
    if isinstance(answer, Declined):
        failure = Failure(code=answer.code, message=answer.message)
        return attrs.evolve(as_answered(refund), status=RefundStatus.FAILED, failure=failure)
    asking = after_answer(refund.asking, answer)
    deadline = answer.deadline if isinstance(answer, AskAgain) else None
    if deadline is not None and deadline == refund.ask_deadline:
        return refund
    return attrs.evolve(refund, asking=asking, ask_deadline=deadline)


# -- money that was taken back otherwise ---------------------------------------------------------


def stop_unsent(payment: Payment, now: datetime) -> Payment:
    """Fail refunds that were not sent, if more was taken back than was paid.

    Refunds made at the provider and lost disputes do not ask payd what is left.
    """
    if payment.status.is_open or not 0 < payment.confirmed < taken(payment):
        return payment
    for refund in filter(_is_unsent, payment.refunds):
        failed = attrs.evolve(refund, status=RefundStatus.FAILED, failure=NOTHING_LEFT)
        fact = f"refund {refund.id} was not sent"
        payment = flag(put_refund(payment, failed), Attention.CONFLICTING_EVIDENCE, fact, now)
    total = taken(payment)
    if total <= payment.confirmed:
        return payment
    fact = f"{total} of {payment.confirmed} taken back"
    return flag(payment, Attention.CONFLICTING_EVIDENCE, fact, now)


def _is_unsent(refund: Refund) -> bool:
    is_waiting = refund.status in (RefundStatus.AWAITING_APPROVAL, RefundStatus.CREATING)
    return is_waiting and refund.asking is Asking.NOT_ATTEMPTED
