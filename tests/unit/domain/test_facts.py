"""Facts from evidence: money of the right asset, the newest report, and nothing else."""

from datetime import datetime, timedelta
from itertools import permutations

import attrs
import pytest
from unit.domain.builders import (
    DUE,
    EXPIRY,
    NOW,
    TERMS,
    TOKEN,
    a_payment,
    a_receipt,
    a_report,
    a_snapshot,
    at,
    created,
    without,
)

from payd.domain.attention import Attention
from payd.domain.decide import Rules
from payd.domain.evidence import (
    Absent,
    AskAgain,
    AttentionResolved,
    CancelRequested,
    Conflict,
    Declined,
    Evidence,
    NotAttempted,
    NotClosable,
    OutcomeUnknown,
    ProviderStatus,
    ReceiptState,
    Snapshot,
    Unanswered,
)
from payd.domain.facts import STUCK_AFTER, learn, learn_end
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status, flag

PENDING = a_payment(Status.PENDING)


def learned(payment: Payment, *evidence: Evidence) -> Payment:
    for piece in evidence:
        payment = learn(payment, piece, at(2), payment.late_end(Rules().late_window))
    return payment


def flagged(payment: Payment) -> dict[Attention, set[str]]:
    """The facts behind each reason, all of them seen when they were learned."""
    assert all(record.since == at(2) for record in payment.attention_records)
    return {record.reason: set(record.facts) for record in payment.attention_records}


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


# -- what a person reads -----------------------------------------------------------------------


def test_a_conflict_says_what_contradicts_if_it_knows() -> None:
    assert flagged(learned(PENDING, Conflict(detail="two amounts"))) == {
        Attention.CONFLICTING_EVIDENCE: {"two amounts"}
    }
    assert flagged(learned(PENDING, Conflict())) == {
        Attention.CONFLICTING_EVIDENCE: {"a report that contradicts what is known"}
    }


def test_another_object_is_named() -> None:
    named = {Attention.CONFLICTING_EVIDENCE: {"object another"}}
    assert flagged(learned(PENDING, created("another"))) == named
    assert flagged(learned(PENDING, a_snapshot(reference="another"))) == named


@pytest.mark.parametrize(
    "denied", [Status.CANCELED, Status.EXPIRED, Status.FAILED], ids=lambda status: status.value
)
def test_an_object_that_appears_after_the_end_is_named_and_adopted(denied: Status) -> None:
    closed = a_payment(denied, provider_reference=None)
    late = learned(closed, created("late"))
    assert flagged(late) == {Attention.CONFLICTING_EVIDENCE: {"object late"}}
    assert late.provider_reference == "late"


def test_a_report_of_an_object_that_appears_after_the_end_is_for_a_person() -> None:
    closed = a_payment(Status.CANCELED, provider_reference=None)
    late = learned(closed, a_snapshot(reference="late"))
    assert flagged(late) == {Attention.CONFLICTING_EVIDENCE: {"object late"}}
    assert late.provider_reference == "late"


def test_a_refund_in_another_asset_is_named_in_every_report() -> None:
    foreign = a_report(reference="re_7", refund_id=None, asset="EUR")
    for report in (foreign, a_snapshot(refunds=(foreign,))):
        assert flagged(learned(PENDING, report)) == {Attention.WRONG_TOKEN: {"refund re_7"}}


def test_an_object_of_a_payment_that_ended_with_it_or_has_not_ended_is_no_conflict() -> None:
    ended = a_payment(
        Status.EXPIRED, provider_reference=None, provider_status=ProviderStatus.EXPIRED
    )
    assert flagged(learned(ended, created())) == {}
    assert flagged(learned(a_payment(), created())) == {}
    paid = a_payment(Status.COMPLETED, provider_reference=None)
    assert flagged(learned(paid, created())) == {}


def test_a_paid_object_that_brought_too_little_says_how_much() -> None:
    short = a_snapshot(ProviderStatus.PAID, received=DUE, confirmed=DUE - 1)
    assert flagged(learned(PENDING, short)) == {Attention.AMOUNT_MISMATCH: {f"paid with {DUE - 1}"}}
    opened = a_snapshot(ProviderStatus.PROCESSING, received=DUE, confirmed=DUE - 1)
    assert flagged(learned(PENDING, opened)) == {}


def test_an_object_of_another_amount_says_what_it_asks_for_and_brought() -> None:
    asks = a_snapshot(due=1, received=1)
    assert flagged(learned(PENDING, asks)) == {Attention.AMOUNT_MISMATCH: {"asks for 1 USD"}}
    assert flagged(learned(PENDING, attrs.evolve(asks, confirmed=1))) == {
        Attention.AMOUNT_MISMATCH: {"asks for 1 USD", "brought 1 USD"}
    }


def test_a_receipt_for_a_person_is_named() -> None:
    foreign = learned(PENDING, (a_receipt("r7", asset="EUR"),))
    assert flagged(foreign) == {Attention.WRONG_TOKEN: {"receipt r7"}}
    twice = learned(PENDING, (a_receipt("r7", 1),), (a_receipt("r7", 2),))
    assert flagged(twice) == {Attention.CONFLICTING_EVIDENCE: {"receipt r7"}}


@pytest.mark.parametrize(
    "state", [ReceiptState.SEEN, ReceiptState.HELD], ids=lambda state: state.value
)
def test_the_time_of_money_that_is_not_final_may_change(state: ReceiptState) -> None:
    sooner, later = (a_receipt(state=state, time=at(minutes)) for minutes in (1, 2))
    after = learned(PENDING, (sooner,), (later,))
    assert (after.attention, after.receipts) == (frozenset(), (later,))
    final = learned(after, (a_receipt(time=at(3)),))
    assert (final.attention, final.receipts) == (frozenset(), (a_receipt(time=at(3)),))


def test_a_resolved_reason_keeps_who_resolved_it_and_why() -> None:
    raised = learned(PENDING, Conflict(detail="one"))
    resolved = AttentionResolved(
        reasons=frozenset({Attention.CONFLICTING_EVIDENCE}), by="operator:eve", note="seen"
    )
    [record] = learned(raised, resolved).attention_records
    assert (record.resolved_time, record.resolved_by, record.note) == (
        at(2),
        "operator:eve",
        "seen",
    )


# -- fees, expiry and the object's end ---------------------------------------------------------


def test_a_fee_is_what_the_provider_names_and_never_falls() -> None:
    named = learned(PENDING, a_snapshot(fee=0))
    assert (learned(PENDING, a_snapshot()).fee, named.fee) == (None, 0)
    for order in permutations([a_snapshot(fee=10), a_snapshot(fee=7), a_snapshot()]):
        assert learned(named, *order).fee == 10


def test_an_object_that_closes_earlier_brings_the_expiry_forward_in_every_order() -> None:
    sooner, later = (created(expire_time=EXPIRY + timedelta(minutes=m)) for m in (-5, 5))
    assert learned(a_payment(), later).expire_time == EXPIRY
    for order in permutations([sooner, later, created()]):
        assert learned(a_payment(), *order).expire_time == EXPIRY - timedelta(minutes=5)


def test_nothing_expires_before_it_exists() -> None:
    wrong = created(expire_time=NOW - timedelta(days=1))
    assert learned(a_payment(), wrong).expire_time == NOW


def test_the_end_of_an_object_is_learned_without_its_money() -> None:
    ended = a_snapshot(ProviderStatus.PAID, minutes=2)
    after = learn_end(learned(PENDING, a_snapshot(minutes=1)), ended)
    assert (after.provider_status, after.provider_status_time) == (ProviderStatus.PAID, at(2))
    assert (after.received, after.confirmed) == (0, 0)


@pytest.mark.parametrize(
    "look",
    [a_snapshot(ProviderStatus.CANCELED, minutes=0.5), a_snapshot(minutes=2)],
    ids=["older than what is known", "still open"],
)
def test_what_is_no_end_is_not_learned_as_one(look: Snapshot) -> None:
    known = learned(PENDING, a_snapshot(minutes=1))
    assert learn_end(known, look) == known


# -- what became of the request ----------------------------------------------------------------

UNKNOWN = a_payment(asking=Asking.UNKNOWN, ask_deadline=at(9))


def test_what_answers_an_open_request_clears_its_deadline() -> None:
    answers: dict[Asking, Evidence] = {
        Asking.UNKNOWN: OutcomeUnknown(),
        Asking.NOT_ATTEMPTED: Absent(),
        Asking.ANSWERED: Declined(code="no", message="No."),
    }
    for asking, answer in answers.items():
        after = learned(UNKNOWN, answer)
        assert (after.asking, after.ask_deadline) == (asking, None)


def test_an_absence_without_proof_says_nothing() -> None:
    assert learned(UNKNOWN, Absent(proven=False)) == UNKNOWN


def test_a_request_that_was_answered_stays_answered() -> None:
    for late in (OutcomeUnknown(), NotAttempted(), Absent(), AskAgain(deadline=at(9))):
        assert learned(PENDING, late) == PENDING


def test_asking_again_sets_a_new_deadline_for_an_open_payment_only() -> None:
    again = learned(UNKNOWN, AskAgain(deadline=at(11)))
    assert (again.asking, again.ask_deadline) == (Asking.UNKNOWN, at(11))
    unsent = attrs.evolve(UNKNOWN, asking=Asking.NOT_ATTEMPTED)
    asked = learned(unsent, AskAgain(deadline=at(11)))
    assert (asked.asking, asked.ask_deadline) == (Asking.ASKING, at(11))
    assert learned(unsent, AskAgain(deadline=at(9))) == unsent
    closed = attrs.evolve(unsent, status=Status.CANCELED)
    assert learned(closed, AskAgain(deadline=at(11))) == closed


# -- silence -----------------------------------------------------------------------------------

UNBORN = a_payment(Status.CANCELING, provider_reference=None)


def silence(payment: Payment, now: datetime) -> dict[Attention, set[str]]:
    silent = learn(payment, Unanswered(), now, payment.late_end(Rules().late_window))
    assert all(record.since == now for record in silent.attention_records)
    return {record.reason: set(record.facts) for record in silent.attention_records}


@pytest.mark.parametrize("payment", [a_payment(), UNBORN], ids=["creating", "canceling"])
def test_from_its_expiry_nobody_knows_what_became_of_a_request(payment: Payment) -> None:
    assert silence(payment, EXPIRY - timedelta(microseconds=1)) == {}
    for waited in (timedelta(0), STUCK_AFTER):
        assert silence(payment, EXPIRY + waited) == {Attention.OUTCOME_UNKNOWN: {"create"}}


@pytest.mark.parametrize(
    "payment",
    [PENDING, a_payment(Status.PROCESSING), a_payment(Status.CANCELING)],
    ids=lambda payment: payment.status.value,
)
def test_an_object_without_news_is_stuck_an_hour_after_its_expiry(payment: Payment) -> None:
    end = EXPIRY + timedelta(hours=1)
    assert silence(payment, end - timedelta(microseconds=1)) == {}
    assert silence(payment, end) == {Attention.STUCK: {"open after its expiry"}}
