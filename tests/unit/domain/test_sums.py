"""Sums of receipts: equal to the full list, whatever was reported, in every order."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.builders import DUE, EXPIRY, a_payment, a_receipt, a_snapshot, after, at, reread

from payd.domain.decide import Rules, decide
from payd.domain.evidence import Evidence, ProviderStatus, Receipt, ReceiptState
from payd.domain.payment import Payment, Status
from payd.domain.sums import ReceiptSums, StaleSums, sum_receipts

DAY = timedelta(days=1)
LATE_END = EXPIRY + DAY
TIMES = st.sampled_from(
    [
        EXPIRY - DAY,
        EXPIRY,
        EXPIRY + timedelta(microseconds=1),
        LATE_END,
        LATE_END + timedelta(microseconds=1),
    ]
)
RECEIPTS = st.builds(
    a_receipt,
    id=st.sampled_from("abcd"),
    amount=st.sampled_from([0, 1, 7, DUE, 10**30]),
    state=st.sampled_from(ReceiptState),
    time=TIMES,
)
MOVED = (ReceiptState.SEEN, ReceiptState.CONFIRMED)


def moved(receipts: tuple[Receipt, ...]) -> list[Receipt]:
    return [receipt for receipt in receipts if receipt.state in MOVED]


def final(receipts: tuple[Receipt, ...]) -> list[Receipt]:
    return [receipt for receipt in receipts if receipt.state is ReceiptState.CONFIRMED]


@given(
    st.sampled_from(Status),
    st.lists(st.lists(RECEIPTS, min_size=1, max_size=4).map(tuple), max_size=10),
)
def test_the_sums_are_those_of_the_full_list(
    status: Status, reports: list[tuple[Receipt, ...]]
) -> None:
    payment = after(a_payment(status), *reports)

    late_end = payment.late_end(DAY)
    assert payment.sums == sum_receipts(payment.receipts, EXPIRY, payment.sums.late_end or late_end)
    full = reread(payment)
    everything, confirmed = moved(payment.receipts), final(payment.receipts)
    assert full.received == max(payment.snapshot_confirmed, sum(r.amount for r in everything))
    assert full.confirmed == max(payment.snapshot_confirmed, sum(r.amount for r in confirmed))
    in_window = sum(r.amount for r in confirmed if r.time <= late_end)
    assert full.sums.confirmed_by(late_end) == in_window
    later = any(r.time > late_end and r.amount for r in everything)
    assert full.sums.has_moved_after(late_end) == later
    if status.is_open and payment.status.is_open:
        in_time = sum(r.amount for r in confirmed if r.time <= EXPIRY)
        assert full.sums.confirmed[0] == in_time


@given(st.lists(RECEIPTS, max_size=8, unique_by=lambda receipt: receipt.id), st.data())
def test_the_order_of_receipts_does_not_matter(
    receipts: list[Receipt], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(receipts))
    assert sum_receipts(receipts, EXPIRY, LATE_END) == sum_receipts(shuffled, EXPIRY, LATE_END)


def test_nothing_is_summed_when_everything_was_undone() -> None:
    seen = a_receipt(state=ReceiptState.SEEN)
    sums = ReceiptSums().replace(None, seen, EXPIRY, LATE_END)

    dropped = attrs.evolve(seen, state=ReceiptState.DROPPED)

    assert sums.replace(seen, dropped, EXPIRY, LATE_END) == ReceiptSums()


def test_the_least_money_after_the_window_has_moved_after_it_final_or_not() -> None:
    final = a_receipt("a", 1, time=LATE_END + DAY)
    seen = attrs.evolve(final, id="b", state=ReceiptState.SEEN)
    for receipts in ([final], [seen], [final, seen]):
        assert sum_receipts(receipts, EXPIRY, LATE_END).has_moved_after(LATE_END)


def test_the_receipts_that_are_not_reported_need_not_be_known() -> None:
    many = tuple(a_receipt(f"r{n}", 1) for n in range(DUE - 1))
    payment = after(a_payment(Status.PENDING), many)
    bare = attrs.evolve(payment, receipts=())

    decision = decide(bare, (a_receipt("last", 1),), at(3))

    assert decision is not None
    assert (decision.payment.status, decision.payment.confirmed) == (Status.COMPLETED, DUE)
    assert [receipt.id for receipt in decision.payment.receipts] == ["last"]


def test_sums_for_another_end_of_the_window_are_refused_not_misread() -> None:
    part = after(a_payment(Status.PENDING), (a_receipt("a", 1),))
    failed = decide(part, a_snapshot(ProviderStatus.DECLINED), at(2))
    assert failed is not None
    assert failed.payment.status is Status.FAILED
    rest: Evidence = (a_receipt("b", DUE - 1),)

    with pytest.raises(StaleSums):
        decide(failed.payment, rest, at(3))
    with pytest.raises(StaleSums):
        failed.payment.sums.has_moved_after(failed.payment.late_end(DAY))

    paid = decide(reread(failed.payment), rest, at(3))
    assert paid is not None
    assert (paid.payment.status, paid.payment.late) == (Status.COMPLETED, True)


def test_a_longer_window_of_a_new_configuration_needs_new_sums() -> None:
    payment: Payment = after(a_payment(Status.PENDING), (a_receipt("a", 1),))
    longer = Rules(late_window=2 * DAY)

    with pytest.raises(StaleSums):
        decide(payment, (a_receipt("b", DUE, time=LATE_END + DAY),), at(9999), longer)
