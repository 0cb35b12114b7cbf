"""The transition table of the payment model, row by row, guard by guard."""

from datetime import timedelta

import attrs
import pytest
from unit.domain.builders import (
    DUE,
    NOW,
    TERMS,
    TOKEN,
    a_payment,
    a_receipt,
    a_snapshot,
    after,
    at,
    created,
)

from payd.domain.decide import EventType, Rules, decide, next_check_time
from payd.domain.evidence import (
    Absent,
    AskAgain,
    CancelRequested,
    Conflict,
    Declined,
    Evidence,
    NotAttempted,
    NotClosable,
    OutcomeUnknown,
    ProviderStatus,
    ReceiptState,
    Unanswered,
)
from payd.domain.payment import Asking, Attention, Status

LATE = 31.0
CANCEL = CancelRequested(reason="r")
OPEN = a_snapshot()
PAID = a_snapshot(ProviderStatus.PAID)
PROCESSING = a_snapshot(ProviderStatus.PROCESSING, received=DUE)
DECLINED = Declined(code="declined", message="no")
SEEN = (a_receipt(amount=100, state=ReceiptState.SEEN),)
ABSENT, UNPROVEN = Absent(), Absent(proven=False)


@pytest.mark.parametrize(
    ("evidence", "minutes", "status"),
    [
        (created(), 1, Status.PENDING),
        (DECLINED, 1, Status.FAILED),
        (NotAttempted(), 1, Status.CREATING),
        (NotAttempted(), 10, Status.FAILED),
        (OutcomeUnknown(), 1, Status.CREATING),
        (OutcomeUnknown(), 100_000, Status.CREATING),
        (Unanswered(), 100_000, Status.CREATING),
        (CANCEL, 1, Status.CANCELING),
        (PAID, 1, Status.COMPLETED),
        ((a_receipt(),), 1, Status.COMPLETED),
        (OPEN, 1, Status.CREATING),
        (ABSENT, 1, Status.CREATING),
        (ABSENT, LATE, Status.EXPIRED),
        (UNPROVEN, LATE, Status.EXPIRED),
        (AskAgain(deadline=at(5)), 1, Status.CREATING),
    ],
)
def test_from_creating(evidence: Evidence, minutes: float, status: Status) -> None:
    assert after(a_payment(), evidence, minutes=minutes).status is status


@pytest.mark.parametrize(
    ("evidence", "minutes", "status"),
    [
        (OPEN, 1, Status.PENDING),
        (PAID, 1, Status.COMPLETED),
        (PROCESSING, 1, Status.PROCESSING),
        (PROCESSING, LATE, Status.PROCESSING),
        (SEEN, 1, Status.PROCESSING),
        ((a_receipt(amount=100),), 1, Status.PROCESSING),
        (CANCEL, 1, Status.CANCELING),
        (OPEN, LATE, Status.PENDING),
        (a_snapshot(minutes=LATE), LATE, Status.EXPIRED),
        (a_snapshot(minutes=LATE, received=100, confirmed=100), LATE, Status.EXPIRED),
        (a_snapshot(ProviderStatus.EXPIRED), 1, Status.EXPIRED),
        (a_snapshot(ProviderStatus.CANCELED), 1, Status.FAILED),
        (a_snapshot(ProviderStatus.CANCELED), LATE, Status.EXPIRED),
        (a_snapshot(ProviderStatus.DECLINED, failure_code="c"), 1, Status.FAILED),
        (Unanswered(), LATE, Status.PENDING),
        (ABSENT, LATE, Status.PENDING),
        (NotClosable(snapshot=a_snapshot(minutes=LATE)), LATE, Status.EXPIRED),
    ],
)
def test_from_pending(evidence: Evidence, minutes: float, status: Status) -> None:
    payment = a_payment(Status.PENDING)
    assert after(payment, evidence, minutes=minutes).status is status


@pytest.mark.parametrize(
    ("evidence", "status"),
    [
        (a_snapshot(ProviderStatus.CANCELED), Status.CANCELED),
        (a_snapshot(ProviderStatus.EXPIRED), Status.CANCELED),
        (PAID, Status.COMPLETED),
        (PROCESSING, Status.PROCESSING),
        (SEEN, Status.PROCESSING),
        (OPEN, Status.CANCELING),
        (NotClosable(snapshot=OPEN), Status.CANCELED),
        (NotClosable(snapshot=PROCESSING), Status.PROCESSING),
        (CANCEL, Status.CANCELING),
        (Unanswered(), Status.CANCELING),
    ],
)
def test_from_canceling(evidence: Evidence, status: Status) -> None:
    assert after(a_payment(Status.CANCELING), evidence).status is status


def test_a_cancel_in_creating_is_carried_out_when_the_reference_is_known() -> None:
    wished = after(a_payment(), CANCEL, created())
    assert (wished.status, wished.provider_reference) == (Status.CANCELING, "ref")


@pytest.mark.parametrize(
    ("evidence", "minutes", "status"),
    [
        (ABSENT, 1, Status.CANCELED),
        (NotAttempted(), 1, Status.CANCELED),
        (DECLINED, 1, Status.CANCELED),
        (UNPROVEN, 1, Status.CANCELING),
        (UNPROVEN, LATE, Status.CANCELED),
    ],
)
def test_a_cancel_of_what_was_never_created(
    evidence: Evidence, minutes: float, status: Status
) -> None:
    wished = after(a_payment(), CANCEL)
    assert after(wished, evidence, minutes=minutes).status is status


@pytest.mark.parametrize("evidence", [ABSENT, UNPROVEN])
@pytest.mark.parametrize(
    ("state", "attention"),
    [(ReceiptState.DROPPED, frozenset()), (ReceiptState.CONFIRMED, {Attention.UNDERPAID})],
)
def test_money_that_met_a_wish_before_the_answer_does_not_keep_the_payment_open(
    evidence: Evidence, state: ReceiptState, attention: frozenset[Attention]
) -> None:
    settled = after(a_payment(), CANCEL, SEEN, (a_receipt(amount=100, state=state),))
    assert (settled.status.is_open, settled.provider_reference) == (True, None)
    assert after(settled, evidence).status is settled.status
    ended = after(settled, evidence, minutes=LATE)
    assert (ended.status, ended.attention) == (Status.EXPIRED, attention)


@pytest.mark.parametrize(
    ("first", "status"), [(NotAttempted(), Status.EXPIRED), (OutcomeUnknown(), Status.PENDING)]
)
def test_only_what_was_provably_never_sent_expires_without_a_lookup(
    first: Evidence, status: Status
) -> None:
    dropped = (a_receipt(amount=100, state=ReceiptState.DROPPED),)
    undone = after(a_payment(), first, SEEN, CANCEL, dropped)
    assert undone.status is Status.PENDING
    assert after(undone, NotAttempted(), minutes=LATE).status is status


def test_a_decline_that_overtook_the_answer_ends_the_payment_when_it_arrives() -> None:
    declined = after(a_payment(), a_snapshot(ProviderStatus.DECLINED), created())
    assert declined.status is Status.FAILED


def test_a_sighting_that_was_undone_goes_back_to_pending() -> None:
    seen = after(a_payment(Status.PENDING), SEEN)
    dropped = after(seen, (a_receipt(amount=100, state=ReceiptState.DROPPED),))
    assert (seen.status, dropped.status) == (Status.PROCESSING, Status.PENDING)


def test_a_failed_transfer_ends_a_processing_payment() -> None:
    processing = after(a_payment(Status.PENDING), PROCESSING)
    failed = after(processing, a_snapshot(ProviderStatus.DECLINED, minutes=3))
    assert (failed.status, failed.received) == (Status.FAILED, 0)
    assert failed.failure is not None
    assert failed.failure.code == "declined"


def test_a_partial_sum_stays_recorded_and_asks_for_attention() -> None:
    expired = after(
        a_payment(Status.PENDING),
        (a_receipt(amount=100),),
        a_snapshot(minutes=LATE, received=100, confirmed=100),
        minutes=LATE,
    )
    assert (expired.status, expired.received) == (Status.EXPIRED, 100)
    assert expired.attention == {Attention.UNDERPAID}


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.FAILED])
def test_late_money_completes_within_the_window(status: Status) -> None:
    late = after(a_payment(status), PAID)
    assert (late.status, late.late) == (Status.COMPLETED, True)


@pytest.mark.parametrize(
    ("status", "rules"),
    [
        (Status.CANCELED, Rules()),
        (Status.EXPIRED, Rules(late_payments_complete=False)),
        (Status.FAILED, Rules(late_window=timedelta(0))),
    ],
)
def test_other_money_after_closing_waits_for_a_person(status: Status, rules: Rules) -> None:
    closed = a_payment(status)
    decision = decide(closed, PAID, at(2), rules)
    assert decision is not None
    assert decision.payment.status is status
    assert Attention.PAID_AFTER_CLOSE in decision.payment.attention
    assert [event.type for event in decision.events] == [EventType.ATTENTION]


def test_a_part_after_closing_changes_facts_only() -> None:
    closed = after(a_payment(Status.EXPIRED), (a_receipt(amount=100),))
    assert (closed.status, closed.attention) == (Status.EXPIRED, frozenset({Attention.UNDERPAID}))
    assert after(closed, OutcomeUnknown()) == closed
    looked = after(a_payment(Status.EXPIRED), NotClosable(snapshot=OPEN))
    assert looked.status is Status.EXPIRED


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (a_snapshot(ProviderStatus.PAID, received=DUE, confirmed=DUE, refunded=1, minutes=5),
         Attention.REFUNDED_EXTERNALLY),
        (a_snapshot(ProviderStatus.DISPUTED, minutes=5), Attention.DISPUTED),
        ((a_receipt("r2", DUE + 1),), Attention.OVERPAID),
        ((a_receipt("r1"), a_receipt("r2")), Attention.DUPLICATE_PAYMENT),
        ((a_receipt("r2", asset="EUR"),), Attention.WRONG_TOKEN),
        (a_snapshot(asset="EUR"), Attention.AMOUNT_MISMATCH),
        (Conflict(), Attention.CONFLICTING_EVIDENCE),
        (created("another"), Attention.CONFLICTING_EVIDENCE),
        (CANCEL, None),
        (a_snapshot(ProviderStatus.CANCELED, minutes=9), None),
    ],
)  # fmt: skip
def test_a_completed_payment_never_leaves_completed(
    evidence: Evidence, reason: Attention | None
) -> None:
    payment = after(a_payment(Status.COMPLETED), evidence)
    assert payment.status is Status.COMPLETED
    assert (reason in payment.attention) if reason else not payment.attention


def test_paid_by_less_than_is_due_is_a_mismatch_and_not_complete() -> None:
    short = after(
        a_payment(Status.PENDING), a_snapshot(ProviderStatus.PAID, received=9, confirmed=9)
    )
    assert (short.status, short.attention) == (
        Status.PROCESSING,
        frozenset({Attention.AMOUNT_MISMATCH}),
    )


def test_tokens_are_counted_in_base_units_by_address_in_any_case() -> None:
    payment = a_payment(Status.PENDING, crypto=TERMS)
    almost = after(payment, (a_receipt(amount=4_999_999, asset=TOKEN.upper()),))
    paid = after(almost, (a_receipt("r2", amount=1, asset=TOKEN),))
    assert (almost.status, paid.status) == (Status.PROCESSING, Status.COMPLETED)
    assert after(payment, (a_receipt(amount=5_000_000),)).attention == {Attention.WRONG_TOKEN}


@pytest.mark.parametrize("amounts", [(100, 400), (400, 100)])
def test_one_receipt_with_two_amounts_is_a_conflict_and_counts_once(
    amounts: tuple[int, int],
) -> None:
    payment = after(a_payment(Status.PENDING), *((a_receipt(amount=n),) for n in amounts))
    assert (payment.received, payment.attention) == (
        400,
        frozenset({Attention.CONFLICTING_EVIDENCE}),
    )


def test_silence_is_told_when_it_lasts() -> None:
    unknown = after(a_payment(asking=Asking.UNKNOWN), Unanswered(), minutes=LATE)
    assert unknown.attention == {Attention.OUTCOME_UNKNOWN}
    assert after(unknown, created(), PAID).attention == frozenset()
    stuck = after(a_payment(Status.PENDING), Unanswered(), minutes=91)
    assert stuck.attention == {Attention.STUCK}
    assert after(a_payment(Status.PENDING), Unanswered(), minutes=LATE).attention == frozenset()


def test_an_outcome_is_unknown_until_the_answer_and_no_longer() -> None:
    unknown = after(a_payment(asking=Asking.UNKNOWN), Unanswered(), minutes=LATE)
    answered = after(unknown, created())
    assert (answered.status, answered.attention) == (Status.PENDING, frozenset[Attention]())


def test_a_receipt_that_changes_no_total_is_still_a_change_of_facts() -> None:
    pending = after(a_payment(Status.PENDING), PROCESSING)
    decision = decide(pending, (a_receipt(state=ReceiptState.SEEN),), at(3))
    assert decision is not None
    assert (decision.what, decision.payment.received) == ("facts_changed", DUE)


def test_what_is_known_of_a_create_never_becomes_more_certain_than_it_is() -> None:
    unknown = after(a_payment(), OutcomeUnknown())
    again = after(unknown, AskAgain(deadline=at(5)))
    assert (unknown.asking, again.asking) == (Asking.UNKNOWN, Asking.UNKNOWN)
    assert after(again, NotAttempted()).asking is Asking.UNKNOWN
    assert after(unknown, ABSENT).asking is Asking.NOT_ATTEMPTED
    assert after(unknown, UNPROVEN) == unknown
    never = after(a_payment(), NotAttempted())
    assert after(never, AskAgain(deadline=at(5))).asking is Asking.ASKING
    answered = after(a_payment(), created())
    assert after(answered, OutcomeUnknown()) == answered


def test_a_repeated_answer_adds_its_aliases() -> None:
    known = after(a_payment(), created(aliases=("a",)), created(aliases=("b", "a")))
    assert known.aliases == ("a", "b")


def test_looks_are_spaced_and_end_with_the_payment() -> None:
    creating = a_payment()
    assert next_check_time(creating, NOW) == NOW + timedelta(seconds=30)
    pending = a_payment(Status.PENDING, checks=9)
    assert next_check_time(pending, NOW) == pending.expire_time
    assert next_check_time(pending, at(60)) == at(120)
    assert next_check_time(a_payment(Status.COMPLETED), NOW) is None


def test_a_look_without_news_keeps_the_spacing() -> None:
    pending = attrs.evolve(after(a_payment(Status.PENDING), OPEN), checks=3)
    looked = after(pending, a_snapshot(minutes=9))
    assert looked.checks == 3
    assert looked.version == pending.version + 1
    assert after(pending, SEEN).checks == 0
