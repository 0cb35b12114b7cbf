"""Money after closing: the clock of the chain or bank decides whether it was in time."""

import attrs
import pytest
from unit.domain.builders import DUE, USD, a_payment, a_receipt, a_snapshot, after, at, created

from payd.domain.attention import Attention
from payd.domain.decide import EventType, Rules, decide
from payd.domain.evidence import (
    Evidence,
    NotClosable,
    ProviderStatus,
    Receipt,
    ReceiptState,
)
from payd.domain.payment import Payment, Status

DAY = 24 * 60
EXPIRED = a_payment(Status.EXPIRED)
SEEN, DROPPED = ReceiptState.SEEN, ReceiptState.DROPPED


def looked(minutes: float) -> Evidence:
    return a_snapshot(ProviderStatus.PAID, minutes=minutes)


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.FAILED])
@pytest.mark.parametrize(
    ("evidence", "completes"),
    [
        ((a_receipt(time=at(DAY)),), True),
        ((a_receipt(time=at(DAY + 1)),), False),
        (looked(DAY), True),
        (looked(DAY + 1), False),
        (NotClosable(snapshot=a_snapshot(minutes=DAY, received=DUE, confirmed=DUE)), True),
    ],
)
def test_the_window_ends_a_day_after_closing_by_the_time_the_money_moved(
    status: Status, evidence: Evidence, completes: bool
) -> None:
    late = after(a_payment(status), evidence, minutes=10 * DAY)
    assert late.status is (Status.COMPLETED if completes else status)
    assert (Attention.PAID_AFTER_CLOSE in late.attention) is not completes


def test_the_smallest_price_is_not_paid_by_a_snapshot_that_is_too_late() -> None:
    cent = a_payment(Status.EXPIRED, amount=attrs.evolve(USD, minor_units=1))
    paid = a_snapshot(ProviderStatus.PAID, minutes=DAY + 1, received=1, confirmed=1)
    assert after(cent, paid, minutes=10 * DAY).status is Status.EXPIRED


def test_late_money_completes_once_and_takes_the_failure_back() -> None:
    failed = after(a_payment(Status.PENDING), a_snapshot(ProviderStatus.DECLINED))
    decision = decide(failed, (a_receipt(),), at(9))
    assert decision is not None
    paid = decision.payment
    assert (paid.late, paid.failure, paid.complete_time) == (True, None, at(9))
    assert [(event.type, event.previous_status) for event in decision.events] == [
        (EventType.COMPLETED, Status.FAILED)
    ]
    assert decide(paid, (a_receipt(),), at(10)) is None


def test_the_due_sum_in_time_is_not_spoiled_by_what_came_later_in_the_same_report() -> None:
    both = (a_receipt("a"), a_receipt("b", 7, time=at(2 * DAY)))
    paid = after(EXPIRED, both, minutes=3 * DAY)
    assert (paid.status, paid.confirmed) == (Status.COMPLETED, DUE + 7)
    assert paid.attention == {Attention.OVERPAID}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_part_that_came_too_late_never_helps_to_complete(order: tuple[int, int]) -> None:
    parts: list[Evidence] = [
        (a_receipt("a", 200, time=at(1)),),
        (a_receipt("b", 300, time=at(2 * DAY)),),
    ]
    after_both = after(EXPIRED, *(parts[n] for n in order), minutes=3 * DAY)
    assert after_both.status is Status.EXPIRED
    assert after_both.confirmed == DUE
    assert Attention.PAID_AFTER_CLOSE in after_both.attention


def test_parts_in_time_add_up_to_a_completed_payment() -> None:
    first = after(EXPIRED, (a_receipt("a", 200),))
    assert (first.status, first.attention) == (Status.EXPIRED, frozenset({Attention.UNDERPAID}))
    both = after(first, (a_receipt("b", 300),))
    assert (both.status, both.attention) == (Status.COMPLETED, frozenset[Attention]())


@pytest.mark.parametrize(
    "other",
    [
        a_receipt("x", asset="EUR", time=at(9 * DAY)),
        a_receipt("x", state=DROPPED, time=at(9 * DAY)),
    ],
)
def test_what_is_no_money_for_the_payment_has_no_say_in_the_time(other: Receipt) -> None:
    paid = after(EXPIRED, (a_receipt(), other))
    assert paid.status is Status.COMPLETED
    part = after(EXPIRED, (a_receipt(amount=100), other))
    assert Attention.PAID_AFTER_CLOSE not in part.attention


def test_a_part_that_a_snapshot_in_time_shows_does_not_complete() -> None:
    part = after(EXPIRED, a_snapshot(received=100, confirmed=100))
    assert (part.status, part.confirmed) == (Status.EXPIRED, 100)
    assert part.attention == {Attention.UNDERPAID}


def test_a_sighting_in_time_waits_until_it_is_final() -> None:
    seen = after(EXPIRED, (a_receipt(state=SEEN),))
    assert (seen.status, seen.attention) == (Status.EXPIRED, frozenset[Attention]())
    assert after(seen, (a_receipt(),), minutes=9 * DAY).status is Status.COMPLETED


@pytest.mark.parametrize(
    ("closed", "rules"),
    [
        (a_payment(Status.CANCELED), Rules()),
        (EXPIRED, Rules(late_payments_complete=False)),
        (a_payment(Status.FAILED), Rules(late_payments_complete=False)),
    ],
)
@pytest.mark.parametrize("amount", [1, DUE])
def test_where_late_money_is_held_any_of_it_is_for_a_person_and_each_receipt_reported_once(
    closed: Payment, rules: Rules, amount: int
) -> None:
    first = decide(closed, (a_receipt("a", amount),), at(2), rules)
    assert first is not None
    assert Attention.PAID_AFTER_CLOSE in first.payment.attention
    assert [event.type for event in first.events] == [EventType.ATTENTION]
    second = decide(first.payment, (a_receipt("b", 1, state=SEEN),), at(3), rules)
    assert second is not None
    assert second.payment.status is closed.status
    assert [event.type for event in second.events] == [EventType.ATTENTION]
    final = decide(second.payment, (a_receipt("b", 1),), at(4), rules)
    assert final is not None
    assert [event.reason for event in final.events] == [
        "OVERPAID" if amount == DUE else "UNDERPAID"
    ]


def test_a_part_stays_reported_while_the_rest_is_only_seen() -> None:
    part = after(EXPIRED, (a_receipt("a", 100),))
    seen = decide(part, (a_receipt("b", 400, state=SEEN),), at(3))
    assert seen is not None
    assert seen.payment.attention == {Attention.UNDERPAID}
    dropped = decide(seen.payment, (a_receipt("b", 400, state=DROPPED),), at(4))
    assert dropped is not None
    assert (seen.events, dropped.events) == ((), ())


@pytest.mark.parametrize("status", [Status.CANCELED, Status.EXPIRED, Status.FAILED])
def test_an_object_that_turns_up_after_closing_is_for_a_person(status: Status) -> None:
    closed = a_payment(status, provider_reference=None)
    found = after(closed, created())
    assert (found.status, found.provider_reference) == (status, "ref")
    assert found.attention == {Attention.CONFLICTING_EVIDENCE}


def test_an_object_that_turns_up_closed_is_for_nobody() -> None:
    canceled = a_snapshot(ProviderStatus.CANCELED)
    closed = after(a_payment(Status.CANCELED, provider_reference=None), canceled, created())
    assert (closed.provider_reference, closed.attention) == ("ref", frozenset[Attention]())


def test_an_object_that_turns_up_after_its_money_is_no_surprise() -> None:
    paid = after(a_payment(), (a_receipt(),), created())
    assert (paid.status, paid.attention) == (Status.COMPLETED, frozenset[Attention]())
