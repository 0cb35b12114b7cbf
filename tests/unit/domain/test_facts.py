"""Facts from evidence: money of the right asset, the newest report, and nothing else."""

from itertools import permutations

import pytest
from unit.domain.builders import (
    DUE,
    TERMS,
    TOKEN,
    a_payment,
    a_receipt,
    a_snapshot,
    at,
    created,
    without,
)

from payd.domain.attention import Attention
from payd.domain.decide import Rules
from payd.domain.evidence import (
    CancelRequested,
    Conflict,
    Evidence,
    NotClosable,
    ProviderStatus,
    ReceiptState,
    Unanswered,
)
from payd.domain.facts import learn
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status, flag

PENDING = a_payment(Status.PENDING)


def learned(payment: Payment, *evidence: Evidence) -> Payment:
    for piece in evidence:
        payment = learn(payment, piece, at(2), payment.late_end(Rules().late_window))
    return payment


# -- snapshots -------------------------------------------------------------------------------


def test_an_older_snapshot_never_undoes_a_newer_one() -> None:
    newer = a_snapshot(ProviderStatus.PROCESSING, minutes=5, received=DUE)
    after = learned(PENDING, newer, a_snapshot(minutes=1))
    assert (after.provider_status, after.received) == (ProviderStatus.PROCESSING, DUE)
    assert after.provider_status_time == at(5)


def test_an_older_snapshot_still_brings_the_money_that_was_final_then() -> None:
    after = learned(PENDING, a_snapshot(minutes=5), a_snapshot(ProviderStatus.PAID, minutes=1))
    assert (after.provider_status, after.confirmed) == (ProviderStatus.OPEN, DUE)


def test_a_newer_snapshot_takes_back_a_sighting_and_nothing_that_was_final() -> None:
    seen = a_snapshot(minutes=1, received=DUE, confirmed=100, fee=10)
    after = learned(PENDING, seen, a_snapshot(minutes=2))
    assert (after.received, after.confirmed, after.fee) == (100, 100, 10)


def test_of_snapshots_at_one_moment_the_same_one_holds_in_every_order() -> None:
    looks = [
        a_snapshot(status, received=received)
        for status in (ProviderStatus.OPEN, ProviderStatus.PROCESSING, ProviderStatus.CANCELED)
        for received in (0, 100)
    ]
    assert len({learned(PENDING, *order).provider_status for order in permutations(looks)}) == 1
    assert {learned(PENDING, *order).received for order in permutations(looks)} == {100}


def test_money_of_another_currency_is_not_money_for_this_payment() -> None:
    after = learned(PENDING, a_snapshot(ProviderStatus.PAID, asset="EUR"))
    asks = flag(PENDING, Attention.AMOUNT_MISMATCH, "asks for EUR", at(2))
    assert after == flag(asks, Attention.AMOUNT_MISMATCH, f"brought {DUE} EUR", at(2))


def test_a_snapshot_of_what_cannot_be_closed_is_a_snapshot() -> None:
    look = a_snapshot(ProviderStatus.PROCESSING, received=7)
    assert learned(PENDING, NotClosable(snapshot=look)) == learned(PENDING, look)


@pytest.mark.parametrize("confirmed", [DUE, DUE + 1])
def test_paid_in_full_is_no_mismatch(confirmed: int) -> None:
    paid = a_snapshot(ProviderStatus.PAID, received=confirmed, confirmed=confirmed)
    assert learned(PENDING, paid).attention == frozenset()


# -- receipts --------------------------------------------------------------------------------


def test_a_receipt_takes_its_last_step_in_every_order() -> None:
    steps = [(a_receipt(state=state),) for state in ReceiptState]
    for order in permutations(steps):
        assert learned(PENDING, *order).receipts == (a_receipt(),)


def test_receipts_add_up_and_stand_in_the_order_of_their_ids() -> None:
    after = learned(PENDING, (a_receipt("b", 2), a_receipt("a", 1)), (a_receipt("b", 2),))
    assert [receipt.id for receipt in after.receipts] == ["a", "b"]
    assert (after.received, after.confirmed) == (3, 3)


def test_a_sighting_is_received_and_not_confirmed_and_a_dropped_one_is_neither() -> None:
    seen = learned(PENDING, (a_receipt("a", 5, state=ReceiptState.SEEN),))
    dropped = learned(seen, (a_receipt("a", 5, state=ReceiptState.DROPPED),))
    assert (seen.received, seen.confirmed) == (5, 0)
    assert (dropped.received, dropped.confirmed) == (0, 0)
    assert len(dropped.receipts) == 1


def test_one_sum_reported_by_two_channels_counts_once() -> None:
    both = learned(PENDING, (a_receipt(),), a_snapshot(ProviderStatus.PAID))
    assert (both.received, both.confirmed) == (DUE, DUE)


def test_a_wrong_token_is_reported_and_stays_out_of_the_payment() -> None:
    payment = a_payment(Status.PENDING, crypto=TERMS)
    wrong, right = a_receipt(asset="0x" + "11" * 20), a_receipt("r2", 9, asset=TOKEN)
    after = learned(payment, (wrong, right))
    assert (after.received, after.receipts) == (9, (right,))
    assert after.attention == {Attention.WRONG_TOKEN}
    assert learned(after, (wrong,), (wrong, right)) == after


def test_one_receipt_in_two_assets_counts_in_the_right_one_in_every_order() -> None:
    reports: list[Evidence] = [(a_receipt(),), (a_receipt(asset="EUR"),)]
    for order in permutations(reports):
        after = learned(PENDING, *order)
        assert (after.receipts, after.attention) == (
            (a_receipt(),),
            frozenset({Attention.WRONG_TOKEN}),
        )


def test_of_a_receipt_with_two_times_the_same_report_is_kept_in_every_order() -> None:
    reports = [
        a_receipt(asset=asset, time=at(minutes)) for asset in ("USD", "usd") for minutes in (1, 2)
    ]
    ends = [learned(PENDING, *((one,) for one in order)) for order in permutations(reports)]
    for_a_person = frozenset({Attention.CONFLICTING_EVIDENCE})
    assert {(end.receipts, end.attention) for end in ends} == {((reports[-1],), for_a_person)}


def test_what_the_rail_withholds_counts_nowhere_until_it_is_released() -> None:
    held = learned(PENDING, (a_receipt(state=ReceiptState.HELD),))
    assert (held.received, held.confirmed, held.attention) == (0, 0, frozenset())
    assert learned(held, (a_receipt(),)).confirmed == DUE


def test_a_sighting_that_the_rail_withholds_is_no_longer_on_its_way() -> None:
    seen = learned(PENDING, (a_receipt(state=ReceiptState.SEEN),))
    assert learned(seen, (a_receipt(state=ReceiptState.HELD),)).received == 0


def test_what_is_final_replaces_a_sighting_of_another_sum() -> None:
    reports: list[Evidence] = [(a_receipt(amount=900, state=ReceiptState.SEEN),), (a_receipt(),)]
    for order in permutations(reports):
        after = learned(PENDING, *order)
        assert (after.received, after.attention) == (
            DUE,
            frozenset({Attention.CONFLICTING_EVIDENCE}),
        )


# -- what is no money ------------------------------------------------------------------------


def test_an_answer_is_adopted_once() -> None:
    adopted = learned(a_payment(ask_deadline=at(9)), created(aliases=("alias",)))
    assert (adopted.provider_reference, adopted.asking) == ("ref", Asking.ANSWERED)
    assert (adopted.aliases, adopted.ask_deadline) == (("alias",), None)
    assert learned(adopted, created(aliases=("alias",))) == adopted


def test_a_second_object_is_flagged_and_does_not_replace_the_first() -> None:
    after = learned(a_payment(), created(), created("another"))
    assert after.provider_reference == "ref"
    assert after.attention == {Attention.CONFLICTING_EVIDENCE}


def test_a_conflict_is_for_a_person_and_changes_nothing_else() -> None:
    after = learned(PENDING, Conflict())
    assert after.attention == {Attention.CONFLICTING_EVIDENCE}
    assert without(after, "attention_records") == PENDING


def test_a_cancel_request_teaches_nothing_about_money() -> None:
    assert learned(PENDING, CancelRequested(reason="changed my mind")) == PENDING


@pytest.mark.parametrize("status", [status for status in Status if not status.is_open])
def test_silence_about_a_closed_payment_is_not_news(status: Status) -> None:
    closed = a_payment(status)
    late_end = closed.late_end(Rules().late_window)
    assert learn(closed, Unanswered(), at(100_000), late_end) == closed
