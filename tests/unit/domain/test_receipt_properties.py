"""Invariants of receipts, for any reports of arrivals, repeated and in any order.

A chain or bank may send parts, too much, the sum twice, late or in a wrong asset, withhold it, undo
a sighting, and contradict itself. The result must depend on the set of reports alone.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.builders import DUE, EXPIRY, a_payment, a_receipt, a_snapshot, at, facts, reread

from payd.domain.attention import Attention
from payd.domain.decide import Decision, EventType, Rules, decide
from payd.domain.evidence import (
    CancelRequested,
    Evidence,
    NotClosable,
    Receipt,
    ReceiptState,
)
from payd.domain.payment import Payment, Status

DAY = 24 * 60
WINDOW_END = EXPIRY + timedelta(days=1)
#: After all of them.
DECIDED = 9 * DAY
OPENINGS = st.sampled_from(
    [Status.CREATING, Status.PENDING, Status.PROCESSING, Status.CANCELING]
).map(a_payment)
CLOSED = st.sampled_from([Status.EXPIRED, Status.FAILED, Status.CANCELED]).map(a_payment)


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    """Few ids, so that many reports speak of one arrival and some of them contradict."""
    return a_receipt(
        draw(st.sampled_from("abcd")),
        draw(st.sampled_from([0, 1, DUE // 2, DUE - 1, DUE, 2 * DUE])),
        asset=draw(st.sampled_from(["USD", "USD", "usd", "EUR"])),
        state=draw(st.sampled_from([*ReceiptState, ReceiptState.CONFIRMED])),
        time=at(draw(st.sampled_from([1, 30, 31, 30 + DAY, 31 + DAY]))),
    )


REPORTS = st.lists(receipts(), max_size=8)


def at_one_time(reports: list[Receipt]) -> list[Receipt]:
    """The same reports, from a rail that never changes its mind about when money moved."""
    times: dict[str, datetime] = {}
    return [attrs.evolve(r, time=times.setdefault(r.id, r.time)) for r in reports]


@st.composite
def two_orders(
    draw: st.DrawFn, reports: st.SearchStrategy[list[Receipt]] = REPORTS
) -> tuple[list[Evidence], list[Evidence]]:
    """The same reports twice: as they happened, and shuffled, repeated and bundled at will."""
    received = draw(reports)
    repeated = draw(st.lists(st.sampled_from(received), max_size=4)) if received else []
    shuffled = draw(st.permutations([*received, *repeated]))
    size = draw(st.integers(1, 4))
    bundles = [tuple(shuffled[n : n + size]) for n in range(0, len(shuffled), size)]
    return [(receipt,) for receipt in received], list(bundles)


def lives(
    payment: Payment, reports: Sequence[Evidence], rules: Rules | None = None
) -> list[Decision]:
    """All that is decided on the way."""
    decisions = []
    for piece in reports:
        decision = decide(reread(payment, rules), piece, at(DECIDED), rules)
        if decision is not None:
            decisions.append(decision)
            payment = decision.payment
    return decisions


def settled(payment: Payment, reports: Sequence[Evidence], rules: Rules | None = None) -> Payment:
    return [payment, *(decision.payment for decision in lives(payment, reports, rules))][-1]


def final(reports: Sequence[Receipt]) -> int:
    """What counts of it, reckoned the plain way."""
    sums: dict[str, int] = {}
    for receipt in reports:
        if receipt.state is ReceiptState.CONFIRMED and receipt.asset.upper() == "USD":
            sums[receipt.id] = max(sums.get(receipt.id, 0), receipt.amount)
    return sum(sums.values())


@given(st.one_of(OPENINGS, CLOSED), two_orders())
def test_i5_the_same_receipts_give_the_same_facts_in_every_order(
    payment: Payment, orders: tuple[list[Evidence], list[Evidence]]
) -> None:
    straight, other = (settled(payment, reports) for reports in orders)
    assert facts(straight) == facts(other)
    about_receipts = {Attention.WRONG_TOKEN, Attention.CONFLICTING_EVIDENCE}
    assert straight.attention & about_receipts == other.attention & about_receipts


@given(OPENINGS, REPORTS, st.data())
def test_two_times_of_final_money_are_for_a_person_in_every_order(
    payment: Payment, reports: list[Receipt], data: Any
) -> None:
    """Whether it was in time depends on which report came first, so a person decides."""
    times: dict[str, set[datetime]] = {}
    for receipt in reports:
        if receipt.state is ReceiptState.CONFIRMED and receipt.asset.upper() == "USD":
            times.setdefault(receipt.id, set()).add(receipt.time)
    shuffled = data.draw(st.permutations(reports))
    after = settled(payment, [(receipt,) for receipt in shuffled])
    if any(len(of_one) > 1 for of_one in times.values()):
        assert Attention.CONFLICTING_EVIDENCE in after.attention


@given(OPENINGS, two_orders(REPORTS.map(at_one_time)))
def test_i5_whether_they_complete_does_not_depend_on_their_order_either(
    payment: Payment, orders: tuple[list[Evidence], list[Evidence]]
) -> None:
    for reports in orders:
        ended = settled(payment, reports)
        is_paid = final([r for r in ended.receipts if r.time <= WINDOW_END]) >= DUE
        assert (ended.status is Status.COMPLETED) == is_paid


@given(
    st.one_of(OPENINGS, CLOSED), REPORTS, st.sampled_from([Rules(), Rules(late_window=timedelta())])
)
def test_i9_what_is_confirmed_is_the_sum_of_what_arrived(
    payment: Payment, reports: list[Receipt], rules: Rules
) -> None:
    ended = settled(payment, [(receipt,) for receipt in reports], rules)
    assert ended.confirmed == final(reports)
    assert {receipt.asset.upper() for receipt in ended.receipts} <= {"USD"}


@pytest.mark.parametrize(
    "rules", [Rules(), Rules(late_payments_complete=False), Rules(late_window=timedelta())]
)
@given(payment=st.one_of(OPENINGS, CLOSED), reports=REPORTS, data=st.data())
def test_i1_final_money_completes_or_is_for_a_person_or_waits_for_the_rest(
    rules: Rules, payment: Payment, reports: list[Receipt], data: Any
) -> None:
    looks: list[Evidence] = [
        CancelRequested(),
        a_snapshot(minutes=DECIDED),
        NotClosable(snapshot=a_snapshot(minutes=DECIDED)),
    ]
    pieces: list[Evidence] = [*((receipt,) for receipt in reports), *looks]
    ended = settled(payment, data.draw(st.permutations(pieces)), rules)
    lost = {Attention.PAID_AFTER_CLOSE, Attention.UNDERPAID}
    if ended.status is Status.COMPLETED or not final(reports):
        return
    assert ended.confirmed == final(reports)
    if ended.status.is_open:
        assert ended.confirmed < DUE
    else:
        assert ended.attention & lost
        assert ended.confirmed < DUE or Attention.PAID_AFTER_CLOSE in ended.attention


@given(st.one_of(OPENINGS, CLOSED), REPORTS)
def test_i4_and_i6_only_the_due_sum_completes_and_nothing_takes_it_back(
    payment: Payment, reports: list[Receipt]
) -> None:
    before = payment
    for decision in lives(payment, [(receipt,) for receipt in reports]):
        now = decision.payment
        assert now.confirmed >= before.confirmed
        assert {r.id for r in before.receipts} <= {r.id for r in now.receipts}
        assert now.status is not Status.COMPLETED or now.confirmed >= DUE
        assert before.status is not Status.COMPLETED or now.status is Status.COMPLETED
        before = now


@given(OPENINGS, REPORTS, st.booleans())
def test_i3_receipts_complete_and_close_a_payment_once_at_most(
    payment: Payment, reports: list[Receipt], complete: bool
) -> None:
    rules = Rules(late_payments_complete=complete)
    decisions = lives(payment, [(receipt,) for receipt in reports], rules)
    kinds = [event.type for decision in decisions for event in decision.events]
    assert kinds.count(EventType.COMPLETED) <= 1
    assert kinds.count(EventType.CANCELED) <= 1
    assert EventType.FAILED not in kinds


@given(OPENINGS, REPORTS)
def test_money_that_moved_in_time_is_never_late_on_its_own(
    payment: Payment, reports: list[Receipt]
) -> None:
    in_time = [receipt for receipt in reports if receipt.time <= EXPIRY]
    assert not settled(payment, [(receipt,) for receipt in in_time]).late
