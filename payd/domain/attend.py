"""Which reasons for attention the facts of a payment give, and which they no longer give."""

from datetime import datetime

import attrs

from payd.domain.attention import WAITING, Attention, derive, end, publish_old
from payd.domain.dispute import DisputeStatus
from payd.domain.outcome import Asking
from payd.domain.payment import Payment
from payd.domain.refund import RefundStatus
from payd.domain.refund_reports import SAME_REFUND, SETTLED

#: Computed from the facts at every decision; the other reasons stay once they are raised.
_DERIVED = (
    Attention.UNDERPAID,
    Attention.OVERPAID,
    Attention.DUPLICATE_PAYMENT,
    Attention.REFUNDED_EXTERNALLY,
    Attention.REFUND_FAILED,
    Attention.DISPUTED,
    Attention.LOST_DISPUTE,
)


def attend(payment: Payment, now: datetime) -> Payment:
    """Open the reasons that the facts give, and end those that they no longer give."""
    true = _of_money(payment)
    if payment.refunds or payment.snapshot_refunded:
        true |= _of_refunds(payment)
    if payment.disputes or payment.attention_records:
        true |= _of_disputes(payment)
    if not true and not payment.attention_records:
        return payment
    records = derive(payment.attention_records, _DERIVED, true, now)
    if not payment.status.is_open:
        creating = any(refund.status is RefundStatus.CREATING for refund in payment.refunds)
        records = end(records, WAITING - {Attention.STUCK} if creating else WAITING, now)
    if payment.asking is Asking.ANSWERED:
        records = end(records, (Attention.OUTCOME_UNKNOWN,), now)
    return attrs.evolve(payment, attention_records=publish_old(records, now))


_True = dict[Attention, frozenset[str]]


def _of_money(payment: Payment) -> _True:
    true = {}
    confirmed, due = payment.confirmed, payment.due
    if payment.status.is_closed and 0 < confirmed < due:
        true[Attention.UNDERPAID] = f"{confirmed} of {due} confirmed"
    if confirmed > due:
        true[Attention.OVERPAID] = f"{confirmed} of {due} confirmed"
    if confirmed >= 2 * due and due > 0:
        true[Attention.DUPLICATE_PAYMENT] = f"paid {confirmed // due} times"
    return {reason: frozenset({fact}) for reason, fact in true.items()}


def _of_refunds(payment: Payment) -> _True:
    external = {
        f"refund {refund.provider_reference}"
        for refund in payment.refunds
        if refund.external and refund.status.is_live
    }
    if payment.refunded_unlisted > 0:
        external.add(f"{payment.refunded_unlisted} refunded")
    failed = {
        f"refund {refund.id}"
        for refund in payment.refunds
        if refund.status is RefundStatus.FAILED
        and refund.failure is not None
        and refund.failure.code not in (SAME_REFUND, SETTLED)
    }
    return {
        Attention.REFUNDED_EXTERNALLY: frozenset(external),
        Attention.REFUND_FAILED: frozenset(failed),
    }


def _of_disputes(payment: Payment) -> _True:
    if not payment.disputes:
        return _reported_before(payment)
    opened = {one.id for one in payment.disputes if one.status.is_open}
    lost = {one.id for one in payment.disputes if one.status is DisputeStatus.LOST}
    return {Attention.DISPUTED: frozenset(opened), Attention.LOST_DISPUTE: frozenset(lost)}


def _reported_before(payment: Payment) -> _True:
    """DISPUTED stays as it is on a payment from the time when payd did not keep each dispute."""
    for record in payment.attention_records:
        if record.reason is Attention.DISPUTED:
            return {Attention.DISPUTED: frozenset({"reported"})}
    return {}
