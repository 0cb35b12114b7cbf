"""The exact moments at which rules begin to apply, and the audit event of each decision."""

from datetime import timedelta

import attrs
import pytest
from unit.domain.builders import (
    DUE,
    EXPIRY,
    a_dispute,
    a_payment,
    a_receipt,
    a_refund,
    a_report,
    a_snapshot,
    after,
    at,
    created,
    refunded,
)

from payd.domain.attention import Attention
from payd.domain.decide import Event, EventType, decide, decide_set, next_check_time
from payd.domain.dispute import DisputeStatus
from payd.domain.evidence import (
    Absent,
    AskAgain,
    CancelRequested,
    Conflict,
    Evidence,
    NotAttempted,
    NotClosable,
    OutcomeUnknown,
    ProviderStatus,
    RefundAnswered,
    Unanswered,
)
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Payment, Status

EXPIRES = 30.0
JUST_BEFORE = EXPIRES - 0.001
PENDING = a_payment(Status.PENDING)
ASKED = a_refund(asking=Asking.ASKING)
UNBORN = a_payment(Status.CANCELING, provider_reference=None, asking=Asking.UNKNOWN)


@pytest.mark.parametrize(
    ("payment", "evidence", "before", "then"),
    [
        (PENDING, a_snapshot(minutes=EXPIRES), Status.PENDING, Status.EXPIRED),
        (PENDING, a_snapshot(ProviderStatus.CANCELED), Status.FAILED, Status.EXPIRED),
        (a_payment(), Absent(), Status.CREATING, Status.EXPIRED),
        (a_payment(), Absent(proven=False), Status.CREATING, Status.EXPIRED),
        (UNBORN, Absent(proven=False), Status.CANCELING, Status.CANCELED),
    ],
)
def test_a_payment_expires_at_its_expire_time_and_not_a_moment_earlier(
    payment: Payment, evidence: Evidence, before: Status, then: Status
) -> None:
    assert after(payment, evidence, minutes=JUST_BEFORE).status is before
    assert after(payment, evidence, minutes=EXPIRES).status is then


@pytest.mark.parametrize("wrap", [False, True])
def test_a_snapshot_that_was_taken_before_the_expiry_proves_nothing_after_it(wrap: bool) -> None:
    look = a_snapshot(minutes=JUST_BEFORE)
    evidence: Evidence = NotClosable(snapshot=look) if wrap else look
    assert after(PENDING, evidence, minutes=1000).status is Status.PENDING


def test_a_payment_that_was_never_sent_fails_after_ten_minutes() -> None:
    assert after(a_payment(), NotAttempted(), minutes=9.999).status is Status.CREATING
    failed = after(a_payment(), NotAttempted(), minutes=10)
    assert failed.status is Status.FAILED
    assert failed.failure is not None
    assert failed.failure.code == "not_attempted"


@pytest.mark.parametrize(
    ("payment", "minutes", "reason"),
    [
        (a_payment(), EXPIRES, Attention.OUTCOME_UNKNOWN),
        (UNBORN, EXPIRES, Attention.OUTCOME_UNKNOWN),
        (PENDING, EXPIRES + 60, Attention.STUCK),
    ],
)
def test_silence_raises_attention_from_its_moment_on(
    payment: Payment, minutes: float, reason: Attention
) -> None:
    assert after(payment, Unanswered(), minutes=minutes - 0.001).attention == frozenset()
    assert after(payment, Unanswered(), minutes=minutes).attention == {reason}


def test_a_part_at_the_last_moment_of_the_window_is_in_time() -> None:
    last = (a_receipt(amount=100, time=at(24 * 60)),)
    assert after(a_payment(Status.EXPIRED), last).attention == {Attention.UNDERPAID}


def test_a_status_check_is_due_at_the_expiry_and_later_ones_are_spaced_again() -> None:
    assert next_check_time(PENDING, EXPIRY - timedelta(seconds=1)) == EXPIRY
    assert next_check_time(PENDING, EXPIRY) == EXPIRY + timedelta(minutes=2)


def test_a_cancellation_is_looked_after_as_closely_as_a_creation() -> None:
    canceling = a_payment(Status.CANCELING)
    assert next_check_time(canceling, at(1)) == at(1.5)


def test_a_status_check_is_due_when_a_reason_is_old_enough_to_be_published() -> None:
    stuck = after(PENDING, Unanswered(), minutes=EXPIRES + 60)
    waiting = attrs.evolve(stuck, checks=9)
    assert next_check_time(waiting, at(100)) == at(EXPIRES + 120)
    assert next_check_time(waiting, at(EXPIRES + 120)) == at(EXPIRES + 180)
    # An hour from now is sooner.
    assert next_check_time(attrs.evolve(stuck, checks=1), at(100)) == at(105)


@pytest.mark.parametrize(
    ("confirmed", "attention"),
    [
        (DUE - 1, {Attention.PAID_AFTER_CLOSE, Attention.UNDERPAID}),
        (DUE, {Attention.PAID_AFTER_CLOSE}),
        (DUE + 1, {Attention.PAID_AFTER_CLOSE, Attention.OVERPAID}),
        (2 * DUE - 1, {Attention.PAID_AFTER_CLOSE, Attention.OVERPAID}),
        (
            2 * DUE,
            {Attention.PAID_AFTER_CLOSE, Attention.OVERPAID, Attention.DUPLICATE_PAYMENT},
        ),
    ],
)
def test_too_little_too_much_and_twice_are_distinguished(
    confirmed: int, attention: frozenset[Attention]
) -> None:
    canceled = after(a_payment(Status.CANCELED), (a_receipt(amount=confirmed),))
    assert canceled.attention == attention


@pytest.mark.parametrize(
    ("code", "message", "failure"),
    [
        ("card_declined", "No.", Failure(code="card_declined", message="No.")),
        (None, None, Failure(code="declined", message="The provider declined.")),
    ],
)
def test_a_failure_is_reported_in_the_providers_words_or_in_ours(
    code: str | None, message: str | None, failure: Failure
) -> None:
    refused = a_snapshot(ProviderStatus.DECLINED, failure_code=code, failure_message=message)
    assert after(PENDING, refused).failure == failure
    assert after(PENDING, NotClosable(snapshot=refused)).failure == failure


@pytest.mark.parametrize(
    ("payment", "evidence", "what"),
    [
        (a_payment(), created(), "payment_pending"),
        (a_payment(Status.COMPLETED, provider_reference=None), created(), "provider_answered"),
        (a_payment(), OutcomeUnknown(), "provider_answered"),
        (a_payment(), NotAttempted(), "provider_answered"),
        (PENDING, created(expire_time=at(9)), "expiry_changed"),
        (PENDING, CancelRequested(), "payment_canceling"),
        (PENDING, Conflict(), "attention_changed"),
        (a_payment(Status.COMPLETED), (a_receipt(amount=1),), "facts_changed"),
        (refunded(ASKED), RefundAnswered(refund_id=ASKED.id, answer=OutcomeUnknown()),
         "refund_changed"),
        (PENDING, a_snapshot(), "status_checked"),
    ],
)  # fmt: skip
def test_every_decision_has_the_name_of_its_weightiest_change(
    payment: Payment, evidence: Evidence, what: str
) -> None:
    decision = decide(payment, evidence, at(2))
    assert decision is not None
    assert decision.audit_event == what


def test_a_reason_to_cancel_is_kept_for_the_audit_row() -> None:
    decision = decide(PENDING, CancelRequested(reason="changed my mind"), at(2))
    assert decision is not None
    assert decision.note == "changed my mind"


def test_an_audit_row_has_no_note_that_nobody_wrote() -> None:
    one, together = decide(PENDING, a_snapshot(), at(2)), decide_set(PENDING, [a_snapshot()], at(2))
    assert one is not None
    assert one == together.decision
    assert (one.note, one.payment.update_time) == ("", at(2))


def test_an_event_says_what_it_is_about_and_what_was_before() -> None:
    paid, refund = a_payment(Status.COMPLETED), a_refund()
    succeeded = decide(refunded(refund), a_report(), at(2))
    assert succeeded is not None
    assert succeeded.events == (
        Event(
            type=EventType.REFUNDED,
            previous_status=Status.COMPLETED,
            reason="",
            refund_id=refund.id,
        ),
    )
    inquiry = a_dispute(DisputeStatus.INQUIRY, id="dp_0")
    opened = decide(after(paid, inquiry), a_dispute(reason="fraudulent"), at(2))
    assert opened is not None
    assert opened.events == (
        Event(
            type=EventType.DISPUTED,
            previous_status=Status.COMPLETED,
            reason="fraudulent",
            dispute_id="dp_1",
        ),
        Event(type=EventType.ATTENTION, previous_status=Status.COMPLETED, reason="DISPUTED"),
    )


def test_a_payment_that_is_found_paid_and_refunded_publishes_both() -> None:
    found = a_snapshot(ProviderStatus.PAID, refunds=(a_report(refund_id=None),))
    decision = decide(PENDING, found, at(2))
    assert decision is not None
    assert [event.type for event in decision.events] == [
        EventType.COMPLETED,
        EventType.REFUNDED,
        EventType.ATTENTION,
    ]


@pytest.mark.parametrize(
    ("evidence", "status"),
    [
        ((a_receipt(),), Status.COMPLETED),
        ((a_receipt(time=at(9999)),), Status.EXPIRED),
    ],
)
def test_nobody_asks_the_provider_for_a_payment_that_has_ended(
    evidence: Evidence, status: Status
) -> None:
    claimed = a_payment(ask_deadline=at(9))
    ended = after(claimed, evidence)
    assert (ended.status, ended.ask_deadline) == (status, None)


def test_of_a_payment_that_is_paid_no_answer_is_outstanding() -> None:
    paid = after(a_payment(), (a_receipt(),))
    assert paid.asking is Asking.ANSWERED
    assert decide(paid, OutcomeUnknown(), at(3)) is None


def test_a_later_change_of_a_closed_payment_gives_money_no_more_time() -> None:
    failed = after(a_payment(Status.FAILED), Conflict(), minutes=60)
    too_late = after(failed, a_snapshot(ProviderStatus.PAID, minutes=24 * 60 + 1))
    assert failed.update_time == at(60)
    assert too_late.status is Status.FAILED


@pytest.mark.parametrize("status", list(Status))
def test_nobody_may_ask_again_once_the_answer_is_known(status: Status) -> None:
    known = attrs.evolve(a_payment(status), provider_reference="ref", asking=Asking.ANSWERED)
    assert after(known, AskAgain(deadline=at(9))).ask_deadline is None
