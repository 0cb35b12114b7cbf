"""Add the facts in a piece of evidence to a payment, whatever its status.

The same evidence in any order, any number of times, gives the same facts. Confirmed totals merge
by their maximum and receipts by union; of two reports of one receipt the more final one wins, then
the larger one. For everything that may still be undone the newest report wins.
"""

from datetime import datetime, timedelta
from typing import assert_never

import attrs

from payd.domain.asking import after_answer
from payd.domain.attention import Attention, resolve
from payd.domain.dispute import Dispute
from payd.domain.disputes import learn_dispute
from payd.domain.evidence import (
    Absent,
    AskAgain,
    AttentionResolved,
    CancelRequested,
    Conflict,
    Created,
    CustomerForgotten,
    Declined,
    Evidence,
    NotAttempted,
    NotClosable,
    OutcomeUnknown,
    ProviderStatus,
    Receipt,
    ReceiptState,
    RefundAnswered,
    RefundApproved,
    RefundCanceled,
    RefundRequested,
    RefundSettled,
    Snapshot,
    Unanswered,
)
from payd.domain.forget import forgotten
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status, flag, name_also
from payd.domain.refund import RefundSnapshot
from payd.domain.refund_reports import learn_refund
from payd.domain.refund_settlement import settle_refund
from payd.domain.refunds import answered, approve, grant, withdraw

#: An open payment without news this long after its expiry is STUCK.
STUCK_AFTER = timedelta(hours=1)

#: Statuses of an object that can no longer be paid.
UNPAYABLE = (ProviderStatus.CANCELED, ProviderStatus.EXPIRED, ProviderStatus.DECLINED)

#: Statuses of an object with which nothing more happens: it was paid, or can no longer be.
ENDED = (*UNPAYABLE, ProviderStatus.PAID)

#: What is about a refund or a dispute.
_MoneyBack = (
    RefundRequested
    | RefundApproved
    | RefundCanceled
    | RefundSettled
    | RefundAnswered
    | RefundSnapshot
    | Dispute
)

#: Begins the fact that an object of another amount was paid.
BROUGHT = "brought "

_STATUS_RANK = {status: rank for rank, status in enumerate(ProviderStatus)}


def learn(payment: Payment, evidence: Evidence, now: datetime, late_end: datetime) -> Payment:
    """Return the payment with the new facts and its old status.

    `late_end` is the end of its late window.
    """
    match evidence:
        case Created():
            return _adopt(payment, evidence, now)
        case Snapshot():
            return _learn_snapshot(payment, evidence, now)
        case NotClosable(snapshot=snapshot):
            return _learn_snapshot(payment, snapshot, now)
        case tuple():
            return _learn_receipts(payment, evidence, now, late_end)
        case Conflict(detail=detail):
            fact = detail or "a report that contradicts what is known"
            return flag(payment, Attention.CONFLICTING_EVIDENCE, fact, now)
        case AttentionResolved(reasons=reasons, by=by, note=note):
            records = resolve(payment.attention_records, reasons, by, note, now)
            return attrs.evolve(payment, attention_records=records)
        case CustomerForgotten():
            return forgotten(payment)
        case Unanswered():
            return _learn_silence(payment, now)
        case OutcomeUnknown() | NotAttempted() | Absent() | AskAgain() | Declined():
            return _learn_asking(payment, evidence)
        case CancelRequested():
            return payment
        case _:
            return _learn_of_money_back(payment, evidence, now)


def _learn_of_money_back(payment: Payment, evidence: _MoneyBack, now: datetime) -> Payment:
    match evidence:
        case RefundSnapshot():
            return learn_refund(payment, evidence, now)
        case Dispute():
            return learn_dispute(payment, evidence)
        case RefundRequested():
            return grant(payment, evidence, now)
        case RefundApproved():
            return approve(payment, evidence)
        case RefundCanceled():
            return withdraw(payment, evidence)
        case RefundSettled():
            return settle_refund(payment, evidence, now)
        case RefundAnswered():
            return answered(payment, evidence, now)
        case _:
            assert_never(evidence)


def _adopt(payment: Payment, created: Created, now: datetime) -> Payment:
    other = f"object {created.reference}"
    if payment.provider_reference is None:
        after = attrs.evolve(
            payment,
            provider_reference=created.reference,
            aliases=created.aliases,
            next_action=created.next_action,
            expire_time=_earlier_expiry(payment, created),
            asking=Asking.ANSWERED,
            ask_deadline=None,
        )
        if _was_denied(payment):
            return flag(after, Attention.CONFLICTING_EVIDENCE, other, now)
        return after
    if payment.provider_reference != created.reference:
        return flag(payment, Attention.CONFLICTING_EVIDENCE, other, now)
    return attrs.evolve(
        name_also(payment, created.aliases),
        next_action=payment.next_action or created.next_action,
        expire_time=_earlier_expiry(payment, created),
    )


def _earlier_expiry(payment: Payment, created: Created) -> datetime:
    """The expiry, where the remote side closes the object earlier than that.

    The earliest that was reported wins, so that the order does not matter. Nothing expires before
    it exists: a wrong time of the remote side must not make all money too late.
    """
    if created.expire_time is None:
        return payment.expire_time
    return min(payment.expire_time, max(payment.create_time, created.expire_time))


def _was_denied(payment: Payment) -> bool:
    """Whether the payment was closed because no object existed.

    An object that appears afterwards may still be payable, and nothing will close it.
    """
    return payment.status.is_closed and payment.provider_status not in UNPAYABLE


def _learn_asking(
    payment: Payment, evidence: OutcomeUnknown | NotAttempted | Absent | AskAgain | Declined
) -> Payment:
    if payment.asking is Asking.ANSWERED or evidence == Absent(proven=False):
        return payment
    deadline = None
    if isinstance(evidence, AskAgain):
        deadline = evidence.deadline
        if not payment.status.is_open or deadline == payment.ask_deadline:
            return payment
    asking = after_answer(payment.asking, evidence)
    return attrs.evolve(payment, asking=asking, ask_deadline=deadline)


def _learn_snapshot(payment: Payment, snapshot: Snapshot, now: datetime) -> Payment:
    named, known = snapshot.reference, payment.provider_reference
    if named not in (None, known) and (known is not None or _is_harmless(snapshot)):
        return _learn_of_another(payment, snapshot, now)
    if not payment.is_asset(snapshot.asset) or snapshot.due not in (None, payment.due):
        return _learn_of_another_amount(payment, snapshot, now)
    if named is not None:
        # A report may overtake the answer to `create`, or that answer was lost.
        payment = _adopt(payment, Created(reference=named, next_action=None), now)
    if snapshot.aliases:
        payment = name_also(payment, snapshot.aliases)
    after = attrs.evolve(
        payment,
        snapshot_confirmed=max(payment.snapshot_confirmed, snapshot.confirmed),
        fee=payment.fee if snapshot.fee is None else max(payment.fee or 0, snapshot.fee),
    )
    for refund in snapshot.refunds:
        after = learn_refund(after, refund, now)
    for dispute in snapshot.disputes:
        after = learn_dispute(after, dispute)
    if snapshot.status is ProviderStatus.PAID and snapshot.confirmed < payment.due:
        paid = f"paid with {snapshot.confirmed}"
        after = flag(after, Attention.AMOUNT_MISMATCH, paid, now)
    if not _is_newer(payment, snapshot):
        return after
    return attrs.evolve(
        after,
        snapshot_received=snapshot.received,
        provider_status=snapshot.status,
        provider_status_time=snapshot.as_of,
    )


def _learn_of_another_amount(payment: Payment, snapshot: Snapshot, now: datetime) -> Payment:
    """Leave it to a person: neither what the object asks for nor what it brought counts."""
    asks = snapshot.asset if snapshot.due is None else f"{snapshot.due} {snapshot.asset}"
    payment = flag(payment, Attention.AMOUNT_MISMATCH, f"asks for {asks}", now)
    if snapshot.confirmed == 0:
        return payment
    brought = f"{BROUGHT}{snapshot.confirmed} {snapshot.asset}"
    return flag(payment, Attention.AMOUNT_MISMATCH, brought, now)


def learn_end(payment: Payment, snapshot: Snapshot) -> Payment:
    """Learn that the payment's object has ended, whatever amount it asked for or brought.

    Its money is left out: what counts is known already.
    """
    if snapshot.status not in ENDED or not _is_newer(payment, snapshot):
        return payment
    return attrs.evolve(
        payment, provider_status=snapshot.status, provider_status_time=snapshot.as_of
    )


def _learn_of_another(payment: Payment, snapshot: Snapshot, now: datetime) -> Payment:
    """Handle a second object of this payment.

    Its money never counts. While it can be paid, the customer could pay twice.
    """
    if _is_harmless(snapshot):
        return payment
    other = f"object {snapshot.reference}"
    return flag(payment, Attention.CONFLICTING_EVIDENCE, other, now)


def _is_harmless(snapshot: Snapshot) -> bool:
    return snapshot.status in UNPAYABLE and snapshot.received == 0


def _is_newer(payment: Payment, snapshot: Snapshot) -> bool:
    if payment.provider_status is None or payment.provider_status_time is None:
        return True
    known = (
        payment.provider_status_time,
        _STATUS_RANK[payment.provider_status],
        payment.snapshot_received,
    )
    return (snapshot.as_of, _STATUS_RANK[snapshot.status], snapshot.received) > known


def _learn_receipts(
    payment: Payment, receipts: tuple[Receipt, ...], now: datetime, late_end: datetime
) -> Payment:
    known = {receipt.id: receipt for receipt in payment.receipts}
    after, sums = payment, payment.sums
    for receipt in receipts:
        if not payment.is_asset(receipt.asset):
            # The payment does not get it: a person has to match it, or send it back.
            after = flag(after, Attention.WRONG_TOKEN, f"receipt {receipt.id}", now)
            continue
        old = known.get(receipt.id)
        if old is not None and _contradict(receipt, old):
            fact = f"receipt {receipt.id}"
            after = flag(after, Attention.CONFLICTING_EVIDENCE, fact, now)
        if old is None or _replaces(receipt, old):
            known[receipt.id] = receipt
            sums = sums.replace(old, receipt, payment.expire_time, late_end)
    ordered = tuple(sorted(known.values(), key=lambda receipt: receipt.id))
    return attrs.evolve(after, receipts=ordered, sums=sums)


def _contradict(one: Receipt, other: Receipt) -> bool:
    """Whether two reports of one receipt cannot both be true.

    Two times of final money would let the order of the reports decide whether it was in time. The
    time of money that is only seen or withheld may still change.
    """
    both_final = one.state is other.state is ReceiptState.CONFIRMED
    return one.amount != other.amount or (both_final and one.time != other.time)


def _replaces(new: Receipt, old: Receipt) -> bool:
    """Whether `new` wins over `old`, in whatever order they came.

    Of two final amounts the larger wins: a smaller one would take facts back.
    """
    if new.outranks(old) or old.outranks(new):
        return new.outranks(old)
    return (new.amount, new.time, new.asset) > (old.amount, old.time, old.asset)


def _learn_silence(payment: Payment, now: datetime) -> Payment:
    is_unborn = payment.status is Status.CANCELING and payment.provider_reference is None
    if (payment.status is Status.CREATING or is_unborn) and now >= payment.expire_time:
        return flag(payment, Attention.OUTCOME_UNKNOWN, "create", now)
    if payment.status.is_open and now >= payment.expire_time + STUCK_AFTER:
        return flag(payment, Attention.STUCK, "open after its expiry", now)
    return payment
