"""Refunds, rule by rule: who is granted one, and what a report does that fits none."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

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
    a_refund,
    a_report,
    a_snapshot,
    after,
    at,
    refunded,
)

from payd.domain.attention import Attention
from payd.domain.decide import EventType, decide
from payd.domain.dispute import DisputeStatus
from payd.domain.errors import (
    ApproverIsRequester,
    NotRefundable,
    PaydError,
    PaymentDisputed,
    RefundDestinationRequired,
    RefundExceedsPaid,
    RefundNotFound,
)
from payd.domain.evidence import (
    Absent,
    AskAgain,
    AttentionResolved,
    Declined,
    NotAttempted,
    OutcomeUnknown,
    ProviderStatus,
    RefundAnswered,
    RefundApproved,
    RefundCanceled,
    RefundRequested,
    Unanswered,
)
from payd.domain.money import MINOR_UNITS_MAX, Money
from payd.domain.next_action import Redirect
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Payment, Status
from payd.domain.refund import (
    Refund,
    RefundInstructions,
    RefundState,
    RefundStatus,
    RefundTerms,
)
from payd.domain.refunds import left, next_refund_check_time, refundable

PAID = a_payment(Status.COMPLETED)
ID = a_refund().id
PAYMENT_ID = str(PAID.id)
SUCCEEDED = a_refund(RefundStatus.SUCCEEDED, amount=DUE - 50)
APPROVED = RefundApproved(refund_id=ID, by="eve", note="n")
WITHDRAWN = RefundCanceled(refund_id=ID, note="n")


def a_request(amount: int = 100, *, all_left: bool = False, **overrides: Any) -> RefundRequested:
    terms = overrides.pop("terms", RefundTerms())
    draft = a_refund(amount=amount, asking=Asking.ASKING, ask_deadline=at(3), **overrides)
    return RefundRequested(refund=draft, terms=terms, is_all_left=all_left)


def only(payment: Payment) -> Refund:
    [refund] = payment.refunds
    return refund


def external(payment: Payment, reference: str) -> Refund | None:
    wanted = uuid5(payment.id, reference)
    return next((refund for refund in payment.refunds if refund.id == wanted), None)


def conflicts(payment: Payment) -> set[str]:
    """What contradicts, as a person reads it."""
    records = payment.attention_records
    [*facts] = (one.facts for one in records if one.reason is Attention.CONFLICTING_EVIDENCE)
    return set().union(*facts)


# -- granted or refused --------------------------------------------------------------------------


def test_a_refund_reserves_its_amount_and_may_be_sent() -> None:
    decision = decide(PAID, a_request(), at(2))
    assert decision is not None
    refund = only(decision.payment)
    assert (refund.status, refund.asking, refund.ask_deadline) == (
        RefundStatus.CREATING,
        Asking.ASKING,
        at(3),
    )
    assert (left(decision.payment), decision.payment.refunded) == (DUE - 100, 0)
    assert (decision.audit_event, decision.events) == ("refund_creating", ())
    assert decide(decision.payment, a_request(), at(3)) is None


def test_without_an_amount_all_that_is_left_is_refunded() -> None:
    granted = after(refunded(a_refund(id=UUID(int=8))), a_request(0, all_left=True))
    assert [refund.amount for refund in granted.refunds] == [100, DUE - 100]
    with pytest.raises(RefundExceedsPaid) as caught:
        after(granted, a_request(0, all_left=True, id=UUID(int=7)))
    assert str(caught.value) == "0.00 USD is left to refund"
    assert caught.value.metadata == {
        "payment_id": str(PAID.id),
        "currency": "USD",
        "left_minor_units": "0",
    }


@pytest.mark.parametrize(
    ("payment", "request_", "error"),
    [
        (PAID, a_request(DUE + 1), RefundExceedsPaid),
        (PAID, a_request(0), RefundExceedsPaid),
        (refunded(SUCCEEDED), a_request(51, id=UUID(int=8)), RefundExceedsPaid),
        (a_payment(Status.PENDING), a_request(), NotRefundable),
        (a_payment(Status.PROCESSING, snapshot_confirmed=100), a_request(), NotRefundable),
        (a_payment(Status.EXPIRED), a_request(), NotRefundable),
        (PAID, a_request(terms=RefundTerms(partial=False)), NotRefundable),
        (refunded(SUCCEEDED), a_request(1, id=UUID(int=8), terms=RefundTerms(several=False)),
         NotRefundable),
        (PAID, a_request(terms=RefundTerms(window=timedelta(minutes=1))), NotRefundable),
        (PAID, a_request(terms=RefundTerms(needs_destination=True)), RefundDestinationRequired),
        (after(PAID, a_dispute()), a_request(), PaymentDisputed),
        (after(PAID, a_dispute(DisputeStatus.LOST, amount=1)), a_request(), PaymentDisputed),
    ],
)  # fmt: skip
def test_a_refund_is_refused(
    payment: Payment, request_: RefundRequested, error: type[PaydError]
) -> None:
    with pytest.raises(PaydError) as caught:
        decide(payment, request_, at(2))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("payment", "command", "said", "metadata"),
    [
        (a_payment(Status.PENDING), a_request(),
         "the payment is still PENDING: it can be refunded once it has ended",
         {"payment_id": PAYMENT_ID, "status": "PENDING"}),
        (a_payment(Status.PROCESSING, snapshot_confirmed=100), a_request(),
         "the payment is still PROCESSING: it can be refunded once it has ended",
         {"payment_id": PAYMENT_ID, "status": "PROCESSING"}),
        (a_payment(Status.EXPIRED), a_request(),
         "the payment is EXPIRED and brought no money",
         {"payment_id": PAYMENT_ID, "status": "EXPIRED"}),
        (PAID, a_request(terms=RefundTerms(window=timedelta(minutes=1))),
         "the provider refunds up to 0:01:00 later",
         {"payment_id": PAYMENT_ID, "status": "COMPLETED"}),
        (refunded(SUCCEEDED), a_request(1, id=UUID(int=8), terms=RefundTerms(several=False)),
         "the provider refunds a payment only once",
         {"payment_id": PAYMENT_ID, "status": "COMPLETED"}),
        (PAID, a_request(terms=RefundTerms(partial=False)),
         "the provider refunds only the whole payment at once",
         {"payment_id": PAYMENT_ID, "status": "COMPLETED"}),
        (PAID, a_request(terms=RefundTerms(needs_destination=True)),
         "payd cannot send money on this rail: say where it is to go",
         {"field": "destination"}),
        (after(PAID, a_dispute()), a_request(),
         "a dispute of this payment is open or lost: it decides on the money",
         {"payment_id": PAYMENT_ID}),
        (PAID, APPROVED, "no refund has this id", {"refund_id": str(ID)}),
        (refunded(a_refund(RefundStatus.AWAITING_APPROVAL, requester="eve")), APPROVED,
         "another certificate or user has to approve it", {"refund_id": str(ID)}),
        (refunded(a_refund(RefundStatus.FAILED)), APPROVED,
         "the refund is FAILED: it can no longer be approved",
         {"refund_id": str(ID), "status": "FAILED"}),
        (refunded(a_refund(RefundStatus.PENDING)), WITHDRAWN,
         "the refund is PENDING: it can no longer be taken back",
         {"refund_id": str(ID), "status": "PENDING"}),
    ],
)  # fmt: skip
def test_a_refusal_says_why_in_words_and_in_values(
    payment: Payment, command: Any, said: str, metadata: dict[str, str]
) -> None:
    with pytest.raises(PaydError) as caught:
        decide(payment, command, at(2))
    assert (str(caught.value), caught.value.metadata) == (said, metadata)


@pytest.mark.parametrize(
    ("payment", "window_ends"),
    [
        (a_payment(Status.COMPLETED, complete_time=at(5), update_time=at(50)), 15),
        (a_payment(Status.COMPLETED, close_time=NOW, complete_time=at(40), late=True), 50),
        (a_payment(Status.EXPIRED, snapshot_confirmed=100, close_time=at(5), update_time=at(50)),
         15),
    ],
)  # fmt: skip
def test_the_time_for_refunds_counts_from_the_end_of_the_payment(
    payment: Payment, window_ends: float
) -> None:
    request = a_request(terms=RefundTerms(window=timedelta(minutes=10)))
    assert only(after(payment, request, minutes=window_ends)).amount == 100
    with pytest.raises(NotRefundable):
        after(payment, request, minutes=window_ends + 0.01)


@pytest.mark.parametrize(
    ("payment", "request_"),
    [
        (a_payment(Status.EXPIRED, snapshot_confirmed=1), a_request(1)),
        (a_payment(Status.EXPIRED, snapshot_confirmed=100), a_request()),
        (a_payment(Status.CANCELED, snapshot_confirmed=100), a_request()),
        (refunded(SUCCEEDED), a_request(50, id=UUID(int=8))),
        (PAID, a_request(DUE, terms=RefundTerms(partial=False, several=False))),
        (PAID, a_request(terms=RefundTerms(window=timedelta(minutes=2)))),
        (PAID, a_request(terms=RefundTerms(needs_destination=True), destination="0xabc")),
        (after(PAID, a_dispute(DisputeStatus.INQUIRY)), a_request()),
        (after(PAID, a_dispute(DisputeStatus.WON)), a_request()),
        (refunded(a_refund(RefundStatus.FAILED, id=UUID(int=8))),
         a_request(DUE, terms=RefundTerms(several=False))),
    ],
)  # fmt: skip
def test_a_refund_is_granted(payment: Payment, request_: RefundRequested) -> None:
    assert refundable(payment) >= request_.refund.amount
    granted = after(payment, request_)
    assert len(granted.refunds) == len(payment.refunds) + 1


@pytest.mark.parametrize(
    "payment",
    [
        a_payment(Status.PROCESSING, snapshot_confirmed=100),
        after(PAID, a_dispute()),
        after(PAID, a_dispute(DisputeStatus.LOST, amount=1)),
    ],
)
def test_nothing_can_be_refunded_while_a_refund_is_refused(payment: Payment) -> None:
    assert left(payment) > 0
    assert refundable(payment) == 0


def test_what_is_left_is_named_in_the_payments_currency_and_in_the_token() -> None:
    crypto = a_payment(Status.COMPLETED, crypto=TERMS, snapshot_confirmed=5_000_001)
    with pytest.raises(RefundExceedsPaid) as caught:
        decide(crypto, a_request(6_000_000), at(2))
    assert str(caught.value) == "5.00 USD (5000001 base units of USDC) is left to refund"
    assert caught.value.metadata == {
        "payment_id": str(crypto.id),
        "currency": "USD",
        "left_minor_units": "500",
        "left_base_units": "5000001",
    }


def test_a_token_for_another_currency_is_converted_by_its_decimals() -> None:
    yen = Money(currency_code="JPY", minor_units=5)
    crypto = a_payment(Status.COMPLETED, amount=yen, crypto=TERMS, snapshot_confirmed=5_000_000)
    with pytest.raises(RefundExceedsPaid, match=r"^5 JPY \(5000000 base units of USDC\) is left"):
        decide(crypto, a_request(6_000_000), at(2))


def test_more_tokens_than_money_can_count_are_left_exactly_in_base_units() -> None:
    crypto = a_payment(Status.COMPLETED, crypto=TERMS, snapshot_confirmed=10**30)
    with pytest.raises(RefundExceedsPaid) as caught:
        decide(crypto, a_request(10**31), at(2))
    assert caught.value.metadata["left_minor_units"] == str(MINOR_UNITS_MAX)
    assert caught.value.metadata["left_base_units"] == str(10**30)


def test_from_an_amount_on_a_second_person_has_to_approve() -> None:
    terms = RefundTerms(approval_from=100)
    assert only(after(PAID, a_request(99, terms=terms))).status is RefundStatus.CREATING
    waiting = after(PAID, a_request(100, terms=terms))
    refund = only(waiting)
    assert refund.status is RefundStatus.AWAITING_APPROVAL
    assert (refund.asking, refund.ask_deadline, refund.next_check_time) == (
        Asking.NOT_ATTEMPTED,
        None,
        None,
    )
    assert left(waiting) == DUE - 100
    with pytest.raises(ApproverIsRequester):
        after(waiting, RefundApproved(refund_id=ID, by="main-app", note="n"))
    approved = decide(waiting, RefundApproved(refund_id=ID, by="eve", note="good"), at(3))
    assert approved is not None
    assert only(approved.payment).status is RefundStatus.CREATING
    assert approved.note == "good"


def test_a_dispute_stops_an_approval() -> None:
    waiting = after(PAID, a_request(terms=RefundTerms(approval_from=1)), a_dispute())
    with pytest.raises(PaymentDisputed):
        after(waiting, RefundApproved(refund_id=ID, by="eve", note="n"))


@pytest.mark.parametrize(
    "command",
    [
        RefundApproved(refund_id=ID, by="eve", note="n"),
        RefundCanceled(refund_id=ID, note="n"),
    ],
)
def test_a_command_for_an_unknown_refund_is_refused(command: Any) -> None:
    with pytest.raises(RefundNotFound):
        decide(PAID, command, at(2))
    assert decide(PAID, RefundAnswered(refund_id=ID, answer=NotAttempted()), at(2)) is None


def test_a_withdrawn_refund_gives_its_amount_back() -> None:
    waiting = refunded(a_refund(RefundStatus.AWAITING_TRANSFER))
    decision = decide(waiting, RefundCanceled(refund_id=ID, note="not needed"), at(3))
    assert decision is not None
    assert (left(decision.payment), decision.note) == (DUE, "not needed")
    assert decision.events == ()


def test_the_reason_of_a_request_is_kept_for_the_audit_row() -> None:
    decision = decide(PAID, a_request(reason="damaged"), at(2))
    assert decision is not None
    assert decision.note == "damaged"


# -- answers -------------------------------------------------------------------------------------


def asked(*answers: Any, **overrides: Any) -> Refund:
    payment = refunded(a_refund(asking=Asking.ASKING, ask_deadline=at(3), **overrides))
    evidence = (RefundAnswered(refund_id=ID, answer=answer) for answer in answers)
    return only(after(payment, *evidence))


def test_what_is_known_of_a_request_never_becomes_more_certain_than_it_is() -> None:
    assert asked(NotAttempted()).asking is Asking.NOT_ATTEMPTED
    assert asked(OutcomeUnknown(), NotAttempted()).asking is Asking.UNKNOWN
    assert asked(OutcomeUnknown(), Absent(proven=False)).asking is Asking.UNKNOWN
    assert asked(OutcomeUnknown(), Absent()).asking is Asking.NOT_ATTEMPTED
    again = asked(OutcomeUnknown(), AskAgain(deadline=at(9)))
    assert (again.asking, again.ask_deadline) == (Asking.UNKNOWN, at(9))
    first = asked(NotAttempted(), AskAgain(deadline=at(9)))
    assert (first.asking, first.ask_deadline) == (Asking.ASKING, at(9))


def test_instructions_say_what_a_person_has_to_send() -> None:
    action = Redirect(url="https://send.example")
    instructed = asked(RefundInstructions(next_action=action))
    assert (instructed.status, instructed.next_action) == (RefundStatus.AWAITING_TRANSFER, action)
    assert (instructed.asking, instructed.ask_deadline) == (Asking.ANSWERED, None)


def test_once_the_provider_answered_nobody_asks_again() -> None:
    pending = asked(a_report(RefundState.PENDING))
    assert (pending.asking, pending.ask_deadline) == (Asking.ANSWERED, None)


def test_a_declined_refund_fails_with_the_providers_words() -> None:
    declined = asked(Declined(code="charge_disputed", message="No."))
    assert declined.failure == Failure(code="charge_disputed", message="No.")
    assert (declined.asking, declined.complete_time) == (Asking.ANSWERED, None)


def test_silence_for_an_hour_is_for_a_person_and_keeps_the_amount() -> None:
    creating = refunded(a_refund(asking=Asking.UNKNOWN))
    silence = RefundAnswered(refund_id=ID, answer=Unanswered())
    assert decide(creating, silence, at(59)) is None
    stuck = after(creating, silence, minutes=60)
    assert (stuck.attention, left(stuck)) == ({Attention.STUCK}, DUE - 100)
    published = decide(stuck, silence, at(120))
    assert published is not None
    assert [event.reason for event in published.events] == ["STUCK"]
    assert after(stuck, a_report(), minutes=70).attention == frozenset()


def test_a_stuck_refund_does_not_keep_the_reasons_of_its_payment() -> None:
    stuck = after(a_payment(Status.PENDING), Unanswered(), minutes=91)
    paid = after(stuck, a_snapshot(ProviderStatus.PAID), minutes=92)
    assert paid.attention == frozenset()


def test_checks_of_a_refund_are_spaced_in_each_status() -> None:
    creating = a_refund(checks=2)
    assert next_refund_check_time(creating, NOW) == NOW + timedelta(minutes=10)
    assert next_refund_check_time(attrs.evolve(creating, checks=99), NOW) == NOW + timedelta(
        hours=6
    )
    pending = only(after(refunded(creating), a_report(RefundState.PENDING)))
    assert (pending.checks, pending.next_check_time) == (0, at(12))
    same = only(after(refunded(creating), RefundAnswered(refund_id=ID, answer=OutcomeUnknown())))
    assert (same.checks, same.next_check_time) == (2, at(12))
    assert next_refund_check_time(SUCCEEDED, NOW) is None


def test_news_of_one_refund_leaves_the_checks_of_another_alone() -> None:
    other = a_refund(id=UUID(int=8), checks=3, next_check_time=at(7))
    moved = after(refunded(other, a_refund()), a_report(RefundState.PENDING))
    assert next(one for one in moved.refunds if one.id == other.id) == other
    assert next(one for one in moved.refunds if one.id == ID).update_time == at(2)


# -- reports that fit no refund of ours ----------------------------------------------------------


def test_a_refund_made_at_the_provider_is_counted_once_under_one_id() -> None:
    report = a_report(reference="re_x", refund_id=None, aliases=("ch_1",))
    payment = after(PAID, report)
    refund = only(payment)
    assert (refund.id, refund.external, refund.amount) == (uuid5(PAID.id, "re_x"), True, 100)
    assert (refund.create_time, refund.update_time, refund.asking) == (
        report.time,
        at(2),
        Asking.ANSWERED,
    )
    assert (payment.refunded, left(payment)) == (100, DUE - 100)
    assert payment.attention == {Attention.REFUNDED_EXTERNALLY}
    assert payment.aliases == ("ch_1",)
    assert after(payment, a_report(RefundState.PENDING, "re_x", refund_id=None)) == payment


def test_an_id_that_payd_does_not_know_is_a_refund_made_at_the_provider() -> None:
    payment = after(PAID, a_report(refund_id=UUID(int=99)))
    assert only(payment).external


def test_a_refund_of_another_asset_is_not_money_of_this_payment() -> None:
    payment = after(refunded(a_refund()), a_report(asset="EUR"))
    assert (payment.attention, payment.refunded) == ({Attention.WRONG_TOKEN}, 0)
    crypto = refunded(a_refund(), crypto=TERMS, snapshot_confirmed=5_000_000)
    assert after(crypto, a_report(asset=TOKEN.upper())).refunded == 100


def test_a_report_without_our_id_is_matched_by_the_providers_reference() -> None:
    pending = refunded(a_refund(RefundStatus.PENDING))
    succeeded = only(after(pending, a_report(refund_id=None)))
    assert (succeeded.status, succeeded.complete_time) == (RefundStatus.SUCCEEDED, at(2))


def test_a_second_reference_for_one_refund_is_a_contradiction_and_counts() -> None:
    payment = after(refunded(a_refund()), a_report(), a_report(reference="re_2"))
    assert payment.refunded == 200
    assert Attention.CONFLICTING_EVIDENCE in payment.attention
    second = external(payment, "re_2")
    assert second is not None
    assert (second.status, second.complete_time) == (RefundStatus.SUCCEEDED, at(2))


def test_a_reference_of_another_refund_of_ours_counts_once() -> None:
    two = a_refund(id=UUID(int=8))
    payment = after(refunded(a_refund(), two), a_report(), a_report(refund_id=two.id, amount=99))
    assert (payment.refunded, len(payment.refunds)) == (100, 2)
    assert payment.attention == {Attention.CONFLICTING_EVIDENCE}


def test_one_refund_of_the_provider_is_one_refund_of_ours() -> None:
    two = a_refund(id=UUID(int=8))
    payment = after(refunded(a_refund(), two), a_report(), a_report(refund_id=two.id))
    assert (payment.refunded, left(payment)) == (100, DUE - 200)
    named = {one.id: one.provider_reference for one in payment.refunds}
    assert named == {ID: "re_1", two.id: None}
    assert payment.attention == {Attention.CONFLICTING_EVIDENCE}


def test_what_the_previous_version_saw_refunded_is_not_left() -> None:
    payment = attrs.evolve(refunded(a_refund(amount=100)), snapshot_refunded=DUE - 130)
    assert left(payment) == 30
    more = attrs.evolve(payment, snapshot_refunded=DUE - 30)
    assert left(more) == 0
    # The total may contain the refund that is on its way.
    assert after(more, a_report(RefundState.PENDING)).attention == {Attention.REFUNDED_EXTERNALLY}


def test_another_amount_than_granted_is_a_contradiction_and_counts() -> None:
    payment = after(refunded(a_refund()), a_report(amount=70))
    assert (payment.refunded, left(payment)) == (70, DUE - 170)
    assert payment.attention == {Attention.CONFLICTING_EVIDENCE, Attention.REFUNDED_EXTERNALLY}
    assert payment.refunds[0].status is RefundStatus.CREATING
    known = after(refunded(a_refund()), a_report(), a_report(amount=70))
    assert (known.refunded, known.attention) == (100, {Attention.CONFLICTING_EVIDENCE})


def test_a_refund_made_at_the_provider_is_as_old_as_its_first_report_says() -> None:
    reports = [a_report(time=at(minutes), refund_id=None) for minutes in (0.5, 1)]
    for one, other in (reports, reversed(reports)):
        assert only(after(PAID, one, other)).create_time == at(0.5)


def test_two_amounts_of_one_refund_made_at_the_provider_are_a_contradiction() -> None:
    reports = [a_report(amount=amount, refund_id=None) for amount in (70, 90)]
    for one, other in (reports, reversed(reports)):
        payment = after(PAID, one, other)
        assert payment.refunded == 90
        assert Attention.CONFLICTING_EVIDENCE in payment.attention


@pytest.mark.parametrize("amount", [100, 101, 120])
def test_a_transfer_of_at_least_the_amount_closes_a_refund(amount: int) -> None:
    payment = after(refunded(a_refund(RefundStatus.AWAITING_TRANSFER)), a_report(amount=amount))
    assert payment.refunded == amount
    assert next(r for r in payment.refunds if r.id == ID).status is RefundStatus.SUCCEEDED
    assert (Attention.CONFLICTING_EVIDENCE in payment.attention) == (amount > 100)


def test_a_transfer_of_less_closes_nothing_and_counts() -> None:
    payment = after(refunded(a_refund(RefundStatus.AWAITING_TRANSFER)), a_report(amount=99))
    assert (payment.refunded, left(payment)) == (99, DUE - 199)
    assert payment.refunds[0].status is RefundStatus.AWAITING_TRANSFER
    assert Attention.CONFLICTING_EVIDENCE in payment.attention


def test_a_declined_refund_that_was_made_all_the_same_is_a_contradiction_and_counts() -> None:
    declined = RefundAnswered(refund_id=ID, answer=Declined(code="no", message="no"))
    payment = after(refunded(a_refund()), declined, a_report())
    assert payment.refunded == 100
    assert Attention.CONFLICTING_EVIDENCE in payment.attention


def test_a_report_that_did_not_name_our_refund_is_not_counted_twice() -> None:
    answer = RefundAnswered(refund_id=ID, answer=a_report(RefundState.PENDING))
    unnamed = after(refunded(a_refund()), a_report(refund_id=None))
    decision = decide(unnamed, answer, at(3))
    assert decision is not None
    payment = decision.payment
    assert (payment.refunded, left(payment)) == (100, DUE - 100)
    twin = external(payment, "re_1")
    assert twin is not None
    assert (twin.status, twin.failure and twin.failure.code) == (
        RefundStatus.FAILED,
        "same_refund",
    )
    assert twin.failure
    assert twin.failure.message == f"It is the refund {ID}."
    assert payment.attention == frozenset()
    published = [(e.type, e.refund_id) for e in decision.events]
    assert sorted(published, key=lambda one: one[0].value) == [
        (EventType.REFUND_FAILED, twin.id),
        (EventType.REFUNDED, ID),
    ]
    assert (twin.provider_reference, twin.complete_time) == (None, None)
    assert after(payment, a_report(refund_id=None)) == payment


@pytest.mark.parametrize("state", [RefundState.FAILED, RefundState.CANCELED])
def test_what_was_reported_without_naming_our_refund_is_not_forgotten(state: RefundState) -> None:
    unnamed = a_report(state, refund_id=None, failure_code="lost_card")
    orders = [
        after(refunded(a_refund()), unnamed, a_report()),
        after(refunded(a_refund()), a_report(), unnamed),
    ]
    for payment in orders:
        [ours] = [one for one in payment.refunds if not one.external]
        assert (ours.status, ours.provider_reference) == (RefundStatus.FAILED, "re_1")
        assert payment.refunded == 0
    first, second = (payment.refunds[0].failure for payment in orders)
    assert first == second


@pytest.mark.parametrize(
    ("report", "failure"),
    [
        (a_report(RefundState.FAILED),
         Failure(code="failed", message="The provider could not refund.")),
        (a_report(RefundState.FAILED, failure_code="lost_card", failure_message="Card lost."),
         Failure(code="lost_card", message="Card lost.")),
        (a_report(RefundState.CANCELED),
         Failure(code="canceled", message="The provider canceled the refund.")),
    ],
)  # fmt: skip
def test_a_failure_is_in_the_words_of_the_provider_or_in_ours(
    report: Any, failure: Failure
) -> None:
    assert only(after(refunded(a_refund()), report)).failure == failure
    # A report that came before our refund was known by name says the same.
    unnamed = attrs.evolve(report, refund_id=None)
    named = after(refunded(a_refund()), unnamed, a_report(RefundState.PENDING))
    [ours] = [one for one in named.refunds if not one.external]
    assert ours.failure == failure


@pytest.mark.parametrize(
    ("reports", "code"),
    [
        ([a_report(RefundState.FAILED)], "failed"),
        ([a_report(RefundState.FAILED), a_report(RefundState.FAILED, failure_code="a_code")],
         "a_code"),
        ([a_report(RefundState.FAILED, failure_code="lost_card")], "lost_card"),
        ([a_report(RefundState.CANCELED), a_report(RefundState.FAILED)], "failed"),
        ([a_report(), a_report(RefundState.CANCELED)], "canceled"),
    ],
)  # fmt: skip
def test_a_failed_refund_says_why(reports: Any, code: str) -> None:
    for order in (reports, reports[::-1]):
        payment = after(refunded(a_refund()), *order)
        failure = only(payment).failure
        assert failure is not None
        assert failure.code == code
        assert payment.attention == {Attention.REFUND_FAILED}


def test_a_refund_that_fails_after_it_succeeded_is_money_that_is_left_again() -> None:
    done = after(refunded(a_refund()), a_report())
    assert (done.refunded, only(done).complete_time) == (100, at(2))
    decision = decide(done, a_report(RefundState.FAILED, failure_code="lost_card"), at(3))
    assert decision is not None
    assert (decision.payment.refunded, left(decision.payment)) == (0, DUE)
    assert only(decision.payment).complete_time is None
    assert [(event.type, event.reason) for event in decision.events] == [
        (EventType.REFUND_FAILED, "lost_card"),
        (EventType.ATTENTION, "REFUND_FAILED"),
    ]


# -- more than was paid --------------------------------------------------------------------------


def test_a_refund_that_was_not_sent_is_not_sent_when_the_money_is_gone() -> None:
    waiting = after(PAID, a_request(terms=RefundTerms(approval_from=1)))
    payment = after(waiting, a_report(reference="re_x", refund_id=None, amount=DUE))
    failed = next(refund for refund in payment.refunds if refund.id == ID)
    assert failed.failure is not None
    assert failed.failure.code == "nothing_left"
    assert Attention.CONFLICTING_EVIDENCE in payment.attention
    assert (payment.refunded, left(payment)) == (DUE, 0)
    assert conflicts(payment) == {f"refund {ID} was not sent"}


def test_a_refund_is_stopped_for_the_least_that_was_taken_too_much() -> None:
    waiting = refunded(a_refund(RefundStatus.AWAITING_APPROVAL))
    fits = after(waiting, a_report(reference="re_x", refund_id=None, amount=DUE - 100))
    assert conflicts(fits) == set()
    lost = a_dispute(DisputeStatus.LOST, amount=DUE - 99)
    assert conflicts(after(waiting, lost)) == {f"refund {ID} was not sent"}


def test_more_taken_back_than_was_paid_is_a_contradiction_with_the_sums() -> None:
    payment = after(PAID, a_report(refund_id=None, amount=DUE + 1))
    assert conflicts(payment) == {"501 of 500 taken back"}
    cent = a_payment(Status.EXPIRED, snapshot_confirmed=1)
    assert conflicts(after(cent, a_report(refund_id=None, amount=2))) == {"2 of 1 taken back"}


def test_a_refund_before_any_money_is_known_contradicts_nothing_yet() -> None:
    early = after(a_payment(Status.EXPIRED), a_report(refund_id=None))
    assert early.attention == {Attention.REFUNDED_EXTERNALLY}


def test_a_refund_that_may_have_been_sent_keeps_its_amount() -> None:
    unknown = refunded(a_refund(asking=Asking.UNKNOWN))
    payment = after(unknown, a_report(reference="re_x", refund_id=None, amount=DUE))
    assert {refund.status for refund in payment.refunds} == {
        RefundStatus.CREATING,
        RefundStatus.SUCCEEDED,
    }
    assert Attention.CONFLICTING_EVIDENCE in payment.attention
    assert left(payment) == 0


def test_a_report_of_a_refund_may_overtake_the_report_of_the_money() -> None:
    early = after(a_payment(Status.PENDING), a_report(refund_id=None, amount=DUE))
    paid = after(early, a_snapshot(ProviderStatus.PAID))
    assert paid.attention == {Attention.REFUNDED_EXTERNALLY}
    assert (paid.status, paid.refunded) == (Status.COMPLETED, DUE)


def test_a_snapshot_reports_refunds_disputes_and_the_fee() -> None:
    snapshot = a_snapshot(
        ProviderStatus.PAID,
        refunds=(a_report(),),
        disputes=(a_dispute(DisputeStatus.INQUIRY),),
        fee=17,
    )
    payment = after(refunded(a_refund()), snapshot)
    assert (payment.refunded, payment.fee, len(payment.disputes)) == (100, 17, 1)
    assert after(payment, attrs.evolve(snapshot, fee=None)).fee == 17


def test_another_refund_made_at_the_provider_is_a_new_fact() -> None:
    one = after(PAID, a_report(reference="re_x", refund_id=None))
    everything = AttentionResolved(reasons=frozenset(Attention), by="operator:eve", note="n")
    resolved = after(one, everything)
    assert resolved.attention == frozenset()
    two = after(resolved, a_report(reference="re_y", refund_id=None))
    assert two.attention == {Attention.REFUNDED_EXTERNALLY}


def test_money_that_came_late_can_be_refunded() -> None:
    late = after(a_payment(Status.CANCELED), (a_receipt(amount=DUE),))
    assert Attention.PAID_AFTER_CLOSE in late.attention
    assert only(after(late, a_request(DUE))).amount == DUE
    assert Money(currency_code="USD", minor_units=left(late)).minor_units == DUE
