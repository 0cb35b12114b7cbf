"""Receipts of an open payment: the time of the money counts, not that of its report."""

import pytest
from unit.domain.builders import DUE, a_payment, a_receipt, a_snapshot, after, at, created

from payd.domain.attention import Attention
from payd.domain.decide import EventType, Rules, decide
from payd.domain.evidence import (
    CancelRequested,
    NotClosable,
    ProviderStatus,
    ReceiptState,
)
from payd.domain.payment import Status

DAY = 24 * 60
EXPIRES, JUST_LATE = 30.0, 30.01
WINDOW_ENDS = EXPIRES + DAY
HELD_BACK = Rules(late_payments_complete=False)
OPEN = [Status.CREATING, Status.PENDING, Status.PROCESSING, Status.CANCELING]
NOTHING = a_snapshot(minutes=40)


# -- the due sum ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", OPEN)
@pytest.mark.parametrize("rules", [Rules(), HELD_BACK])
@pytest.mark.parametrize("minutes", [2, 3 * DAY])
def test_money_that_moved_in_time_is_in_time_however_late_it_is_found(
    status: Status, rules: Rules, minutes: float
) -> None:
    ended = after(a_payment(status), (a_receipt(time=at(EXPIRES)),), minutes=minutes, rules=rules)
    assert (ended.status, ended.late, ended.attention) == (Status.COMPLETED, False, frozenset())


@pytest.mark.parametrize("status", OPEN)
@pytest.mark.parametrize("moved", [JUST_LATE, WINDOW_ENDS])
def test_money_that_moved_after_the_expiry_completes_as_late(status: Status, moved: float) -> None:
    decision = decide(a_payment(status), (a_receipt(time=at(moved)),), at(3 * DAY))
    assert decision is not None
    assert (decision.payment.status, decision.payment.late) == (Status.COMPLETED, True)
    assert decision.payment.complete_time == at(3 * DAY)
    assert decision.payment.attention == frozenset()
    assert [event.type for event in decision.events] == [EventType.COMPLETED]


@pytest.mark.parametrize("status", OPEN)
@pytest.mark.parametrize(
    ("moved", "rules"), [(JUST_LATE, HELD_BACK), (WINDOW_ENDS + 0.01, Rules())]
)
def test_money_that_moved_too_late_finds_an_expired_payment(
    status: Status, moved: float, rules: Rules
) -> None:
    receipts = (a_receipt(time=at(moved)),)
    decision = decide(a_payment(status), receipts, at(3 * DAY), rules)
    assert decision is not None
    payment = decision.payment
    assert (payment.status, payment.late, payment.close_time) == (
        Status.EXPIRED,
        False,
        at(3 * DAY),
    )
    assert payment.attention == {Attention.PAID_AFTER_CLOSE}
    assert [(event.type, event.reason) for event in decision.events] == [
        (EventType.CANCELED, "expired"),
        (EventType.ATTENTION, "PAID_AFTER_CLOSE"),
    ]
    assert decide(payment, receipts, at(3 * DAY), rules) is None


@pytest.mark.parametrize(
    ("times", "late"), [((1, EXPIRES), False), ((1, JUST_LATE), True), ((40, 50), True)]
)
def test_it_is_late_when_the_due_sum_needs_money_that_was_late(
    times: tuple[float, float], late: bool
) -> None:
    parts = (a_receipt("a", 200, time=at(times[0])), a_receipt("b", 300, time=at(times[1])))
    ended = after(a_payment(Status.PENDING), parts, minutes=60)
    assert (ended.status, ended.late) == (Status.COMPLETED, late)


def test_more_than_is_due_that_came_late_makes_nothing_late() -> None:
    parts = (a_receipt("a"), a_receipt("b", 7, time=at(40)))
    ended = after(a_payment(Status.PENDING), parts, minutes=60)
    assert (ended.status, ended.late) == (Status.COMPLETED, False)
    assert ended.attention == {Attention.OVERPAID}


def test_totals_know_no_time_and_complete_as_ever() -> None:
    paid = a_snapshot(ProviderStatus.PAID, minutes=2 * DAY)
    ended = after(a_payment(Status.PENDING), paid, minutes=2 * DAY, rules=HELD_BACK)
    assert (ended.status, ended.late) == (Status.COMPLETED, False)


# -- after closing -------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [1, EXPIRES, JUST_LATE, WINDOW_ENDS])
def test_a_completion_after_an_expiry_event_is_marked_as_late(moved: float) -> None:
    ended = after(a_payment(Status.PENDING), NOTHING, minutes=40)
    assert ended.status is Status.EXPIRED
    paid = after(ended, (a_receipt(time=at(moved)),), minutes=5 * DAY)
    assert (paid.status, paid.late) == (Status.COMPLETED, True)


def test_a_payment_that_was_closed_long_after_its_expiry_gives_money_no_more_time() -> None:
    look = a_snapshot(minutes=3 * DAY)
    ended = after(a_payment(Status.PENDING), look, minutes=3 * DAY)
    late = after(ended, (a_receipt(time=at(WINDOW_ENDS + 1)),), minutes=3 * DAY)
    assert (late.status, late.attention) == (
        Status.EXPIRED,
        frozenset({Attention.PAID_AFTER_CLOSE}),
    )


def test_a_payment_that_ended_before_its_expiry_counts_from_its_end() -> None:
    failed = a_payment(Status.FAILED, close_time=at(5))
    assert after(failed, (a_receipt(time=at(5 + DAY)),)).status is Status.COMPLETED
    assert after(failed, (a_receipt(time=at(6 + DAY)),)).status is Status.FAILED


def test_a_part_that_moved_too_late_is_reported_with_the_part_that_makes_it_enough() -> None:
    too_late, in_time = a_receipt("a", 200, time=at(3 * DAY)), a_receipt("b", 300)
    look = a_snapshot(minutes=3 * DAY)
    closed = after(a_payment(Status.PENDING), (too_late,), look, minutes=3 * DAY)
    assert (closed.status, closed.attention) == (Status.EXPIRED, frozenset({Attention.UNDERPAID}))
    both = after(closed, (in_time,), minutes=3 * DAY)
    assert (both.status, both.confirmed) == (Status.EXPIRED, DUE)
    assert both.attention == {Attention.PAID_AFTER_CLOSE}


def test_a_sighting_alone_underpays_nothing() -> None:
    ended = after(a_payment(Status.EXPIRED), (a_receipt(amount=1, state=ReceiptState.SEEN),))
    assert (ended.received, ended.attention) == (1, frozenset())


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.CANCELED])
def test_a_wrong_token_after_closing_is_reported_as_that_alone(status: Status) -> None:
    ended = after(a_payment(status), (a_receipt(asset="EUR", time=at(9 * DAY)),))
    assert (ended.status, ended.attention) == (status, frozenset({Attention.WRONG_TOKEN}))


# -- snapshots without money ---------------------------------------------------------------------


def test_a_snapshot_that_knows_of_no_money_takes_no_receipt_back() -> None:
    part = after(a_payment(Status.PENDING), (a_receipt(amount=100),))
    looked = after(part, a_snapshot(minutes=5), minutes=5)
    assert (looked.status, looked.received, looked.confirmed) == (Status.PROCESSING, 100, 100)


@pytest.mark.parametrize("wrap", [False, True])
def test_such_a_snapshot_past_the_expiry_ends_a_partly_paid_payment(wrap: bool) -> None:
    part = after(a_payment(Status.PENDING), (a_receipt(amount=100),))
    ended = after(part, NotClosable(snapshot=NOTHING) if wrap else NOTHING, minutes=40)
    assert (ended.status, ended.received) == (Status.EXPIRED, 100)
    assert ended.attention == {Attention.UNDERPAID}


@pytest.mark.parametrize(
    ("amount", "state", "status"),
    [
        (100, ReceiptState.CONFIRMED, Status.PROCESSING),
        (DUE, ReceiptState.SEEN, Status.PROCESSING),
        (DUE, ReceiptState.CONFIRMED, Status.COMPLETED),
        (DUE, ReceiptState.HELD, Status.CANCELED),
    ],
)
def test_a_cancel_request_yields_to_money_and_to_nothing_else(
    amount: int, state: ReceiptState, status: Status
) -> None:
    wished = after(a_payment(Status.PENDING), CancelRequested())
    ended = after(wished, (a_receipt(amount=amount, state=state),))
    assert after(ended, NotClosable(snapshot=a_snapshot(minutes=1))).status is status


def test_money_that_moved_before_the_cancel_and_is_found_after_it_is_for_a_person() -> None:
    wished = after(a_payment(Status.PENDING), CancelRequested())
    canceled = after(wished, NotClosable(snapshot=a_snapshot()))
    ended = after(canceled, (a_receipt(time=at(0)),))
    assert (ended.status, ended.attention) == (
        Status.CANCELED,
        frozenset({Attention.PAID_AFTER_CLOSE}),
    )


def test_an_answer_after_its_money_names_the_completed_payment() -> None:
    paid = after(a_payment(), (a_receipt(),), created())
    assert (paid.status, paid.provider_reference) == (Status.COMPLETED, "ref")
