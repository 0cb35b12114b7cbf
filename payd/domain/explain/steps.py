"""The steps of an explanation: one for each change of the payment, one for each published event."""

from collections.abc import Callable, Iterator, Sequence

import attrs

from payd.domain.actors import PAYD, RECONCILIATION, RECOVERY, operator_actor, provider_actor
from payd.domain.decide import FORGOTTEN, EventType
from payd.domain.explain.dispute_moves import dispute_changes
from payd.domain.explain.facts_changed import (
    answered,
    checked,
    expiry_changed,
    money_changed,
    receipts,
)
from payd.domain.explain.money_back import code_of
from payd.domain.explain.moves import creation, move_of
from payd.domain.explain.reasons import attention_changes
from payd.domain.explain.refund_moves import refund_changes
from payd.domain.explain.said import Move, Said
from payd.domain.explain.words import listing, money, when
from payd.domain.explanation import FieldChange, Step
from payd.domain.history import Change, History, StoredEvent
from payd.domain.payment import Payment, Status
from payd.domain.refund_reports import SAME_REFUND


def steps_of(history: History) -> tuple[Step, ...]:
    """All steps, oldest first."""
    found = []
    before = history.before
    for change in history.changes:
        found.append(_first(change) if before is None else _step(history, before, change))
        before = change.payment
    payment = history.payment
    events = [_published(payment, event) for event in history.events if event.publish_time]
    return tuple(_merged(without_repetitions(found), events))


def _merged(changes: Sequence[Step], events: Sequence[Step]) -> Iterator[Step]:
    """Each event after the changes up to its time.

    The changes stay in their order, whatever the clocks of the daemons that made them say.
    """
    waiting = sorted(events, key=lambda step: step.time)
    for number, change in enumerate(changes):
        yield change
        following = changes[number + 1 :]
        while waiting and all(waiting[0].time < later.time for later in following):
            yield waiting.pop(0)


def without_repetitions(steps: Sequence[Step]) -> list[Step]:
    """Put pairs of steps that repeat the two before them into one sentence.

    So does an unreachable provider: payd sends, nothing arrives, again and again.
    """
    kept: list[Step] = []
    position = again = 0
    while position < len(steps):
        pair = steps[position : position + 2]
        if len(pair) == 2 and [*map(_alike, pair)] == [*map(_alike, kept[-2:])]:
            again, position, last = again + 1, position + 2, pair[-1]
            continue
        if again:
            kept[-1] = _repeated(kept[-1], again, last)
        again = 0
        kept.append(steps[position])
        position += 1
    if again:
        kept[-1] = _repeated(kept[-1], again, last)
    return kept


def _alike(step: Step) -> tuple[object, ...]:
    return step.actor, step.source, step.what, step.changes


def _repeated(step: Step, again: int, last: Step) -> Step:
    times = "once more" if again == 1 else f"{again} times more"
    return attrs.evolve(
        step, what=f"{step.what} These two steps happened {times}, last at {when(last.time)}."
    )


def _first(change: Change) -> Step:
    payment = change.payment
    said = creation(payment, change.actor)
    return Step(
        time=change.time,
        actor=change.actor,
        source=_call(change),
        what=said.what,
        because=said.because,
        changes=(
            FieldChange("status", "", payment.status.value),
            FieldChange("due", "", money(payment, payment.due)),
            FieldChange("expire_time", "", when(payment.expire_time)),
        ),
    )


def _step(history: History, before: Payment, change: Change) -> Step:
    move = Move(before=before, change=change)
    said = tuple(sentences(move))
    what = _preface(move) + " ".join(one.what for one in said)
    if change.note and change.note not in what:
        what = f'{what} Note: "{change.note}".'
    return Step(
        time=change.time,
        actor=change.actor,
        source=_source(history, change),
        what=what,
        because=" ".join(dict.fromkeys(one.because for one in said if one.because)),
        changes=tuple(changes_of(before, change.payment)),
    )


def _preface(move: Move) -> str:
    """What a person did, where the sentences say what the provider answered to it."""
    change = move.change
    if not _is_by_operator(change):
        return ""
    if change.receipts:
        names = listing(receipt.id for receipt in change.receipts)
        return f"{change.actor} attached receipt {names} to the payment. "
    if _is_answer(move):
        return f"At the request of {change.actor} payd asked {move.provider}. "
    return ""


def _is_by_operator(change: Change) -> bool:
    return change.actor.startswith(operator_actor(""))


def _is_answer(move: Move) -> bool:
    """Whether it is what the provider answered, and not what the person wanted."""
    change = move.change
    is_wish = change.note or change.republished
    if is_wish or Status.CANCELING in (move.before.status, move.after.status):
        return False
    resolved = change.audit_event == "attention_resolved"
    return not resolved and move.before.refunds == move.after.refunds


def sentences(move: Move) -> Iterator[Said]:
    """What one change means: first the status, then all else that changed with it."""
    if move.change.audit_event == FORGOTTEN:
        yield Said(
            "The personal data of the customer was erased.",
            "An operator has forgotten the customer; amounts, items and references stay.",
        )
        return
    if move.change.republished:
        yield _republished(move.change)
        return
    said = [*_of_status(move), *_of_the_rest(move)]
    yield from said or [checked(move)]


def _republished(change: Change) -> Said:
    names = listing(f"{event.subject} ({event.id})" for event in change.republished)
    return Said(
        f"At the request of {change.actor} payd published again: {names}.",
        "They keep their ids, so a consumer that has handled them skips them. The payment itself"
        " did not change.",
    )


def _of_status(move: Move) -> Iterator[Said]:
    yield from receipts(move)
    yield from answered(move)
    if move.before.status is not move.after.status:
        yield move_of(move)
    else:
        yield from money_changed(move)


def _of_the_rest(move: Move) -> Iterator[Said]:
    yield from expiry_changed(move)
    yield from refund_changes(move)
    yield from dispute_changes(move)
    yield from attention_changes(move)


def _source(history: History, change: Change) -> str:
    if change.report_ids:
        return _reports(history, change.report_ids, change.payment.provider)
    match change.actor:
        case actor if actor == RECOVERY:
            return f"status check at {change.payment.provider}"
        case actor if actor == RECONCILIATION:
            return f"comparison with the list of {change.payment.provider}"
        case actor if actor == provider_actor(change.payment.provider):
            return f"report of {change.payment.provider}"
        case actor if actor == PAYD:
            return PAYD
        case _:
            return _call(change)


def _reports(history: History, ids: tuple[int, ...], provider: str) -> str:
    names = []
    for report_id in ids:
        report = history.reports.get(report_id)
        names.append(
            f"{report.event_id} (received {when(report.receive_time)})"
            if report
            else f"inbox row {report_id}"
        )
    shown = [*names[:3], f"{len(names) - 3} more"] if len(names) > 3 else names
    return f"{'reports' if len(names) > 1 else 'report'} {listing(shown)} of {provider}"


def _call(change: Change) -> str:
    if not change.certificate and not change.request_id:
        kind = "command" if change.actor.startswith(operator_actor("")) else "call"
        return f"{kind} of {change.actor}"
    certificate = change.certificate
    by = f" with the certificate {certificate}" if certificate not in ("", change.actor) else ""
    return f"call of {change.actor}{by}, request {change.request_id or 'without an id'}"


def _published(payment: Payment, event: StoredEvent) -> Step:
    published = event.publish_time or event.create_time
    about = f" about {event.about}" if event.about else ""
    late_s = (published - event.create_time).total_seconds()
    waited = f" It had waited since {when(event.create_time)}." if late_s >= 60 else ""
    return Step(
        time=published,
        actor=PAYD,
        source=f"event {event.event_id}",
        what=f"{event.subject}{about} was published: {_learned_about(payment, event)}.{waited}",
        because="NATS has acknowledged it.",
    )


#: Event → what the main app learns by it.
EVENTS: dict[EventType, str] = {
    EventType.COMPLETED: "the main app learns that the payment is complete",
    EventType.FAILED: "the main app learns that the payment failed",
    EventType.CANCELED: "the main app learns that the payment is canceled or expired",
    EventType.REFUNDED: "the main app learns that money went back",
    EventType.REFUND_FAILED: "the main app learns that a refund failed",
    EventType.DISPUTED: "the main app learns of the dispute",
    EventType.DISPUTE_CLOSED: "the main app learns how the dispute ended",
    EventType.ATTENTION: "the main app learns that a person has to look",
}


def _learned_about(payment: Payment, event: StoredEvent) -> str:
    for refund in payment.refunds:
        is_same = str(refund.id) == event.about and code_of(refund) == SAME_REFUND
        if is_same and event.subject == EventType.REFUND_FAILED.value:
            return (
                f"no refund failed. Its reason, {SAME_REFUND}, says that the refund made at"
                f" {payment.provider} is one of payd's own, so the main app drops it"
            )
    return learned(event.subject)


def learned(subject: str) -> str:
    """What the main app learns by an event; a newer version of payd may store other subjects."""
    known = {kind.value: text for kind, text in EVENTS.items()}
    return known.get(subject, "the main app learns of it")


# -- values before and after ---------------------------------------------------------------------

_Value = Callable[[Payment], str]

_VALUES: dict[str, _Value] = {
    "status": lambda p: p.status.value,
    "received": lambda p: money(p, p.received),
    "confirmed": lambda p: money(p, p.confirmed),
    "refunded": lambda p: money(p, p.refunded),
    "fee": lambda p: "" if p.fee is None else money(p, p.fee),
    "expire_time": lambda p: when(p.expire_time),
    "provider_reference": lambda p: p.provider_reference or "",
    "provider_status": lambda p: p.provider_status.value if p.provider_status else "",
    "failure": lambda p: p.failure.code if p.failure else "",
    "late": lambda p: "true" if p.late else "false",
    "attention": lambda p: ", ".join(sorted(reason.value for reason in p.attention)),
}


def changes_of(before: Payment, after: Payment) -> Iterator[FieldChange]:
    """The values that differ between two versions, in words."""
    for name, value in _VALUES.items():
        if value(before) != value(after):
            yield FieldChange(name, value(before), value(after))
    yield from _of_parts("refund", _refunds(before), _refunds(after))
    yield from _of_parts("dispute", _disputes(before), _disputes(after))


def _of_parts(kind: str, old: dict[str, str], new: dict[str, str]) -> Iterator[FieldChange]:
    for name, value in new.items():
        if old.get(name) != value:
            yield FieldChange(f"{kind} {name}", old.get(name, ""), value)


def _refunds(payment: Payment) -> dict[str, str]:
    return {
        str(one.id): f"{one.status.value} {money(payment, one.amount)}" for one in payment.refunds
    }


def _disputes(payment: Payment) -> dict[str, str]:
    return {one.id: one.status.value for one in payment.disputes}
