"""Decide what evidence changes in a payment: (payment, evidence, now) → Decision.

This is the only place that changes a payment's status. It is pure: it writes nothing, calls
nothing and knows no provider. The matches stand in the order of the transition table. Evidence
that no rule covers raises attention for a person; it is never an error.
"""

import enum
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

import attrs

from payd.domain.actors import PAYD
from payd.domain.attend import attend
from payd.domain.attention import Attention, next_publish_time, to_publish
from payd.domain.dispute import Dispute
from payd.domain.evidence import (
    Absent,
    AttentionResolved,
    CancelRequested,
    CustomerForgotten,
    Declined,
    Evidence,
    NotAttempted,
    NotClosable,
    ProviderStatus,
    RefundApproved,
    RefundCanceled,
    RefundRequested,
    RefundSettled,
    Snapshot,
)
from payd.domain.facts import ENDED, learn, learn_end
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Payment, Status, flag
from payd.domain.published import NamedEvent
from payd.domain.refund import Refund, RefundStatus
from payd.domain.refunds import schedule_refunds, stop_unsent


class EventType(enum.Enum):
    """Subjects under which consumers receive events."""

    COMPLETED = "payment.completed"
    FAILED = "payment.failed"
    CANCELED = "payment.canceled"
    REFUNDED = "payment.refunded"
    REFUND_FAILED = "payment.refund_failed"
    DISPUTED = "payment.disputed"
    DISPUTE_CLOSED = "payment.dispute_closed"
    ATTENTION = "payment.attention"


@attrs.frozen(kw_only=True)
class Event:
    """An event to be written to the outbox with the decision."""

    type: EventType
    previous_status: Status
    reason: str = ""
    #: The refund or dispute that it is about, if it is about one.
    refund_id: UUID | None = None
    dispute_id: str | None = None


@attrs.frozen(kw_only=True)
class Rules:
    """Settings of an operator for money that arrives late or never."""

    #: How long after closing money can still complete a payment.
    late_window: timedelta = timedelta(hours=24)
    #: False is `late_payments: hold`: money that arrives after closing waits for a person.
    late_payments_complete: bool = True
    #: A payment FAILS this long after its creation if its request provably never left payd.
    not_attempted_limit: timedelta = timedelta(minutes=10)
    #: The provider can close an object: a payment never expires while its object is open.
    closes: bool = False


@attrs.frozen(kw_only=True)
class Decision:
    """Everything that one piece of evidence changes; it is written as a whole or not at all."""

    payment: Payment
    #: event_type of the audit row; each decision writes one.
    audit_event: str
    events: tuple[Event, ...] = ()
    #: The reason that the caller gave, for the audit row.
    note: str = ""
    #: Older events that are published once more, for the audit row.
    republished: tuple[NamedEvent, ...] = ()


#: Delay before the next status check, by the number of checks without news. The last one repeats.
CHECK_DELAYS_CREATING = tuple(timedelta(seconds=s) for s in (30, 120, 600, 3600, 21600))
CHECK_DELAYS_OPEN = tuple(timedelta(seconds=s) for s in (120, 300, 600, 1800, 3600))


def decide(
    payment: Payment, evidence: Evidence, now: datetime, rules: Rules | None = None
) -> Decision | None:
    """Return what `evidence` changes in `payment`; None when it contains nothing new.

    `now` is the time of the decision, in UTC. The caller writes the result with compare-and-set on
    `payment.version`, and decides again on the newest version when another writer was faster.
    Of its receipts, `payment` must have those that the evidence reports. Raises StaleSums, and a
    PaydError for a command that is refused, such as to refund more than is left.
    """
    after = _step(payment, evidence, now, rules or Rules())
    event = FORGOTTEN if isinstance(evidence, CustomerForgotten) else ""
    return _decision(payment, after, now, _note(evidence), event)


def _note(evidence: Evidence) -> str:
    match evidence:
        case CancelRequested(reason=it) | AttentionResolved(note=it) | CustomerForgotten(note=it):
            return it
        case RefundApproved(note=note) | RefundCanceled(note=note) | RefundSettled(note=note):
            return note
        case RefundRequested(refund=refund):
            return refund.reason
    return ""


@attrs.frozen(kw_only=True)
class SetDecision:
    """One decision on several pieces of evidence."""

    #: None when no piece contains anything new.
    decision: Decision | None
    #: For each piece that was decided on, in order, whether it contains anything new.
    news: tuple[bool, ...]


def decide_set(
    payment: Payment, pieces: Sequence[Evidence], now: datetime, rules: Rules | None = None
) -> SetDecision:
    """Decide on `pieces` in their order, as one change of the payment.

    A piece that makes an event is the last one: the event shows the payment as it was then. The
    caller decides on the rest afterwards. Further facts behind an open reason are one event: a
    flood of small receipts on an overpaid payment must not be as many events.
    """
    rules = rules or Rules()
    after, news = payment, list[bool]()
    for piece in pieces:
        before, after = after, _step(after, piece, now, rules)
        news.append(after != before)
        match _events(payment, after):
            case ():
                continue
            case (Event(type=EventType.ATTENTION),) if after.attention <= payment.attention:
                continue
            case _:
                break
    return SetDecision(decision=_decision(payment, after, now), news=tuple(news))


def _step(payment: Payment, evidence: Evidence, now: datetime, rules: Rules) -> Payment:
    """Apply the evidence, and leave out what belongs to the decision as a whole."""
    after = learn(payment, evidence, now, payment.late_end(rules.late_window))
    after = _move(payment, after, evidence, now, rules)
    if after.refunds:
        after = stop_unsent(after, now)
    return attend(after, now)


def _decision(
    before: Payment, after: Payment, now: datetime, note: str = "", event: str = ""
) -> Decision | None:
    if after == before:
        return None
    audit_event = event or _audit_event(before, after)
    checks = before.checks if audit_event == _STATUS_CHECKED else 0
    if after.refunds != before.refunds:
        after = schedule_refunds(before, after, now)
    after = after if after.checks == checks else attrs.evolve(after, checks=checks)
    check = next_check_time(after, now)
    version = before.version + 1
    return Decision(
        payment=attrs.evolve(after, version=version, update_time=now, next_check_time=check),
        audit_event=audit_event,
        events=_events(before, after),
        note=note,
    )


def next_check_time(payment: Payment, now: datetime) -> datetime | None:
    """Time of the next status check; None for a payment that needs no more.

    A check is also due at the expiry, since a payment expires only after a fresh check, and when a
    reason for attention is to be published.
    """
    if not payment.status.is_open:
        return None
    has_no_object = payment.provider_reference is None or payment.status is Status.CANCELING
    steps = CHECK_DELAYS_CREATING if has_no_object else CHECK_DELAYS_OPEN
    check = now + steps[min(payment.checks, len(steps) - 1)]
    if payment.expire_time > now:
        check = min(check, payment.expire_time)
    if not payment.attention_records:
        return check
    publish_time = next_publish_time(payment.attention_records)
    return min(check, publish_time) if publish_time and publish_time > now else check


# -- status ----------------------------------------------------------------------------------


def _move(
    before: Payment, after: Payment, evidence: Evidence, now: datetime, rules: Rules
) -> Payment:
    """Apply the transition table. `after` already has the new facts, but still the old status."""
    match before.status:
        case Status.COMPLETED:
            return after
        case Status.CANCELED | Status.EXPIRED | Status.FAILED:
            return _after_close(before, after, evidence, now, rules)
        case _ if after.confirmed >= after.due:
            return _paid(after, now, rules)
        case Status.CREATING:
            return _from_creating(after, evidence, now, rules)
        case Status.CANCELING:
            return _from_canceling(after, evidence, now, rules)
        case Status.PENDING | Status.PROCESSING:
            return _from_open(after, evidence, now, rules)
        case _:
            assert_never(before.status)


def _paid(after: Payment, now: datetime, rules: Rules) -> Payment:
    """Complete or expire a payment whose due amount is final.

    Receipts carry the time at which the money moved, by the clock of the chain or bank. That clock
    decides whether it was in time; ours may have been late to see it.
    """
    # First, because it refuses sums that were made for another expiry.
    in_window = after.sums.confirmed_by(after.late_end(rules.late_window))
    in_time, *_ = after.sums.confirmed
    if max(after.snapshot_confirmed, in_time) >= after.due:
        return _complete(after, now)
    if rules.late_payments_complete and in_window >= after.due:
        return attrs.evolve(_complete(after, now), late=True)
    return _paid_too_late(_close(after, Status.EXPIRED, now), now)


def _from_creating(after: Payment, evidence: Evidence, now: datetime, rules: Rules) -> Payment:
    match evidence:
        case Declined(code=code, message=message):
            return _close(after, Status.FAILED, now, Failure(code=code, message=message))
        case NotAttempted() if (
            after.asking is Asking.NOT_ATTEMPTED
            and now >= after.create_time + rules.not_attempted_limit
        ):
            return _close(after, Status.FAILED, now, NEVER_SENT)
        case Absent() if after.asking is not Asking.ANSWERED and now >= after.expire_time:
            return _close(after, Status.EXPIRED, now)
        case CancelRequested():
            # What is known already may settle the cancellation at once.
            after = attrs.evolve(after, status=Status.CANCELING)
            return _from_canceling(after, evidence, now, rules)
    return after if after.provider_reference is None else _from_open(after, evidence, now, rules)


def _from_canceling(after: Payment, evidence: Evidence, now: datetime, rules: Rules) -> Payment:
    if after.received > 0 or after.provider_status is ProviderStatus.PROCESSING:
        return _from_open(after, evidence, now, rules)
    snapshot = _snapshot_in(evidence)
    if snapshot is not None and _is_about(after, snapshot):
        # An object of another amount has ended for the caller, too.
        after = learn_end(after, snapshot)
    match evidence:
        case NotClosable(snapshot=snapshot) if _is_about(after, snapshot):
            return _close(after, Status.CANCELED, now)
        case Declined():
            return _close(after, Status.CANCELED, now)
        case NotAttempted() | Absent() if after.asking is Asking.NOT_ATTEMPTED:
            return _close(after, Status.CANCELED, now)
        case Absent() if after.provider_reference is None and now >= after.expire_time:
            return _close(after, Status.CANCELED, now)
    if after.provider_status in ENDED:
        return _close(after, Status.CANCELED, now)
    return after


def _from_open(after: Payment, evidence: Evidence, now: datetime, rules: Rules) -> Payment:
    if after.provider_status is ProviderStatus.PROCESSING or after.received > after.confirmed:
        # Money is under way: the payment must not be closed.
        return attrs.evolve(after, status=Status.PROCESSING)
    match after.provider_status:
        case ProviderStatus.DECLINED:
            return _close(after, Status.FAILED, now, _declined(evidence))
        case ProviderStatus.CANCELED if now < after.expire_time:
            return _close(after, Status.FAILED, now, _CLOSED_ELSEWHERE)
        case ProviderStatus.EXPIRED | ProviderStatus.CANCELED:
            return _close(after, Status.EXPIRED, now)
    if _is_overdue(after, evidence, now, rules):
        return _close(after, Status.EXPIRED, now)
    if isinstance(evidence, CancelRequested) and after.status is Status.PENDING:
        return attrs.evolve(after, status=Status.CANCELING)
    return attrs.evolve(after, status=Status.PROCESSING if after.received > 0 else Status.PENDING)


def _is_overdue(after: Payment, evidence: Evidence, now: datetime, rules: Rules) -> bool:
    """Whether evidence from after the expiry shows that the payment was not paid.

    `_move` has already handled the case that enough money arrived.
    """
    if now < after.expire_time or (rules.closes and after.provider_status is ProviderStatus.OPEN):
        return False
    snapshot = _snapshot_in(evidence)
    if snapshot is not None:
        return snapshot.as_of >= after.expire_time and _is_about(after, snapshot)
    # Money may arrive, and end a cancellation, before the answer to `create` is known.
    never_sent = isinstance(evidence, NotAttempted) and after.asking is Asking.NOT_ATTEMPTED
    return (never_sent or isinstance(evidence, Absent)) and after.provider_reference is None


def _snapshot_in(evidence: Evidence) -> Snapshot | None:
    """The snapshot that the evidence is or contains, if any."""
    snapshot = evidence.snapshot if isinstance(evidence, NotClosable) else evidence
    return snapshot if isinstance(snapshot, Snapshot) else None


def _is_about(after: Payment, snapshot: Snapshot) -> bool:
    """Whether a snapshot is of this payment's object, and not of another one."""
    return snapshot.reference in (None, after.provider_reference)


def _after_close(
    before: Payment, after: Payment, evidence: Evidence, now: datetime, rules: Rules
) -> Payment:
    if after.received <= before.received and after.confirmed <= before.confirmed:
        return after
    in_time, some_too_late = _by_time(after, evidence, rules)
    may_complete = before.status is not Status.CANCELED and rules.late_payments_complete
    if may_complete and in_time >= after.due:
        return attrs.evolve(_complete(after, now), late=True, failure=None)
    if may_complete and not some_too_late:
        return after
    if not isinstance(evidence, tuple):
        return _paid_too_late(after, now)
    for receipt in evidence:
        after = flag(after, Attention.PAID_AFTER_CLOSE, f"receipt {receipt.id}", now)
    return after


def _paid_too_late(after: Payment, now: datetime) -> Payment:
    return flag(after, Attention.PAID_AFTER_CLOSE, f"{after.received} received", now)


def _by_time(after: Payment, evidence: Evidence, rules: Rules) -> tuple[int, bool]:
    """The final amount that moved within the late window, and whether some moved after it."""
    snapshot = _snapshot_in(evidence)
    if snapshot is not None:
        closed = after.close_time or after.update_time
        too_late = snapshot.as_of > closed + rules.late_window
        return (0 if too_late else snapshot.confirmed), too_late
    end = after.late_end(rules.late_window)
    return after.sums.confirmed_by(end), after.sums.has_moved_after(end)


def _complete(after: Payment, now: datetime) -> Payment:
    return attrs.evolve(
        after,
        status=Status.COMPLETED,
        complete_time=now,
        asking=Asking.ANSWERED,
        ask_deadline=None,
    )


def _close(
    after: Payment, status: Status, now: datetime, failure: Failure | None = None
) -> Payment:
    return attrs.evolve(after, status=status, close_time=now, failure=failure, ask_deadline=None)


NEVER_SENT = Failure(code="not_attempted", message="The provider could not be reached.")
_CLOSED_ELSEWHERE = Failure(
    code="closed_by_provider", message="The provider closed the payment before it was paid."
)


def _declined(evidence: Evidence) -> Failure:
    snapshot = _snapshot_in(evidence)
    code, message = snapshot and snapshot.failure_code, snapshot and snapshot.failure_message
    return Failure(code=code or "declined", message=message or "The provider declined.")


# -- events and audit ---------------------------------------------------------------


_LIFECYCLE = {
    Status.COMPLETED: (EventType.COMPLETED, ""),
    Status.FAILED: (EventType.FAILED, ""),
    Status.CANCELED: (EventType.CANCELED, "canceled"),
    Status.EXPIRED: (EventType.CANCELED, "expired"),
}


def _events(before: Payment, after: Payment) -> tuple[Event, ...]:
    events = []
    if after.status is not before.status and after.status in _LIFECYCLE:
        kind, reason = _LIFECYCLE[after.status]
        events.append(Event(type=kind, previous_status=before.status, reason=reason))
    if after.refunds or after.disputes:
        events += (*_events_of_refunds(before, after), *_events_of_disputes(before, after))
    raised = to_publish(before.attention_records, after.attention_records)
    if raised:
        reason = ",".join(sorted(attention.value for attention in raised))
        events.append(Event(type=EventType.ATTENTION, previous_status=before.status, reason=reason))
    return tuple(events)


def _events_of_refunds(before: Payment, after: Payment) -> Iterator[Event]:
    known = {refund.id: _end_of(refund) for refund in before.refunds}
    for refund in after.refunds:
        kind = _end_of(refund)
        if kind is not None and kind is not known.get(refund.id):
            reason = refund.failure.code if refund.failure else ""
            yield Event(
                type=kind, previous_status=before.status, reason=reason, refund_id=refund.id
            )


def _end_of(refund: Refund) -> EventType | None:
    """The event of a refund that ended; None also for one that a person took back."""
    if refund.status is RefundStatus.SUCCEEDED:
        return EventType.REFUNDED
    return EventType.REFUND_FAILED if refund.has_failed else None


def _events_of_disputes(before: Payment, after: Payment) -> Iterator[Event]:
    """The opening and the end of each dispute, once, also if both are reported at once."""
    known = {dispute.id: dispute.status for dispute in before.disputes}
    for dispute in after.disputes:
        old = known.get(dispute.id)
        if dispute.status is old or dispute.status.is_inquiry:
            continue
        if old is None or old.is_inquiry:
            yield _event_of_dispute(EventType.DISPUTED, before, dispute)
        if not dispute.status.is_open and (old is None or old.is_inquiry or old.is_open):
            yield _event_of_dispute(EventType.DISPUTE_CLOSED, before, dispute)


def _event_of_dispute(kind: EventType, before: Payment, dispute: Dispute) -> Event:
    reason = dispute.reason if kind is EventType.DISPUTED else dispute.status.value
    return Event(type=kind, previous_status=before.status, reason=reason, dispute_id=dispute.id)


#: event_type of the row that says who erased the customer's data; erasing leaves it alone.
FORGOTTEN = "customer_forgotten"
#: event_type of a status check that brought nothing new but its own time.
_STATUS_CHECKED = "status_checked"


def _audit_event(before: Payment, after: Payment) -> str:
    if after.status is not before.status:
        return f"payment_{after.status.value.lower()}"
    if after.refunds != before.refunds:
        return _audit_event_of_refund(before, after)
    if after.disputes != before.disputes:
        return "dispute_changed"
    if after.attention_records != before.attention_records:
        return "attention_resolved" if _resolved(before, after) else "attention_changed"
    if _money(after) != _money(before):
        return "facts_changed"
    if after.expire_time != before.expire_time:
        return "expiry_changed"
    if after.asking is not before.asking or after.provider_reference != before.provider_reference:
        return "provider_answered"
    return _STATUS_CHECKED


def _audit_event_of_refund(before: Payment, after: Payment) -> str:
    """The weightiest change of a refund: the new status of the first that has one."""
    known = {refund.id: refund.status for refund in before.refunds}
    for refund in after.refunds:
        if known.get(refund.id) is not refund.status:
            return f"refund_{refund.status.value.lower()}"
    return "refund_changed"


def _resolved(before: Payment, after: Payment) -> bool:
    """Whether a person has looked."""
    by_person = {
        (record.reason, record.resolved_time)
        for record in after.attention_records
        if record.resolved_by not in ("", PAYD)
    }
    return not by_person <= {(r.reason, r.resolved_time) for r in before.attention_records}


def _money(payment: Payment) -> tuple[object, ...]:
    return payment.received, payment.confirmed, payment.refunded, payment.receipts, payment.fee
