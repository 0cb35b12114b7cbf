"""The transition table of the payment model, row by row, guard by guard."""

from datetime import timedelta

import attrs
import pytest
from unit.domain.builders import (
    DUE,
    NOW,
    TERMS,
    TOKEN,
    a_dispute,
    a_payment,
    a_receipt,
    a_report,
    a_snapshot,
    after,
    at,
    created,
)

from payd.domain.attention import Attention
from payd.domain.decide import NEVER_SENT, EventType, Rules, decide, next_check_time
from payd.domain.dispute import DisputeStatus
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
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundState

LATE = 31.0
CANCEL = CancelRequested(reason="r")
OPEN = a_snapshot()
PAID = a_snapshot(ProviderStatus.PAID)
PROCESSING = a_snapshot(ProviderStatus.PROCESSING, received=DUE)
DECLINED = Declined(code="declined", message="no")
SEEN = (a_receipt(amount=100, state=ReceiptState.SEEN),)
ABSENT, UNPROVEN = Absent(), Absent(proven=False)


CREATING = a_payment()
PENDING = a_payment(Status.PENDING)
CANCELING = a_payment(Status.CANCELING)
#: What is known of payments before the provider answered.
CLOSED_EARLY = after(a_payment(), a_snapshot(ProviderStatus.CANCELED))
PAID_IN_PART = after(a_payment(), (a_receipt(amount=100),))
#: The main app canceled before the provider answered that it has an object.
CANCELED_UNSENT = after(a_payment(), CANCEL)

#: The payment, the evidence, the minutes since its start, and the status that follows.
TRANSITIONS: list[tuple[Payment, Evidence, float, Status]] = [
    (CREATING, created(), 1, Status.PENDING),
    (CREATING, DECLINED, 1, Status.FAILED),
    (CREATING, NotAttempted(), 1, Status.CREATING),
    (CREATING, NotAttempted(), 10, Status.FAILED),
    (CREATING, OutcomeUnknown(), 1, Status.CREATING),
    (CREATING, OutcomeUnknown(), 100_000, Status.CREATING),
    (CREATING, Unanswered(), 100_000, Status.CREATING),
    (CREATING, CANCEL, 1, Status.CANCELING),
    (CLOSED_EARLY, CANCEL, 1, Status.CANCELED),
    (PAID_IN_PART, CANCEL, LATE, Status.PROCESSING),
    (CREATING, PAID, 1, Status.COMPLETED),
    (CREATING, (a_receipt(),), 1, Status.COMPLETED),
    (CREATING, OPEN, 1, Status.CREATING),
    (CREATING, a_snapshot(minutes=LATE, reference="ref"), LATE, Status.EXPIRED),
    (CREATING, ABSENT, 1, Status.CREATING),
    (CREATING, ABSENT, LATE, Status.EXPIRED),
    (CREATING, UNPROVEN, LATE, Status.EXPIRED),
    (CREATING, AskAgain(deadline=at(5)), 1, Status.CREATING),
    (PENDING, OPEN, 1, Status.PENDING),
    (PENDING, PAID, 1, Status.COMPLETED),
    (PENDING, PROCESSING, 1, Status.PROCESSING),
    (PENDING, PROCESSING, LATE, Status.PROCESSING),
    (PENDING, SEEN, 1, Status.PROCESSING),
    (PENDING, (a_receipt(amount=100),), 1, Status.PROCESSING),
    (PENDING, CANCEL, 1, Status.CANCELING),
    (PENDING, OPEN, LATE, Status.PENDING),
    (PENDING, a_snapshot(minutes=LATE), LATE, Status.EXPIRED),
    (PENDING, a_snapshot(minutes=LATE, received=100, confirmed=100), LATE, Status.EXPIRED),
    (PENDING, a_snapshot(ProviderStatus.EXPIRED), 1, Status.EXPIRED),
    (PENDING, a_snapshot(ProviderStatus.CANCELED), 1, Status.FAILED),
    (PENDING, a_snapshot(ProviderStatus.CANCELED), LATE, Status.EXPIRED),
    (PENDING, a_snapshot(ProviderStatus.DECLINED, failure_code="c"), 1, Status.FAILED),
    (PENDING, Unanswered(), LATE, Status.PENDING),
    (PENDING, ABSENT, LATE, Status.PENDING),
    (PENDING, NotClosable(snapshot=a_snapshot(minutes=LATE)), LATE, Status.EXPIRED),
    (CANCELING, a_snapshot(ProviderStatus.CANCELED), 1, Status.CANCELED),
    (CANCELING, a_snapshot(ProviderStatus.EXPIRED), 1, Status.CANCELED),
    (CANCELING, PAID, 1, Status.COMPLETED),
    (CANCELING, PROCESSING, 1, Status.PROCESSING),
    (CANCELING, SEEN, 1, Status.PROCESSING),
    (CANCELING, OPEN, 1, Status.CANCELING),
    (CANCELING, NotClosable(snapshot=OPEN), 1, Status.CANCELED),
    (CANCELING, NotClosable(snapshot=PROCESSING), 1, Status.PROCESSING),
    (CANCELING, CANCEL, 1, Status.CANCELING),
    (CANCELING, Unanswered(), 1, Status.CANCELING),
    (CANCELED_UNSENT, ABSENT, 1, Status.CANCELED),
    (CANCELED_UNSENT, NotAttempted(), 1, Status.CANCELED),
    (CANCELED_UNSENT, DECLINED, 1, Status.CANCELED),
    (CANCELED_UNSENT, UNPROVEN, 1, Status.CANCELING),
    (CANCELED_UNSENT, UNPROVEN, LATE, Status.CANCELED),
]


@pytest.mark.parametrize(("payment", "evidence", "minutes", "status"), TRANSITIONS)
def test_evidence_moves_a_payment_to_the_next_status(
    payment: Payment, evidence: Evidence, minutes: float, status: Status
) -> None:
    moved = after(payment, evidence, minutes=minutes)
    assert moved.status is status
    moment = at(minutes)
    assert moved.close_time == (moment if status.is_closed else None)
    assert moved.complete_time == (moment if status is Status.COMPLETED else None)
    if moved != payment:
        assert (moved.next_check_time is not None) == status.is_open


@pytest.mark.parametrize(
    ("payment", "evidence", "minutes", "failure"),
    [
        (CREATING, DECLINED, 1, Failure(code="declined", message="no")),
        (CREATING, NotAttempted(), 10, NEVER_SENT),
        (PENDING, a_snapshot(ProviderStatus.CANCELED), 1,
         Failure(code="closed_by_provider",
                 message="The provider closed the payment before it was paid.")),
    ],
)  # fmt: skip
def test_a_failed_payment_says_why(
    payment: Payment, evidence: Evidence, minutes: float, failure: Failure
) -> None:
    assert after(payment, evidence, minutes=minutes).failure == failure


def test_a_cancel_in_creating_is_carried_out_when_the_reference_is_known() -> None:
    wished = after(a_payment(), CANCEL, created())
    assert (wished.status, wished.provider_reference) == (Status.CANCELING, "ref")


@pytest.mark.parametrize("evidence", [ABSENT, UNPROVEN])
@pytest.mark.parametrize(
    ("state", "attention"),
    [(ReceiptState.DROPPED, frozenset()), (ReceiptState.CONFIRMED, {Attention.UNDERPAID})],
)
def test_money_that_met_a_cancel_request_before_the_answer_does_not_keep_the_payment_open(
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


def test_what_can_be_closed_expires_when_its_object_has_ended_and_not_before() -> None:
    rules = Rules(closes=True)
    waiting = after(a_payment(Status.PENDING), a_snapshot(minutes=LATE), minutes=LATE, rules=rules)
    assert waiting.status is Status.PENDING

    closed = a_snapshot(ProviderStatus.CANCELED, minutes=LATE + 1)
    assert after(waiting, closed, minutes=LATE + 1, rules=rules).status is Status.EXPIRED


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
        (a_report(refund_id=None), Attention.REFUNDED_EXTERNALLY),
        (a_report(RefundState.FAILED, refund_id=None), Attention.REFUND_FAILED),
        (a_dispute(), Attention.DISPUTED),
        (a_dispute(DisputeStatus.LOST), Attention.LOST_DISPUTE),
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


def test_silence_raises_attention_when_it_lasts() -> None:
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
    assert (decision.audit_event, decision.payment.received) == ("facts_changed", DUE)


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


def test_status_checks_are_spaced_and_end_with_the_payment() -> None:
    creating = a_payment()
    assert next_check_time(creating, NOW) == NOW + timedelta(seconds=30)
    pending = a_payment(Status.PENDING, checks=9)
    assert next_check_time(pending, NOW) == pending.expire_time
    assert next_check_time(pending, at(60)) == at(120)
    assert next_check_time(a_payment(Status.COMPLETED), NOW) is None


def test_a_status_check_without_news_keeps_the_spacing() -> None:
    pending = attrs.evolve(after(a_payment(Status.PENDING), OPEN), checks=3)
    looked = after(pending, a_snapshot(minutes=9))
    assert looked.checks == 3
    assert looked.version == pending.version + 1
    assert after(pending, SEEN).checks == 0
