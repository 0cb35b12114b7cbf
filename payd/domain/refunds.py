"""What becomes of a refund: who may have it, and the transition table of payment-model.md. Pure.

Reports give the same result in every order and with every repetition: failure wins over success,
and money that is reported as refunded is counted once, if not in a refund of ours, then in an
external one.
"""

from datetime import datetime, timedelta
from uuid import UUID, uuid5

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
from payd.domain.payment import Payment, Status, flag, name_also
from payd.domain.refund import (
    Refund,
    RefundInstructions,
    RefundSnapshot,
    RefundState,
    RefundStatus,
    RefundTerms,
)

#: A refund without an answer is STUCK after so long. It keeps its amount, and never fails by age.
REFUND_STUCK_AFTER = timedelta(hours=1)
#: Delay before the next check, by the number of checks in this status. The last one repeats.
REFUND_CHECK_DELAYS = {
    RefundStatus.CREATING: tuple(timedelta(seconds=s) for s in (30, 120, 600, 3600, 21600)),
    RefundStatus.PENDING: tuple(timedelta(seconds=s) for s in (600, 3600, 21600, 86400)),
}

_WAITING = (RefundStatus.AWAITING_APPROVAL, RefundStatus.AWAITING_TRANSFER)
_CANCELED = Failure(code="canceled", message="The provider canceled the refund.")
_NOTHING_LEFT = Failure(
    code="nothing_left", message="The money was taken back otherwise before the refund was sent."
)
#: Code of an external refund that turned out to be one of ours.
SAME_REFUND = "same_refund"


def left(payment: Payment) -> int:
    """What can still be refunded, in the unit of what is due.

    A total from the time when payd did not keep each refund may contain a refund that is still on
    its way, or not: here it counts as another one.
    """
    taken = _live(payment) + payment.refunded_unlisted + _lost(payment)
    return max(0, payment.confirmed - taken)


def _taken(payment: Payment) -> int:
    """What was certainly taken back, or is on its way."""
    return max(_live(payment), payment.snapshot_refunded) + _lost(payment)


def _live(payment: Payment) -> int:
    return sum(refund.amount for refund in payment.refunds if refund.status.is_live)


def _lost(payment: Payment) -> int:
    return sum(
        dispute.amount
        for dispute in payment.disputes
        if dispute.status is DisputeStatus.LOST and payment.is_asset(dispute.asset)
    )


def find_refund(payment: Payment, refund_id: UUID) -> Refund | None:
    """The payment's refund with this id, if any."""
    return next((refund for refund in payment.refunds if refund.id == refund_id), None)


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
    return _put(payment, granted)


def _refuse(payment: Payment, draft: Refund, terms: RefundTerms, now: datetime) -> None:
    closed_with_money = payment.status.is_closed and payment.confirmed > 0
    if payment.status is not Status.COMPLETED and not closed_with_money:
        raise _not_refundable(payment, f"the payment is {payment.status.value}, without money")
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
    amount, exact = written(money), dict[str, str]()
    if payment.crypto is not None:
        amount += f" ({remaining} base units of {payment.crypto.currency})"
        exact = {"left_base_units": str(remaining)}
    return RefundExceedsPaid(
        f"{amount} is left to refund",
        payment_id=str(payment.id),
        currency=currency,
        left_minor_units=str(money.minor_units),
        **exact,
    )


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
    return _put(payment, attrs.evolve(refund, status=RefundStatus.CREATING))


def _refuse_ended(refund: Refund) -> None:
    if not refund.status.is_live:
        raise NotRefundable(
            f"the refund is {refund.status.value}",
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
    return _put(payment, attrs.evolve(refund, status=RefundStatus.CANCELED))


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
                _as_answered(refund), status=RefundStatus.AWAITING_TRANSFER, next_action=action
            )
            return _put(payment, instructed)
        case Unanswered():
            if now < refund.create_time + REFUND_STUCK_AFTER:
                return payment
            return flag(payment, Attention.STUCK, f"refund {refund.id}", now)
        case answer:
            return _put(payment, _asked(refund, answer))


def _as_answered(refund: Refund) -> Refund:
    return attrs.evolve(refund, asking=Asking.ANSWERED, ask_deadline=None)


def _asked(
    refund: Refund, answer: OutcomeUnknown | NotAttempted | Absent | AskAgain | Declined
) -> Refund:
    if answer == Absent(proven=False):
        return refund
    if isinstance(answer, Declined):
        failure = Failure(code=answer.code, message=answer.message)
        return attrs.evolve(_as_answered(refund), status=RefundStatus.FAILED, failure=failure)
    asking = after_answer(refund.asking, answer)
    deadline = answer.deadline if isinstance(answer, AskAgain) else None
    if deadline is not None and deadline == refund.ask_deadline:
        return refund
    return attrs.evolve(refund, asking=asking, ask_deadline=deadline)


# -- reports -----------------------------------------------------------------------------------


def learn_refund(payment: Payment, report: RefundSnapshot, now: datetime) -> Payment:
    """Return the payment with the report of a refund, ours or one made at the provider."""
    payment = name_also(payment, report.aliases)
    if not payment.is_asset(report.asset):
        return flag(payment, Attention.WRONG_TOKEN, f"refund {report.reference}", now)
    ours = _named_by(payment, report)
    if ours is None:
        return _count(payment, report, report.reference, report.amount, now)
    return _learn_of_ours(payment, ours, report, now)


def _named_by(payment: Payment, report: RefundSnapshot) -> Refund | None:
    """The refund of ours that the report names by its id, else by the provider's reference."""
    ours = [refund for refund in payment.refunds if not refund.external]
    by_id = (refund for refund in ours if refund.id == report.refund_id)
    by_reference = (refund for refund in ours if refund.provider_reference == report.reference)
    return next(by_id, None) or next(by_reference, None)


def _learn_of_ours(
    payment: Payment, refund: Refund, report: RefundSnapshot, now: datetime
) -> Payment:
    is_known = refund.provider_reference == report.reference
    if is_known and _fits(refund, report):
        return _merge(payment, refund, report, now)
    if not is_known and _was_never_sent(refund) and report.state not in _MONEY_GOES:
        return payment
    is_second = not is_known and refund.provider_reference is not None
    is_of_another = not is_known and _named_by(payment, attrs.evolve(report, refund_id=None))
    if is_second or is_of_another or _was_never_sent(refund) or not _fits(refund, report):
        fact = f"refund {report.reference} of {report.amount} for refund {refund.id}"
        payment = flag(payment, Attention.CONFLICTING_EVIDENCE, fact, now)
        is_counted = any(r.provider_reference == report.reference for r in payment.refunds)
        if is_known or (is_counted and _external(payment, report.reference) is None):
            return payment
        return _count(payment, report, report.reference, report.amount, now)
    return _merge(payment, refund, report, now)


_MONEY_GOES = (RefundState.PENDING, RefundState.SUCCEEDED)


def _fits(refund: Refund, report: RefundSnapshot) -> bool:
    """Whether the amount is the granted one; a person may send more, and that closes it, too."""
    if refund.next_action is not None:
        return report.amount >= refund.amount
    return report.amount == refund.amount


def _was_never_sent(refund: Refund) -> bool:
    """Whether nothing at the provider can belong to it, as far as payd knows."""
    if refund.status is RefundStatus.AWAITING_APPROVAL:
        return True
    is_over = not refund.status.is_live and refund.provider_reference is None
    return is_over and refund.next_action is None


def _merge(payment: Payment, refund: Refund, report: RefundSnapshot, now: datetime) -> Payment:
    """Let a report move the refund that it belongs to."""
    if refund.is_withdrawn and report.state in _MONEY_GOES:
        fact = f"refund {refund.id} was withdrawn, and {report.reference} was sent"
        payment = flag(payment, Attention.CONFLICTING_EVIDENCE, fact, now)
    moved = attrs.evolve(
        _moved(_as_answered(refund), report, now), provider_reference=report.reference
    )
    twin = _external(payment, report.reference)
    if twin is not None and twin.provider_reference is not None:
        # A report that did not name our refund was counted as an external one. What it said passes
        # on, and the reference with it: a refund of the provider belongs to one refund.
        moved = _moved(moved, _report_of(twin, report), now)
        payment = _put(payment, _as_same(twin, refund))
    payment = _put(payment, moved)
    surplus = report.amount - refund.amount
    if surplus == 0:
        return payment
    fact = f"{report.amount} of {refund.amount} sent for refund {refund.id}"
    payment = flag(payment, Attention.CONFLICTING_EVIDENCE, fact, now)
    return _count(payment, report, f"{report.reference} surplus", surplus, now)


def _report_of(twin: Refund, report: RefundSnapshot) -> RefundSnapshot:
    """What was reported of the refund before it was known as ours."""
    failure = twin.failure
    return attrs.evolve(
        report,
        state=RefundState(twin.status.value),
        failure_code=failure and failure.code,
        failure_message=failure and failure.message,
    )


def _as_same(twin: Refund, refund: Refund) -> Refund:
    failure = Failure(code=SAME_REFUND, message=f"It is the refund {refund.id}.")
    return attrs.evolve(
        twin,
        status=RefundStatus.FAILED,
        failure=failure,
        complete_time=None,
        provider_reference=None,
    )


def _external(payment: Payment, reference: str) -> Refund | None:
    return find_refund(payment, uuid5(payment.id, reference))


def _count(
    payment: Payment, report: RefundSnapshot, reference: str, amount: int, now: datetime
) -> Payment:
    """Count money that left without a refund of ours as an external refund."""
    known = _external(payment, reference)
    if known is None:
        known = Refund(
            id=uuid5(payment.id, reference),
            status=RefundStatus.PENDING,
            amount=amount,
            external=True,
            create_time=report.time,
            update_time=now,
            asking=Asking.ANSWERED,
            provider_reference=reference,
        )
    elif known.amount != amount:
        fact = f"refund {reference} of {known.amount} and of {amount}"
        payment = flag(payment, Attention.CONFLICTING_EVIDENCE, fact, now)
    first = min(known.create_time, report.time)
    larger = attrs.evolve(known, amount=max(known.amount, amount), create_time=first)
    return _put(payment, _moved(larger, report, now))


def _moved(refund: Refund, report: RefundSnapshot, now: datetime) -> Refund:
    status = _status_after(refund, report.state)
    succeeded = status is RefundStatus.SUCCEEDED
    return attrs.evolve(
        refund,
        status=status,
        failure=_failure_after(refund.failure, status, report),
        complete_time=(refund.complete_time or now) if succeeded else None,
    )


def _status_after(refund: Refund, state: RefundState) -> RefundStatus:
    """The status after a report, whatever was reported before it.

    A refund that succeeded and was canceled has failed: the money went, and came back.
    """
    known = refund.status
    if RefundStatus.FAILED in (known, RefundStatus(state.value)):
        return RefundStatus.FAILED
    was_canceled = known is RefundStatus.CANCELED and not refund.is_withdrawn
    canceled = was_canceled or state is RefundState.CANCELED
    succeeded = known is RefundStatus.SUCCEEDED or state is RefundState.SUCCEEDED
    if canceled and succeeded:
        return RefundStatus.FAILED
    if canceled:
        return RefundStatus.CANCELED
    return RefundStatus.SUCCEEDED if succeeded else RefundStatus.PENDING


def _failure_after(
    known: Failure | None, status: RefundStatus, report: RefundSnapshot
) -> Failure | None:
    """The reason why it failed or was canceled: of two reports, the one that says more."""
    if status not in (RefundStatus.FAILED, RefundStatus.CANCELED):
        return None
    said = [known or _CANCELED]
    if report.state is RefundState.FAILED:
        code = report.failure_code or "failed"
        message = report.failure_message or "The provider could not refund."
        said.append(Failure(code=code, message=message))
    return max(said, key=_says)


def _says(failure: Failure) -> tuple[int, str, str]:
    rank = {"canceled": 0, "failed": 1}.get(failure.code, 2)
    return rank, failure.code, failure.message


def stop_unsent(payment: Payment, now: datetime) -> Payment:
    """Fail refunds that were not sent, if more was taken back than was paid.

    Refunds made at the provider and lost disputes do not ask payd what is left.
    """
    if payment.status.is_open or not 0 < payment.confirmed < _taken(payment):
        return payment
    for refund in filter(_is_unsent, payment.refunds):
        failed = attrs.evolve(refund, status=RefundStatus.FAILED, failure=_NOTHING_LEFT)
        fact = f"refund {refund.id} was not sent"
        payment = flag(_put(payment, failed), Attention.CONFLICTING_EVIDENCE, fact, now)
    taken = _taken(payment)
    if taken <= payment.confirmed:
        return payment
    fact = f"{taken} of {payment.confirmed} taken back"
    return flag(payment, Attention.CONFLICTING_EVIDENCE, fact, now)


def _is_unsent(refund: Refund) -> bool:
    is_waiting = refund.status in (RefundStatus.AWAITING_APPROVAL, RefundStatus.CREATING)
    return is_waiting and refund.asking is Asking.NOT_ATTEMPTED


def _put(payment: Payment, refund: Refund) -> Payment:
    others = (one for one in payment.refunds if one.id != refund.id)
    ordered = sorted((*others, refund), key=lambda one: (one.create_time, str(one.id)))
    return attrs.evolve(payment, refunds=tuple(ordered))
