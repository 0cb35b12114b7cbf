"""What must hold of the past of each payment: its audit trail, its events, and when it ended."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import attrs
from simulation.history import History, name_of
from simulation.plan import late_window

from payd.adapters.postgres.replay import base_of
from payd.domain.decide import EventType
from payd.domain.dispute import DisputeStatus
from payd.domain.payment import Customer, Payment, Status
from payd.domain.refund import Refund, RefundStatus
from payd.domain.sums import ReceiptSums
from payd.plugins import ProviderStatus

#: Event → the changes in the audit trail that it announces.
_ANNOUNCED = {
    EventType.COMPLETED: ("payment_completed",),
    EventType.FAILED: ("payment_failed",),
    EventType.CANCELED: ("payment_canceled", "payment_expired"),
}
#: Without these a webhook is settled at once: nothing else keeps a report waiting.
_DISTURBING = {
    "database away",
    "commit lost its answer",
    "daemon killed",
    "daemon frozen",
    "provider answer lost",
    "provider ends",
    "provider hangs",
}
#: Less than the interval at which a worker looks by itself.
SOON = timedelta(seconds=60)


def i4_late_money_completes_in_its_window(history: History) -> Iterator[str]:
    for payment in history.payments:
        window_s = history.plan.late_window_s
        if payment.provider != "chain" or payment.status is Status.CANCELED:
            continue
        in_time = _came_until(history, payment, timedelta(0)) >= payment.due
        in_window = _came_until(history, payment, late_window(history.plan)) >= payment.due
        completes = in_time or (window_s is not None and in_window)
        expected = (completes, completes and not in_time)
        if _was_matched(history, payment):
            # After the end it is late, whenever it came, and completes nothing without a window.
            completes = completes if window_s is not None else payment.status is Status.COMPLETED
            expected = (completes, payment.late)
        if expected != (payment.status is Status.COMPLETED, payment.late):
            late = ", late" if payment.late else ""
            yield f"{name_of(payment)}{late}: came in time: {in_time}, may complete: {completes}"


def _came_until(history: History, payment: Payment, later: timedelta) -> int:
    id_, chain = str(payment.id), history.chain
    end = payment.expire_time
    if later:
        end = min(payment.close_time or end, end) + later
    return sum(
        one.amount
        for one in chain.transfers
        if one.owner == id_ and not one.refund_id and not one.is_dropped
        if chain.time_of(one.time_s) <= end
    )


def _was_matched(history: History, payment: Payment) -> bool:
    return any(one.matched == str(payment.id) for one in history.chain.transfers)


def i8_each_change_has_its_event(history: History) -> Iterator[str]:
    written: dict[Any, Counter[tuple[str, str]]] = {one.id: Counter() for one in history.payments}
    for held in history.store.outbox.rows.values():
        about = history.store.outbox.abouts[held.row.event_id]
        written[held.row.payment_id][held.row.subject, about] += 1
    for payment in history.payments:
        changes = Counter(row.event_type for row in history.trails[payment.id])
        expected = {
            (kind.value, ""): sum(changes[name] for name in names)
            for kind, names in _ANNOUNCED.items()
        }
        found = written[payment.id]
        for refund in payment.refunds:
            expected |= _of_refund(refund, found)
        for dispute in payment.disputes:
            was_open = not dispute.status.is_inquiry
            expected[EventType.DISPUTED.value, dispute.id] = was_open
            closed = was_open and not dispute.status.is_open
            expected[EventType.DISPUTE_CLOSED.value, dispute.id] = closed
        for name in (*expected, *found):
            if name[0] != EventType.ATTENTION.value and found[name] != expected.get(name, 0):
                yield f"{name_of(payment)} has {found[name]} events {name}"


def _of_refund(refund: Refund, found: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    went, came_back = (EventType.REFUNDED.value, EventType.REFUND_FAILED.value)
    about = str(refund.id)
    # One that failed may have succeeded before.
    succeeded = refund.status is RefundStatus.SUCCEEDED
    most = min(1, found[went, about]) if refund.has_failed else int(succeeded)
    return {(went, about): most, (came_back, about): int(refund.has_failed)}


def i12_the_trail_gives_what_is_stored(history: History) -> Iterator[str]:
    for payment in history.payments:
        first, *rest = history.trails[payment.id]
        replayed = base_of(first).after(rest).payment()
        one, other = _comparable(replayed), _comparable(payment)
        names = [
            field.name
            for field in attrs.fields(Payment)
            if getattr(one, field.name) != getattr(other, field.name)
        ]
        if names:
            yield f"{name_of(payment)} has other {', '.join(names)} than its audit trail says"


def _comparable(payment: Payment) -> Payment:
    """Without leases, and without what a replay leaves out."""
    refunds = (
        attrs.evolve(one, checks=0, next_check_time=None, request_hash=b"")
        for one in payment.refunds
    )
    return attrs.evolve(
        payment,
        request_hash=b"",
        customer=Customer(id=payment.customer.id),
        checks=0,
        next_check_time=None,
        refunds=tuple(refunds),
        sums=ReceiptSums(),
        receipts=(),
    )


def no_refund_is_granted_during_a_dispute(history: History) -> Iterator[str]:
    for payment in history.payments:
        disputes: dict[str, DisputeStatus] = {}
        known: set[str] = set()
        for row in history.trails[payment.id]:
            new = {one["id"] for one in row.details.get("refunds", ()) if not one["external"]}
            is_disputed = any(one.is_open or one is DisputeStatus.LOST for one in disputes.values())
            if is_disputed and new - known:
                yield f"{name_of(payment)} was disputed, and a refund was granted"
            known |= new
            for one in row.details.get("disputes", ()):
                disputes[one["id"]] = DisputeStatus(one["status"])


def nothing_is_closed_before_its_time(history: History) -> Iterator[str]:
    for payment in history.payments:
        thing = history.rail.thing_of(payment.id)
        if thing is None or thing.status is not ProviderStatus.CANCELED:
            continue
        wishes = {"payment_canceling", "payment_canceled"}
        if wishes & {row.event_type for row in history.trails[payment.id]}:
            continue
        early = payment.expire_time - thing.past[-1][0]
        if early > timedelta(0):
            yield f"{thing.reference} of {name_of(payment)} was closed {early} before its expiry"


def what_is_paid_was_never_announced_as_ended(history: History) -> Iterator[str]:
    ended = {EventType.CANCELED.value, EventType.FAILED.value}
    events = [held.row for held in history.store.outbox.rows.values()]
    announced = {row.payment_id for row in events if row.subject in ended}
    for payment in history.payments:
        if payment.id in announced and _began_expired(history, payment):
            continue
        thing = history.rail.thing_of(payment.id)
        is_paid = thing is not None and thing.status is ProviderStatus.PAID
        is_in_time = payment.provider == "chain" and payment.status is Status.COMPLETED
        is_in_time = is_in_time and not _was_matched(history, payment)
        is_in_time = is_in_time and _came_until(history, payment, timedelta(0)) >= payment.due
        if (is_paid or is_in_time) and payment.id in announced:
            yield f"{name_of(payment)} was paid in time, and announced as ended without money"


def _began_expired(history: History, payment: Payment) -> bool:
    """Whether a daemon began it whose clock was so far behind that it had expired for the others.

    They may find no object yet, and end it: then the money completes it late.
    """
    starts = {f"key-{buyer.number}": buyer.start_s for buyer in history.plan.buyers}
    start_s = starts.get(payment.idempotency_key)
    return start_s is not None and payment.expire_time <= history.chain.time_of(start_s)


def a_newer_state_is_not_replaced_by_an_older_one(history: History) -> Iterator[str]:
    for payment in history.payments:
        rows = (row.details.get("changes", {}) for row in history.trails[payment.id])
        times = [changes[name] for changes in rows if (name := "provider_status_time") in changes]
        if times != sorted(times):
            yield f"{name_of(payment)} had the states of {', '.join(times)}, in this order"


def an_event_keeps_its_bytes(history: History) -> Iterator[str]:
    stored = {held.row.event_id: held.row for held in history.store.outbox.rows.values()}
    for sent in history.stream.published:
        if sent != stored[sent.event_id]:
            yield f"{sent.subject} {sent.event_id} was published with other contents"


def a_report_is_settled_soon(history: History) -> Iterator[str]:
    if history.plan.faults & _DISTURBING:
        return
    for name, accepted in history.accepted.items():
        rows = history.store.inbox.rows.values()
        held = next(one for one in rows if getattr(one.row.report, "id", "") == name)
        if held.settle_time is not None and held.settle_time - accepted > SOON:
            yield f"{name} waited for {held.settle_time - accepted}"


CHECKERS: tuple[Callable[[History], Iterator[str]], ...] = (
    i4_late_money_completes_in_its_window,
    i8_each_change_has_its_event,
    i12_the_trail_gives_what_is_stored,
    no_refund_is_granted_during_a_dispute,
    nothing_is_closed_before_its_time,
    what_is_paid_was_never_announced_as_ended,
    a_newer_state_is_not_replaced_by_an_older_one,
    an_event_keeps_its_bytes,
    a_report_is_settled_soon,
)
