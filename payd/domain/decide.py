"""The one function that moves a payment: (payment, evidence, now) → Decision.

Pure: it writes nothing, asks nobody and knows no provider. The order of the matches is the
order of the transition table. What no rule can place becomes attention, never an error.
"""

import enum
from datetime import datetime, timedelta
from typing import assert_never

import attrs

from payd.domain.evidence import (
    Absent,
    CancelRequested,
    Declined,
    Evidence,
    NotAttempted,
    NotClosable,
    ProviderStatus,
    Snapshot,
)
from payd.domain.facts import UNPAYABLE, flag, learn
from payd.domain.payment import Asking, Attention, Failure, Payment, Status


class EventType(enum.Enum):
    """The subjects that consumers know."""

    COMPLETED = "payment.completed"
    FAILED = "payment.failed"
    CANCELED = "payment.canceled"
    ATTENTION = "payment.attention"


@attrs.frozen(kw_only=True)
class Event:
    """One outbox row to be."""

    type: EventType
    previous_status: Status
    reason: str = ""


@attrs.frozen(kw_only=True)
class Rules:
    """What an operator may set about closing."""

    #: How long after closing money still completes a payment.
    late_window: timedelta = timedelta(hours=24)
    #: False is `late_payments: hold`: money after closing waits for a person.
    late_payments_complete: bool = True
    #: A payment that could provably never be sent FAILS after this.
    not_attempted_limit: timedelta = timedelta(minutes=10)


@attrs.frozen(kw_only=True)
class Decision:
    """What must be written, all of it or nothing."""

    payment: Payment
    #: The audit row's event_type; one row a decision that changed anything.
    what: str
    events: tuple[Event, ...] = ()
    #: What the caller gave as a reason, for the audit row.
    note: str = ""


#: When to look at the provider, by how often nothing new was seen. The last one repeats.
CHECK_DELAYS_CREATING = tuple(timedelta(seconds=s) for s in (30, 120, 600, 3600, 21600))
CHECK_DELAYS_OPEN = tuple(timedelta(seconds=s) for s in (120, 300, 600, 1800, 3600))

#: Money that no rule could place: these are published as payment.attention.
MONEY_ATTENTION = frozenset(Attention) - {Attention.OUTCOME_UNKNOWN, Attention.STUCK}

#: Follow from the facts at every decision; the others stay once raised.
_DERIVED = frozenset(
    {
        Attention.UNDERPAID,
        Attention.OVERPAID,
        Attention.DUPLICATE_PAYMENT,
        Attention.REFUNDED_EXTERNALLY,
    }
)
_UNSETTLED = frozenset({Attention.OUTCOME_UNKNOWN, Attention.STUCK})


def decide(
    payment: Payment, evidence: Evidence, now: datetime, rules: Rules | None = None
) -> Decision | None:
    """What `evidence` makes of `payment`; None when it says nothing new."""
    rules = rules or Rules()
    after = learn(payment, evidence, now)
    after = _move(payment, after, evidence, now, rules)
    after = attrs.evolve(after, attention=_attention(after))
    if after == payment:
        return None
    checks = payment.checks if _what(payment, after) == _STATUS_CHECKED else 0
    after = attrs.evolve(after, version=payment.version + 1, update_time=now, checks=checks)
    after = attrs.evolve(after, next_check_time=next_check_time(after, now))
    note = evidence.reason if isinstance(evidence, CancelRequested) else ""
    return Decision(
        payment=after, what=_what(payment, after), events=_events(payment, after), note=note
    )


def next_check_time(payment: Payment, now: datetime) -> datetime | None:
    """When recovery should ask the provider; None when nothing is left to ask."""
    if not payment.status.is_open:
        return None
    unborn = payment.provider_reference is None or payment.status is Status.CANCELING
    steps = CHECK_DELAYS_CREATING if unborn else CHECK_DELAYS_OPEN
    look = now + steps[min(payment.checks, len(steps) - 1)]
    if payment.expire_time > now:
        return min(look, payment.expire_time)
    return look


# -- status ----------------------------------------------------------------------------------


def _move(
    before: Payment, after: Payment, evidence: Evidence, now: datetime, rules: Rules
) -> Payment:
    """The transition table, row by row; `after` has the facts, still the old status."""
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
            return _from_canceling(after, evidence, now)
        case Status.PENDING | Status.PROCESSING:
            return _from_open(after, evidence, now)
        case _:
            assert_never(before.status)


def _paid(after: Payment, now: datetime, rules: Rules) -> Payment:
    """The due sum is final. Where the rail says when money moved, its clock decides, not ours."""
    if max(after.snapshot_confirmed, after.confirmed_by(after.expire_time)) >= after.due:
        return _complete(after, now)
    in_window = after.confirmed_by(after.expire_time + rules.late_window)
    if rules.late_payments_complete and in_window >= after.due:
        return attrs.evolve(_complete(after, now), late=True)
    return flag(_close(after, Status.EXPIRED, now), Attention.PAID_AFTER_CLOSE)


def _from_creating(after: Payment, evidence: Evidence, now: datetime, rules: Rules) -> Payment:
    match evidence:
        case Declined(code=code, message=message):
            return _close(after, Status.FAILED, now, Failure(code=code, message=message))
        case NotAttempted() if (
            after.asking is Asking.NOT_ATTEMPTED
            and now >= after.create_time + rules.not_attempted_limit
        ):
            return _close(after, Status.FAILED, now, _NEVER_SENT)
        case Absent() if after.asking is not Asking.ANSWERED and now >= after.expire_time:
            return _close(after, Status.EXPIRED, now)
        case CancelRequested():
            # What is known already may end the wish at once.
            return _from_canceling(attrs.evolve(after, status=Status.CANCELING), evidence, now)
    if after.provider_reference is not None:
        return _from_open(attrs.evolve(after, status=Status.PENDING), evidence, now)
    return after


def _from_canceling(after: Payment, evidence: Evidence, now: datetime) -> Payment:
    if after.received > 0 or after.provider_status is ProviderStatus.PROCESSING:
        return _from_open(attrs.evolve(after, status=Status.PROCESSING), evidence, now)
    match evidence:
        case NotClosable(snapshot=look) if _is_ours(after, look):
            return _close(after, Status.CANCELED, now)
        case Declined():
            return _close(after, Status.CANCELED, now)
        case NotAttempted() | Absent() if after.asking is Asking.NOT_ATTEMPTED:
            return _close(after, Status.CANCELED, now)
        case Absent() if after.provider_reference is None and now >= after.expire_time:
            return _close(after, Status.CANCELED, now)
    if after.provider_status in UNPAYABLE:
        return _close(after, Status.CANCELED, now)
    return after


def _from_open(after: Payment, evidence: Evidence, now: datetime) -> Payment:
    if after.provider_status is ProviderStatus.PROCESSING or after.received > after.confirmed:
        # Money is on its way: nothing closes it.
        return attrs.evolve(after, status=Status.PROCESSING)
    match after.provider_status:
        case ProviderStatus.DECLINED:
            return _close(after, Status.FAILED, now, _declined(evidence))
        case ProviderStatus.CANCELED if now < after.expire_time:
            return _close(after, Status.FAILED, now, _CLOSED_ELSEWHERE)
        case ProviderStatus.EXPIRED | ProviderStatus.CANCELED:
            return _close(after, Status.EXPIRED, now)
    if _is_overdue(after, evidence, now):
        return _close(after, Status.EXPIRED, now)
    if isinstance(evidence, CancelRequested) and after.status is Status.PENDING:
        return attrs.evolve(after, status=Status.CANCELING)
    return attrs.evolve(after, status=Status.PROCESSING if after.received > 0 else Status.PENDING)


def _is_overdue(after: Payment, evidence: Evidence, now: datetime) -> bool:
    """A look taken after the expiry; that it shows too little was checked before."""
    if now < after.expire_time:
        return False
    look = _look(evidence)
    if look is not None:
        fresh = look.as_of >= after.expire_time and _is_ours(after, look)
        return fresh and look.status is not ProviderStatus.DISPUTED
    # Money may come, and end a wish to cancel, before the answer to `create` is known.
    never_sent = isinstance(evidence, NotAttempted) and after.asking is Asking.NOT_ATTEMPTED
    nothing_there = never_sent or isinstance(evidence, Absent)
    return nothing_there and after.provider_reference is None


def _look(evidence: Evidence) -> Snapshot | None:
    """The totals in it, where it has any."""
    look = evidence.snapshot if isinstance(evidence, NotClosable) else evidence
    return look if isinstance(look, Snapshot) else None


def _is_ours(after: Payment, look: Snapshot) -> bool:
    """A look at another object says nothing about ours."""
    return look.reference in (None, after.provider_reference)


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
    return flag(after, Attention.PAID_AFTER_CLOSE)


def _by_time(after: Payment, evidence: Evidence, rules: Rules) -> tuple[int, bool]:
    """How much is final of what moved within the window, and whether some moved later."""
    closed = after.close_time or after.update_time
    look = _look(evidence)
    if look is not None:
        too_late = look.as_of > closed + rules.late_window
        return (0 if too_late else look.confirmed), too_late
    # That closing waited for a look gives the money no more time: it has a clock of its own.
    end = min(closed, after.expire_time) + rules.late_window
    return after.confirmed_by(end), after.has_moved_after(end)


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


_NEVER_SENT = Failure(code="not_attempted", message="The provider could not be reached.")
_CLOSED_ELSEWHERE = Failure(
    code="closed_by_provider", message="The provider closed the payment before it was paid."
)


def _declined(evidence: Evidence) -> Failure:
    code = message = None
    if isinstance(evidence, Snapshot):
        code, message = evidence.failure_code, evidence.failure_message
    return Failure(code=code or "declined", message=message or "The provider declined.")


# -- what follows ----------------------------------------------------------------------------


def _attention(after: Payment) -> frozenset[Attention]:
    reasons = set(after.attention - _DERIVED)
    if not after.status.is_open:
        reasons -= _UNSETTLED
    if after.asking is Asking.ANSWERED:
        reasons.discard(Attention.OUTCOME_UNKNOWN)
    if after.status.is_closed and 0 < after.confirmed < after.due:
        reasons.add(Attention.UNDERPAID)
    if after.confirmed > after.due:
        reasons.add(Attention.OVERPAID)
    if after.confirmed >= 2 * after.due and after.due > 0:
        reasons.add(Attention.DUPLICATE_PAYMENT)
    if after.refunded > 0:
        reasons.add(Attention.REFUNDED_EXTERNALLY)
    return frozenset(reasons)


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
    raised = (after.attention - before.attention) & MONEY_ATTENTION
    if raised:
        reason = ",".join(sorted(attention.value for attention in raised))
        events.append(Event(type=EventType.ATTENTION, previous_status=before.status, reason=reason))
    return tuple(events)


#: The audit row of a look that brought no news but its own time.
_STATUS_CHECKED = "status_checked"


def _what(before: Payment, after: Payment) -> str:
    if after.status is not before.status:
        return f"payment_{after.status.value.lower()}"
    if after.attention != before.attention:
        return "attention_changed"
    if _money(after) != _money(before):
        return "facts_changed"
    if after.asking is not before.asking or after.provider_reference != before.provider_reference:
        return "provider_answered"
    return _STATUS_CHECKED


def _money(payment: Payment) -> tuple[object, ...]:
    return payment.received, payment.confirmed, payment.refunded, payment.receipts
