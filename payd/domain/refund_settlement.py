"""Settlement of a refund: a person says what became of it, because payd cannot find out.

The row keeps `Asking.UNKNOWN` until the provider confirms it, so that refund_reports.py knows a
person's word from the provider's.
"""

from datetime import datetime

import attrs

from payd.domain.errors import InvalidField, NotRefundable
from payd.domain.evidence import RefundSettled
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Payment, put_refund
from payd.domain.refund import Refund, RefundSnapshot, RefundState, RefundStatus
from payd.domain.refund_reports import SETTLED, learn_refund
from payd.domain.refunds import refund_of

_NEVER_WENT = Failure(code=SETTLED, message="Nothing was sent: an operator has found out.")


def settle_refund(payment: Payment, settled: RefundSettled, now: datetime) -> Payment:
    """Return the payment with the outcome of a refund; the same outcome again changes nothing.

    Raises RefundNotFound, InvalidField for the reference, and NotRefundable when the refund has an
    outcome, or payd can still find out.
    """
    refund = refund_of(payment, settled.refund_id)
    if settled.reference and not settled.has_succeeded:
        raise InvalidField("reference", "only a refund that succeeded has one: leave it out")
    if _is_so(refund, settled):
        return payment
    _refuse(refund, settled, now)
    refund = attrs.evolve(refund, asking=Asking.UNKNOWN, ask_deadline=None)
    if not settled.has_succeeded:
        failed = attrs.evolve(refund, status=RefundStatus.FAILED, failure=_NEVER_WENT)
        return put_refund(payment, failed)
    for known in payment.refunds:
        if settled.reference and known.provider_reference == settled.reference:
            report = _report_of(payment, refund, known, settled.reference)
            return learn_refund(payment, report, now)
    succeeded = attrs.evolve(
        refund,
        status=RefundStatus.SUCCEEDED,
        complete_time=now,
        provider_reference=settled.reference or None,
    )
    return put_refund(payment, succeeded)


def _is_so(refund: Refund, settled: RefundSettled) -> bool:
    wanted = RefundStatus.SUCCEEDED if settled.has_succeeded else RefundStatus.FAILED
    return refund.status is wanted and settled.reference in ("", refund.provider_reference)


def _refuse(refund: Refund, settled: RefundSettled, now: datetime) -> None:
    if refund.status is RefundStatus.AWAITING_TRANSFER and settled.has_succeeded:
        # A person has made the transfer; payd asks nobody, and never learns of one it cannot read.
        return
    if refund.status is not RefundStatus.CREATING:
        advice = (
            "cancel it, if nothing was sent"
            if refund.status is RefundStatus.AWAITING_TRANSFER
            else "only one in CREATING, or a transfer in AWAITING_TRANSFER, can be settled"
        )
        raise NotRefundable(
            f"the refund is {refund.status.value}: {advice}",
            refund_id=str(refund.id),
            status=refund.status.value,
        )
    earliest = max(settled.not_before, refund.ask_deadline or settled.not_before)
    if now < earliest:
        raise NotRefundable(
            f"payd can still find out by itself what became of it: settle it after {earliest}",
            refund_id=str(refund.id),
            status=refund.status.value,
            settle_time=earliest.isoformat(),
        )


def _report_of(payment: Payment, refund: Refund, known: Refund, reference: str) -> RefundSnapshot:
    """What the provider has reported of `known`, as a report of `refund`. Raises InvalidField."""
    if not known.external:
        raise InvalidField("reference", f"it is that of refund {known.id}")
    if not known.status.is_live or known.amount != refund.amount:
        raise InvalidField(
            "reference",
            f"the provider reports {known.amount}, {known.status.value}, under it,"
            f" and this refund is of {refund.amount}",
        )
    return RefundSnapshot(
        reference=reference,
        state=RefundState(known.status.value),
        asset=payment.asset,
        amount=known.amount,
        time=known.create_time,
        refund_id=refund.id,
    )
