"""Every row of the model has a sentence: transitions, refunds, disputes, reasons, audit events."""

import ast
import inspect
import re
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.builders import (
    DUE,
    NOW,
    TERMS,
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
    reread,
)
from unit.domain.test_decide_properties import LIVES, live
from unit.domain.test_payment_model_page import refund_transitions, transitions
from unit.domain.test_refund_properties import ONE, TWO, reports

from payd.domain import decide as decisions
from payd.domain.actors import RECONCILIATION, RECOVERY, provider_actor
from payd.domain.attention import FACTS_MAX, Attention, AttentionRecord
from payd.domain.decide import EventType, decide
from payd.domain.dispute import DisputeStatus
from payd.domain.evidence import (
    AskAgain,
    AttentionResolved,
    CancelRequested,
    Conflict,
    CustomerForgotten,
    Declined,
    Evidence,
    NotAttempted,
    OutcomeUnknown,
    ProviderStatus,
    ReceiptState,
    RefundAnswered,
    RefundApproved,
    RefundRequested,
)
from payd.domain.explain import explain
from payd.domain.explain.attempts import attempts, status_checks
from payd.domain.explain.dispute_moves import DISPUTES
from payd.domain.explain.facts_changed import ASKING, RECEIPTS
from payd.domain.explain.money_back import taken_back
from payd.domain.explain.moves import MOVES, move_of
from payd.domain.explain.reason_advice import ADVICE
from payd.domain.explain.reasons import BEGINS, ENDS
from payd.domain.explain.refund_moves import (
    ASKING_OF_REFUND,
    EXTERNAL_MOVES,
    REFUND_MOVES,
    RefundMove,
    refund_change,
)
from payd.domain.explain.said import Move, Said
from payd.domain.explain.steps import EVENTS, learned, sentences, steps_of
from payd.domain.explain.words import fact, listing, minor_units, money, price_of, sentence, when
from payd.domain.explanation import Explanation, FieldChange
from payd.domain.history import Change, Circumstances, History, StoredEvent, StoredReport
from payd.domain.money import Money
from payd.domain.next_action import Redirect
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status
from payd.domain.published import NamedEvent
from payd.domain.refund import (
    Refund,
    RefundInstructions,
    RefundState,
    RefundStatus,
    RefundTerms,
)
from payd.domain.refunds import NOTHING_LEFT

SENTENCE = re.compile(r"[A-Za-z\d].*\.", re.DOTALL)
MINUTES = st.integers(0, 3000)


def a_change(payment: Payment, audit_event: str = "facts_changed", **overrides: Any) -> Change:
    """A change by the provider's report."""
    fields: dict[str, Any] = {
        "actor": provider_actor(payment.provider),
        "time": payment.update_time,
        "first_time": payment.update_time,
    }
    return Change(payment=payment, audit_event=audit_event, **(fields | overrides))


def a_move(before: Payment, payment: Payment, **overrides: Any) -> Move:
    return Move(before=before, change=a_change(payment, **overrides))


def history_of(start: Payment, steps: Sequence[tuple[Payment, decisions.Decision]]) -> History:
    """The history of a life that began with this payment."""
    changes = [a_change(start, "payment_creating", actor="main-app")]
    for before, decision in steps:
        news = tuple(one for one in decision.payment.receipts if one not in before.receipts)
        changes.append(
            a_change(decision.payment, decision.audit_event, note=decision.note, receipts=news)
        )
    return History(changes=tuple(changes))


# -- complete tables -----------------------------------------------------------------------------


def test_each_transition_of_the_model_has_a_sentence() -> None:
    known = {(before.value, after.value) for before, after in MOVES}
    assert known == transitions()


def test_each_transition_of_a_refund_has_a_sentence() -> None:
    known = {(before.value, after.value) for before, after in REFUND_MOVES if before is not None}
    assert known == refund_transitions()
    begun = {after for before, after in REFUND_MOVES if before is None}
    assert begun == {RefundStatus.CREATING, RefundStatus.AWAITING_APPROVAL}
    assert set(EXTERNAL_MOVES) == {RefundStatus(state.value) for state in RefundState}


def test_each_value_of_the_model_has_a_sentence() -> None:
    assert set(BEGINS) == set(ENDS) == set(ADVICE) == set(Attention)
    assert set(DISPUTES) == set(DisputeStatus)
    assert set(EVENTS) == set(EventType)
    assert set(ASKING) == set(ASKING_OF_REFUND) == set(Asking)
    assert set(RECEIPTS) == set(ReceiptState)


def audit_events() -> set[str]:
    """Every event_type that `decide` gives an audit row, read from its code."""
    found = {f"payment_{status.value.lower()}" for status in Status}
    found |= {f"refund_{status.value.lower()}" for status in RefundStatus}
    found.add(decisions.FORGOTTEN)
    for function in (decisions._audit_event, decisions._audit_event_of_refund):
        for node in ast.walk(ast.parse(inspect.getsource(function))):
            if isinstance(node, ast.Return):
                for part in ast.walk(node):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        found.add(part.value)
                    if isinstance(part, ast.Name) and part.id.isupper():
                        found.add(getattr(decisions, part.id))
    return {name for name in found if not name.endswith("_")} - {"payment_creating"}


def examples() -> Iterator[tuple[Payment, Evidence, float]]:
    """A decision for each event of the audit trail, among others."""
    pending, new = a_payment(Status.PENDING), a_payment()
    yield new, created(), 1
    yield new, OutcomeUnknown(), 1
    yield new, Declined(code="no", message="No."), 1
    yield a_payment(Status.CANCELING), a_snapshot(ProviderStatus.CANCELED), 1
    yield pending, CancelRequested(reason="why"), 1
    yield pending, a_snapshot(ProviderStatus.PROCESSING), 1
    yield a_payment(Status.PROCESSING), a_snapshot(ProviderStatus.OPEN), 1
    yield pending, a_snapshot(ProviderStatus.PAID), 1
    yield pending, a_snapshot(minutes=31), 31
    yield pending, a_snapshot(), 1
    yield pending, created(expire_time=at(9)), 1
    yield pending, Conflict(detail="c"), 1
    conflicting = after(pending, Conflict(detail="c"))
    resolved = AttentionResolved(
        reasons=frozenset(Attention), by="operator:eve", note="looked at it"
    )
    yield conflicting, resolved, 3
    yield a_payment(Status.COMPLETED), a_snapshot(received=DUE, confirmed=DUE, fee=20), 3
    yield a_payment(Status.COMPLETED), a_dispute(), 3
    yield refunded(), a_report(refund_id=None), 1
    for status in RefundStatus:
        for state in RefundState:
            yield refunded(a_refund(status)), a_report(state), 1
    answered = RefundAnswered(refund_id=UUID(int=9), answer=OutcomeUnknown())
    yield refunded(a_refund()), answered, 1
    yield refunded(a_refund(RefundStatus.CANCELED)), CustomerForgotten(note="request 7"), 3
    yield from _of_approval()


def _of_approval() -> Iterator[tuple[Payment, Evidence, float]]:
    waiting = a_refund(RefundStatus.AWAITING_APPROVAL)
    yield refunded(waiting), RefundApproved(refund_id=waiting.id, by="eve", note="good"), 1
    for terms in (RefundTerms(), RefundTerms(approval_from=1)):
        yield refunded(), RefundRequested(refund=a_refund(), terms=terms), 1
    instructions = RefundInstructions(next_action=Redirect(url="https://send.example"))
    yield refunded(a_refund()), RefundAnswered(refund_id=UUID(int=9), answer=instructions), 1


def test_each_event_of_the_audit_trail_has_a_sentence() -> None:
    seen = set()
    for payment, evidence, minutes in examples():
        decision = decide(reread(payment), evidence, at(minutes))
        if decision is None:
            continue
        seen.add(decision.audit_event)
        what = {"note": decision.note, "audit_event": decision.audit_event}
        said = list(sentences(a_move(payment, decision.payment, **what)))
        is_check = any("brought nothing new" in one.what for one in said)
        assert is_check is (decision.audit_event == "status_checked"), decision.audit_event
        assert all(SENTENCE.fullmatch(one.what) for one in said)
    assert seen == audit_events()


# -- any life ------------------------------------------------------------------------------------


def check(explanation: Explanation) -> None:
    """What holds for every explanation."""
    assert SENTENCE.fullmatch(explanation.summary)
    assert SENTENCE.fullmatch(explanation.waiting_for.what)
    for step in explanation.steps:
        assert SENTENCE.fullmatch(step.what), step
        assert not step.because or SENTENCE.fullmatch(step.because), step
        assert step.source
    for advice in explanation.advice:
        assert advice.text


@given(LIVES, st.booleans(), st.booleans())
def test_any_life_of_a_payment_is_explained(life: Any, can_close: bool, present: bool) -> None:
    start = a_payment()
    steps = live(life)
    end = max([start.update_time, *(d.payment.update_time for _, d in steps)])
    around = Circumstances(now=end, can_close=can_close, is_present=present)
    explanation = explain(history_of(start, steps), around)
    check(explanation)
    assert explanation.status is (steps[-1][1].payment if steps else start).status
    assert present or not explanation.advice


@given(st.lists(reports(), max_size=10))
def test_any_life_of_a_refund_is_explained(reported: Any) -> None:
    payment, steps = refunded(ONE, TWO), []
    start = payment
    for piece in reported:
        decision = decide(reread(payment), piece, at(5))
        if decision is not None:
            steps.append((payment, decision))
            payment = decision.payment
    check(explain(history_of(start, steps), Circumstances(now=at(6))))


# -- details -------------------------------------------------------------------------------------


def test_a_transition_that_a_newer_version_made_is_named() -> None:
    said = move_of(a_move(a_payment(Status.COMPLETED), a_payment(Status.PENDING)))
    assert said.what == "The status went from COMPLETED to PENDING."


@pytest.mark.parametrize(
    ("before", "text"),
    [(a_refund(RefundStatus.FAILED), "went from FAILED to CREATING"), (None, "was requested")],
)
def test_a_change_of_a_refund_that_a_newer_version_made_is_named(before: Any, text: str) -> None:
    move = RefundMove(payment=refunded(), before=before, after=a_refund(), note="")
    assert text in refund_change(move).what


def test_a_new_refund_in_a_status_that_no_refund_begins_with_is_named() -> None:
    pending = a_refund(RefundStatus.SUCCEEDED)
    move = RefundMove(payment=refunded(), before=None, after=pending, note="")
    assert refund_change(move).what.endswith("went from nothing to SUCCEEDED.")


@pytest.mark.parametrize(
    ("asking", "text"),
    [
        (Asking.ASKING, f"payd sends refund {UUID(int=9)} to mock."),
        (Asking.ANSWERED, f"mock has answered about refund {UUID(int=9)}."),
    ],
)
def test_what_is_known_of_the_request_of_a_refund_is_said(asking: Asking, text: str) -> None:
    before, now = a_refund(), a_refund(asking=asking, ask_deadline=None)
    move = RefundMove(payment=refunded(), before=before, after=now, note="")
    assert refund_change(move) == Said(text)


@pytest.mark.parametrize(
    ("before", "now", "note", "what", "because"),
    [
        (
            a_refund(RefundStatus.AWAITING_APPROVAL),
            a_refund(),
            "",
            "was approved; payd sends it.",
            "",
        ),
        (
            a_refund(RefundStatus.AWAITING_APPROVAL),
            a_refund(),
            "fine",
            'was approved ("fine"); payd sends it.',
            "",
        ),
        (
            a_refund(),
            a_refund(RefundStatus.SUCCEEDED, asking=Asking.UNKNOWN, provider_reference=None),
            "",
            "of 1.00 USD counts as paid back.",
            "An operator found out what became of it.",
        ),
        (
            a_refund(RefundStatus.PENDING),
            a_refund(RefundStatus.SUCCEEDED),
            "",
            "of 1.00 USD has gone back to the customer.",
            "mock reports re_1 as succeeded.",
        ),
        (
            a_refund(RefundStatus.CANCELED),
            a_refund(RefundStatus.SUCCEEDED),
            "",
            "of 1.00 USD has gone back to the customer.",
            "mock reports re_1 as succeeded, although an operator had withdrawn it.",
        ),
        (
            a_refund(),
            a_refund(RefundStatus.FAILED, failure=NOTHING_LEFT),
            "",
            "of 1.00 USD was stopped before it was sent: nothing is left.",
            f"The money is gone already: {taken_back(refunded())}.",
        ),
        (
            a_refund(RefundStatus.PENDING, provider_reference=None),
            a_refund(RefundStatus.PENDING),
            "",
            "is known at mock as re_1.",
            "",
        ),
        (
            a_refund(RefundStatus.PENDING),
            a_refund(RefundStatus.PENDING, reason="more detail"),
            "",
            "was reported again, with more detail.",
            "",
        ),
    ],
)
def test_a_change_of_a_refund_is_said(
    before: Refund, now: Refund, note: str, what: str, because: str
) -> None:
    move = RefundMove(payment=refunded(), before=before, after=now, note=note)
    assert refund_change(move) == Said(f"Refund {now.id} {what}", because)


def test_a_status_check_is_no_change_of_a_refund() -> None:
    before = a_refund(RefundStatus.PENDING)
    checked = attrs.evolve(before, checks=2, next_check_time=at(9), update_time=at(5))
    [said] = sentences(a_move(refunded(before), refunded(checked), actor=RECOVERY))
    assert said.what.startswith("The status check brought nothing new")


def test_a_failed_refund_without_a_reason_is_said() -> None:
    failed = a_refund(RefundStatus.FAILED, failure=None)
    move = RefundMove(payment=refunded(), before=a_refund(), after=failed, note="")
    assert refund_change(move) == Said(
        f"Refund {failed.id} of 1.00 USD failed. The money can be refunded again.",
        "No reason is known.",
    )


def test_a_failed_payment_without_a_reason_is_said() -> None:
    said = move_of(a_move(a_payment(Status.PENDING), a_payment(Status.FAILED)))
    assert said == type(said)("The payment failed.", "mock declined it.")


@pytest.mark.parametrize(
    ("actor", "because"),
    [
        (
            provider_actor("mock"),
            "A report named the reference before the answer to payd's request was known.",
        ),
        (RECOVERY, "A lookup at mock found it."),
        (RECONCILIATION, "It is in the list of mock's objects."),
        ("main-app", "mock answered payd's request."),
    ],
)
def test_where_the_reference_came_from_is_said(actor: str, because: str) -> None:
    move = a_move(a_payment(), a_payment(Status.PENDING), actor=actor)
    assert move_of(move).because == because


@pytest.mark.parametrize(
    ("fields", "because"),
    [
        ({"provider_status": ProviderStatus.EXPIRED}, "At mock it is EXPIRED"),
        ({"asking": Asking.NOT_ATTEMPTED, "provider_reference": None}, "never reached mock"),
        ({}, "cannot close a payment"),
        ({"provider_reference": None}, "declined the request"),
        ({"provider_reference": None, "asking": Asking.UNKNOWN}, "a lookup at mock found nothing"),
    ],
)
def test_why_a_payment_is_canceled_is_said(fields: Any, because: str) -> None:
    now = a_payment(Status.CANCELED, **fields)
    assert because in move_of(a_move(a_payment(Status.CANCELING), now)).because


@pytest.mark.parametrize(
    ("before", "fields", "because"),
    [
        (
            Status.CREATING,
            {"asking": Asking.NOT_ATTEMPTED, "provider_reference": None},
            "never reached mock",
        ),
        (Status.CREATING, {"provider_reference": None}, "a lookup at mock found nothing"),
        (Status.CREATING, {}, "mock has nothing that can be paid"),
        (Status.PENDING, {"snapshot_confirmed": DUE}, "too late to complete the payment"),
    ],
)
def test_why_a_payment_expired_is_said(before: Status, fields: Any, because: str) -> None:
    now = a_payment(Status.EXPIRED, **fields)
    said = move_of(a_move(a_payment(before), now))
    assert said.what == "The payment expired."
    assert because in said.because


@pytest.mark.parametrize(
    ("before", "now", "what", "because"),
    [
        (
            (100, 0),
            (200, 100),
            "1.00 USD was seen at mock and is not final yet; 1.00 of 5.00 USD is confirmed.",
            "Money counts as paid when it is final at mock.",
        ),
        (
            (0, 0),
            (1, 0),
            "0.01 USD was seen at mock and is not final yet.",
            "Money counts as paid when it is final at mock.",
        ),
        (
            (1, 0),
            (1, 1),
            "0.01 of 5.00 USD is confirmed; 4.99 USD is missing.",
            "Only a part of what is due has come.",
        ),
    ],
)
def test_money_that_leaves_a_payment_open_is_said(
    before: Any, now: Any, what: str, because: str
) -> None:
    old, new = (
        a_payment(Status.PROCESSING, snapshot_received=received, snapshot_confirmed=confirmed)
        for received, confirmed in (before, now)
    )
    assert [*sentences(a_move(old, new))] == [Said(what, because)]


def test_money_on_its_way_without_an_amount_does_not_count_yet() -> None:
    moving = a_payment(Status.PROCESSING, provider_status=ProviderStatus.PROCESSING)
    said = move_of(a_move(a_payment(Status.PENDING), moving))
    assert said.because == "Money counts as paid when it is final at mock."


def test_the_smallest_amount_after_the_end_is_said() -> None:
    before = a_payment(Status.EXPIRED)
    [said] = sentences(a_move(before, attrs.evolve(before, snapshot_received=1)))
    assert said.what == "0.01 USD is seen and not final, for a payment that is EXPIRED."


def test_a_fee_is_said_when_it_changes() -> None:
    before, now = (
        a_payment(Status.PROCESSING, fee=20, snapshot_received=received) for received in (1, 2)
    )
    assert len([*sentences(a_move(before, now))]) == 1


def test_a_receipt_without_a_sender_is_said() -> None:
    before = a_payment(Status.PENDING)
    now = after(before, (a_receipt(),))
    said = [*sentences(a_move(before, now, receipts=now.receipts))]
    assert said[0].what == (
        "Receipt r1 of 5.00 USD is final; the money moved at 2026-01-01 12:01:00 UTC."
    )


def test_attempts_and_status_checks_are_counted() -> None:
    once = a_payment(asking=Asking.ASKING, ask_deadline=at(1))
    again = attrs.evolve(once, ask_deadline=at(3))
    assert attempts(History(changes=(a_change(once),))) == "1 attempt"
    newest = History(changes=(a_change(once), a_change(again)), left_out=7)
    assert attempts(newest) == "at least 2 attempts"
    assert (status_checks(1), status_checks(2)) == ("1 status check", "2 status checks")


def test_that_the_customer_was_forgotten_is_said() -> None:
    [said] = sentences(a_move(refunded(), refunded(), audit_event=decisions.FORGOTTEN))
    assert said == Said(
        "The personal data of the customer was erased.",
        "An operator has forgotten the customer; amounts, items and references stay.",
    )


def test_events_that_were_published_again_are_named() -> None:
    again = tuple(NamedEvent(subject="payment.refunded", id=UUID(int=n)) for n in (5, 6))
    change = {"republished": again, "actor": "operator:ada"}
    [said] = sentences(a_move(refunded(), refunded(), **change))
    assert said == Said(
        f"At the request of operator:ada payd published again: payment.refunded ({again[0].id})"
        f" and payment.refunded ({again[1].id}).",
        "They keep their ids, so a consumer that has handled them skips them. The payment itself"
        " did not change.",
    )


@pytest.mark.parametrize(
    ("before", "fields", "head"),
    [
        (Status.PENDING, {}, "At the request of operator:ada payd asked mock. The status check"),
        (Status.PENDING, {"note": "why"}, "The status check"),
        (Status.PENDING, {"audit_event": "attention_resolved"}, "The status check"),
        (Status.CANCELING, {}, "The status check"),
    ],
)
def test_what_a_person_asked_for_is_said_where_the_provider_answered(
    before: Status, fields: Any, head: str
) -> None:
    change = a_change(a_payment(before), **({"actor": "operator:ada"} | fields))
    step = steps_of(History(changes=(a_change(a_payment(before)), change)))[-1]
    assert step.what.startswith(head)


def test_a_new_value_was_nothing_before() -> None:
    history = History(changes=(a_change(a_payment()), a_change(refunded(a_refund()))))
    first, second = steps_of(history)
    assert first.changes[0] == FieldChange("status", "", "CREATING")
    assert [change.before for change in first.changes] == ["", "", ""]
    assert FieldChange(f"refund {UUID(int=9)}", "", "CREATING 1.00 USD") in second.changes


def test_money_on_its_way_that_vanishes_is_said_without_an_amount() -> None:
    before = a_payment(Status.PROCESSING, provider_status=ProviderStatus.PROCESSING)
    said = move_of(a_move(before, a_payment(Status.PENDING)))
    assert said.what.startswith("The money on its way is gone again")


def test_a_payment_that_completes_late_from_an_open_status_is_said_to_be_late() -> None:
    late = (a_receipt(time=at(40)),)
    payment = after(a_payment(Status.PENDING), late, minutes=45)
    assert "after 2026-01-01 12:30:00 UTC, within the late window" in (
        move_of(a_move(a_payment(Status.PENDING), payment)).what
    )


def test_only_a_dispute_that_has_changed_is_said() -> None:
    first, second = a_dispute(), a_dispute(id="dp_2")
    before = refunded(disputes=(first,))
    [said] = sentences(a_move(before, refunded(disputes=(first, second))))
    assert said.what == "Dispute dp_2 of 5.00 USD is open and has to be answered at the provider."


def test_a_reference_that_becomes_known_while_canceling_is_said() -> None:
    before = a_payment(Status.CANCELING, provider_reference=None, asking=Asking.UNKNOWN)
    decision = decide(before, created(), at(1))
    assert decision is not None
    [said] = sentences(a_move(before, decision.payment))
    assert said.what == "mock has the payment as ref."


def test_a_reference_that_changes_alone_is_said() -> None:
    before = a_payment(Status.CANCELING, provider_reference=None)
    [said] = sentences(a_move(before, a_payment(Status.CANCELING)))
    assert said.what == "mock has the payment as ref."


def test_a_claim_to_send_and_a_decline_are_said() -> None:
    new = a_payment(asking=Asking.NOT_ATTEMPTED)
    claim = decide(new, AskAgain(deadline=at(5)), at(1))
    assert claim is not None
    [said] = sentences(a_move(new, claim.payment))
    assert said.what == "payd sends the request to mock."
    declined = decide(a_payment(), Declined(code="no", message="No."), at(1))
    assert declined is not None
    [failed] = sentences(a_move(a_payment(), declined.payment))
    assert failed.what == "The payment failed (no)."


def test_many_receipts_are_counted() -> None:
    many = tuple(a_receipt(f"r{number}", 1) for number in range(8))
    payment = after(a_payment(Status.PENDING), many)
    said = [
        one.what for one in sentences(a_move(a_payment(Status.PENDING), payment, receipts=many))
    ]
    assert said[5] == "So did 3 more receipts."


def test_many_facts_are_counted() -> None:
    payment = a_payment(Status.PENDING)
    for number in range(FACTS_MAX + 2):
        payment = after(payment, Conflict(detail=f"fact {number:03}"))
    explanation = explain(History(changes=(a_change(payment),)), Circumstances(now=at(3)))
    [advice] = [one for one in explanation.advice if one.text.startswith("CONFLICTING")]
    assert "fact 004 and 96 more" in advice.text


def test_a_reason_without_facts_says_that_an_older_version_stored_it() -> None:
    old = AttentionRecord(reason=Attention.CONFLICTING_EVIDENCE, since=NOW, published=True)
    payment = a_payment(Status.COMPLETED, attention_records=(old,))
    explanation = explain(History(changes=(a_change(payment),)), Circumstances(now=at(3)))
    assert "agree: an older version of payd did not store why." in explanation.waiting_for.what


def test_a_new_fact_behind_an_open_reason_is_said() -> None:
    before = after(a_payment(Status.PENDING), Conflict(detail="one"))
    now = after(before, Conflict(detail="two"))
    [said] = sentences(a_move(before, now))
    assert said.what.endswith(" two.")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("250 of 500 confirmed", "2.50 USD is confirmed and 5.00 USD is due"),
        ("600 of 500 taken back", "6.00 USD was taken back of 5.00 USD that was paid"),
        ("700 of 500 sent for refund X", "7.00 USD was sent for refund X of 5.00 USD"),
        ("500 received", "5.00 USD was received"),
        ("100 refunded", "1.00 USD was refunded"),
        ("paid with 100", "ref counts as paid with 1.00 USD"),
        ("asks for 700 JPY", "ref asks for 700 JPY"),
        ("asks for 700 0xabc", "ref asks for 700 base units of 0xabc"),
        ("asks for EUR", "ref asks for EUR"),
        ("paid 2 times", "it was paid 2 times"),
        (
            "refund re_1 of 100 and of 200",
            "refund re_1 is reported of 1.00 USD and of 2.00 USD; the larger amount counts",
        ),
        (
            "refund re_1 of 100 for refund X",
            "re_1 of 1.00 USD is reported for refund X, which does not fit",
        ),
        ("refund re_9", "refund re_9"),
        ("object cs_2", "a second object cs_2 exists at the provider"),
        ("object cs\n2", "a second object cs\n2 exists at the provider"),
        ("create", "the request to create it was never answered"),
        ("reported", "the provider reported it"),
        ("anything else", "anything else"),
    ],
)
def test_a_fact_is_written_in_currency_units(text: str, written: str) -> None:
    assert fact(a_payment(Status.PENDING), text) == written


def test_amounts_of_tokens_are_written_in_tokens() -> None:
    payment = a_payment(crypto=TERMS)
    assert fact(payment, "1500000 received") == "1.500000 USDC was received"
    explanation = explain(History(changes=(a_change(payment),)), Circumstances(now=NOW))
    assert "5.000000 USDC by card for 5.00 USD" in explanation.steps[0].what


def test_a_price_is_written_with_the_decimals_of_its_currency() -> None:
    yen = a_payment(amount=Money(currency_code="JPY", minor_units=5), crypto=TERMS)
    assert price_of(yen) == "5 JPY"
    assert minor_units(yen, yen.due) == "5"
    assert money(attrs.evolve(yen, crypto=None), 500) == "500 JPY"


def test_a_time_is_written_in_utc_wherever_payd_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert when(NOW) == "2026-01-01 12:00:00 UTC"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_words_are_listed() -> None:
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert sentence(" It is more than the MAX. ") == "It is more than the MAX"


def test_a_step_names_its_source() -> None:
    before = a_payment()
    reports = {
        number: StoredReport(id=number, event_id=f"evt_{number}", receive_time=NOW)
        for number in range(1, 5)
    }

    def source(**fields: Any) -> str:
        change = a_change(a_payment(Status.PENDING), **fields)
        history = History(changes=(a_change(before), change), reports=reports)
        return steps_of(history)[-1].source

    received = "(received 2026-01-01 12:00:00 UTC)"
    assert source(report_ids=(1,)) == f"report evt_1 {received} of mock"
    assert source(report_ids=(7,)) == "report inbox row 7 of mock"
    assert source(report_ids=(1, 7)) == f"reports evt_1 {received} and inbox row 7 of mock"
    assert source(report_ids=(1, 2, 7)) == (
        f"reports evt_1 {received}, evt_2 {received} and inbox row 7 of mock"
    )
    assert source(report_ids=(1, 2, 3, 4)) == (
        f"reports evt_1 {received}, evt_2 {received}, evt_3 {received} and 1 more of mock"
    )
    assert source() == "report of mock"
    assert source(actor=RECOVERY) == "status check at mock"
    assert source(actor=RECONCILIATION) == "comparison with the list of mock"
    assert source(actor="payd") == "payd"
    assert source(actor="main-app") == "call of main-app"
    assert source(actor="operator:ada") == "command of operator:ada"
    assert source(actor="ada", certificate="app", request_id="r") == (
        "call of ada with the certificate app, request r"
    )
    assert source(actor="app", certificate="app") == "call of app, request without an id"


def test_the_note_of_a_person_is_shown_once() -> None:
    change = a_change(a_payment(Status.PENDING), note="by hand", actor="operator:ada")
    history = History(changes=(a_change(a_payment()), change))
    assert steps_of(history)[-1].what.endswith(' Note: "by hand".')


def test_an_event_of_a_newer_version_is_named() -> None:
    assert learned("payment.exploded") == "the main app learns of it"


def test_steps_that_repeat_in_pairs_are_counted() -> None:
    payment = a_payment(asking=Asking.NOT_ATTEMPTED)
    changes = [a_change(payment)]
    for number in range(1, 6):
        for evidence, late in ((AskAgain(deadline=at(number + 0.1)), 0), (NotAttempted(), 0.5)):
            decision = decide(payment, evidence, at(number + late))
            assert decision is not None
            payment = decision.payment
            changes.append(a_change(payment, actor=RECOVERY))
    _, sent, failed = steps_of(History(changes=tuple(changes)))
    assert sent.what == "payd sends the request to mock."
    not_sent = "The request did not reach mock: payd may send it again."
    assert failed.what == (
        f"{not_sent} These two steps happened 4 times more, last at 2026-01-01 12:05:30 UTC."
    )
    *_, third, last = steps_of(History(changes=tuple(changes[:5])))
    assert third.what == sent.what
    assert last.what == (
        f"{not_sent} These two steps happened once more, last at 2026-01-01 12:02:30 UTC."
    )


def test_changes_keep_their_order_whatever_the_clocks_say() -> None:
    payment = a_payment(Status.PENDING)
    behind = a_change(payment, time=at(3), first_time=at(3))
    changes = (a_change(a_payment(), time=at(5)), behind, a_change(payment, time=at(9)))
    events = tuple(
        StoredEvent(
            event_id=UUID(int=number),
            subject="payment.completed",
            create_time=at(1),
            publish_time=at(minutes),
        )
        for number, minutes in enumerate((10, 4, 5))
    )
    waits = StoredEvent(event_id=UUID(int=9), subject="payment.failed", create_time=at(1))
    steps = steps_of(History(changes=changes, events=(*events, waits)))
    assert [step.time for step in steps] == [at(m) for m in (5, 3, 4, 5, 9, 10)]


@pytest.mark.parametrize("count", [2, 3])
def test_a_run_of_status_checks_is_one_step(count: int) -> None:
    payment = a_payment(Status.PENDING)
    checks = a_change(
        attrs.evolve(payment, provider_status=None),
        "status_checked",
        actor=RECOVERY,
        count=count,
        first_time=NOW - timedelta(minutes=9),
    )
    *_, step = steps_of(History(changes=(a_change(payment), checks)))
    assert step.what == (
        f"{count} status checks since 2026-01-01 11:51:00 UTC brought nothing new: at mock it is"
        " unchanged."
    )
