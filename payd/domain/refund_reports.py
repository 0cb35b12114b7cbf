"""What reports of refunds change: refunds of ours move, those made at the provider are counted.

Reports give the same result in every order and with every repetition: failure wins over success,
and money that is reported as refunded is counted once, if not in a refund of ours, then in an
external one.
"""

from datetime import datetime
from uuid import uuid5

import attrs

from payd.domain.attention import Attention
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Payment, find_refund, flag, name_also, put_refund
from payd.domain.refund import Refund, RefundSnapshot, RefundState, RefundStatus

#: Code of an external refund that turned out to be one of ours.
SAME_REFUND = "same_refund"
#: Code of a refund that failed by a person's word: it needs no more attention.
SETTLED = "settled"

_CANCELED = Failure(code="canceled", message="The provider canceled the refund.")


def learn_refund(payment: Payment, report: RefundSnapshot, now: datetime) -> Payment:
    """Return the payment with the report of a refund, ours or one made at the provider."""
    payment = name_also(payment, report.aliases)
    if not payment.is_asset(report.asset):
        return flag(payment, Attention.WRONG_TOKEN, f"refund {report.reference}", now)
    ours = _named_by(payment, report)
    if ours is None:
        return _count(payment, report, report.reference, report.amount, now)
    return _learn_of_ours(payment, ours, report, now)


def as_answered(refund: Refund) -> Refund:
    """The refund when the provider has said what became of the request."""
    return attrs.evolve(refund, asking=Asking.ANSWERED, ask_deadline=None)


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
    if refund.is_settled:
        return _learn_of_settled(payment, refund, report, now)
    if is_known and _fits(refund, report):
        return _merge(payment, refund, report, now)
    if not is_known and _was_never_sent(refund) and report.state not in _MONEY_GOES:
        return payment
    is_second = not is_known and refund.provider_reference is not None
    is_of_another = not is_known and _named_by(payment, attrs.evolve(report, refund_id=None))
    if is_second or is_of_another or _was_never_sent(refund) or not _fits(refund, report):
        payment = _contradicts(payment, refund, report, now)
        is_counted = any(r.provider_reference == report.reference for r in payment.refunds)
        if is_known or (is_counted and _external(payment, report.reference) is None):
            return payment
        return _count(payment, report, report.reference, report.amount, now)
    return _merge(payment, refund, report, now)


def _learn_of_settled(
    payment: Payment, refund: Refund, report: RefundSnapshot, now: datetime
) -> Payment:
    """Let the provider confirm or contradict what a person has said, and count the money once.

    A refund that failed stays failed. If its money went all the same, it counts as external, and so
    does what becomes of it. In all else the provider's word wins, and its id of the refund, too.
    """
    goes, succeeded = report.state in _MONEY_GOES, refund.status is RefundStatus.SUCCEEDED
    has_other_name = refund.provider_reference not in (None, report.reference)
    if has_other_name or report.amount != refund.amount:
        payment = _contradicts(payment, refund, report, now)
    elif goes is not succeeded:
        said = f"{report.reference} is {report.state.value}"
        fact = f"refund {refund.id} was settled as {refund.status.value}, but {said}"
        payment = flag(payment, Attention.CONFLICTING_EVIDENCE, fact, now)
    if succeeded or not (goes or _external(payment, report.reference)):
        return _merge(payment, refund, report, now)
    return _count(payment, report, report.reference, report.amount, now)


def _contradicts(
    payment: Payment, refund: Refund, report: RefundSnapshot, now: datetime
) -> Payment:
    fact = f"refund {report.reference} of {report.amount} for refund {refund.id}"
    return flag(payment, Attention.CONFLICTING_EVIDENCE, fact, now)


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
        _moved(as_answered(refund), report, now), provider_reference=report.reference
    )
    twin = _external(payment, report.reference)
    if twin is not None and twin.provider_reference is not None:
        # A report that did not name our refund was counted as an external one. What it said passes
        # on, and the reference with it: a refund of the provider belongs to one refund.
        moved = _moved(moved, _report_of(twin, report), now)
        payment = put_refund(payment, _as_same(twin, refund))
    payment = put_refund(payment, moved)
    surplus = report.amount - refund.amount
    if surplus <= 0:
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
    return put_refund(payment, _moved(larger, report, now))


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
    rank = {"canceled": 0, "failed": 1, SETTLED: 3}.get(failure.code, 2)
    return rank, failure.code, failure.message
