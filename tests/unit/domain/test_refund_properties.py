"""Invariants of refunds, for any reports in any order, as often as they come."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.builders import (
    DUE,
    NOW,
    a_dispute,
    a_payment,
    a_refund,
    a_report,
    a_snapshot,
    at,
    refunded,
    reread,
)

from payd.domain.attention import Attention
from payd.domain.decide import Decision, EventType, decide
from payd.domain.dispute import DisputeStatus
from payd.domain.errors import PaydError
from payd.domain.evidence import (
    Absent,
    AskAgain,
    Declined,
    Evidence,
    NotAttempted,
    OutcomeUnknown,
    ProviderStatus,
    RefundAnswered,
    RefundApproved,
    RefundCanceled,
    RefundRequested,
    RefundSettled,
    Unanswered,
)
from payd.domain.next_action import Redirect
from payd.domain.payment import Payment, Status
from payd.domain.refund import (
    Refund,
    RefundInstructions,
    RefundSnapshot,
    RefundState,
    RefundStatus,
    RefundTerms,
)
from payd.domain.refunds import left

ONE, TWO = a_refund(id=UUID(int=11)), a_refund(id=UUID(int=12), create_time=at(0.5))
STATES = st.sampled_from(RefundState)
ENDS = (EventType.REFUNDED, EventType.REFUND_FAILED)


@st.composite
def reports(draw: st.DrawFn) -> Evidence:
    """One refund, as a webhook, an answer, or a listing of the whole object contains it."""
    number = draw(st.sampled_from([1, 2, 3]))
    named = {1: ONE.id, 2: TWO.id, 3: None}[number]
    code = draw(st.sampled_from([None, "lost_card", "expired_card"]))
    report = a_report(draw(STATES), f"re_{number}", refund_id=named, failure_code=code)
    match draw(st.sampled_from(["webhook", "answer", "listing"])):
        case "answer" if named is not None:
            return RefundAnswered(refund_id=named, answer=attrs.evolve(report, refund_id=None))
        case "listing":
            other = a_report(draw(STATES), "re_3", refund_id=None)
            return a_snapshot(ProviderStatus.PAID, refunds=(report, other))
        case _:
            return report


def story(payment: Payment, pieces: Sequence[Evidence]) -> tuple[Payment, list[Decision]]:
    decisions = []
    for piece in pieces:
        decision = decide(reread(payment), piece, at(5))
        if decision is not None:
            payment = decision.payment
            decisions.append(decision)
    return payment, decisions


def events(decisions: Sequence[Decision]) -> Counter[tuple[EventType, UUID | None]]:
    all_events = (event for decision in decisions for event in decision.events)
    return Counter((event.type, event.refund_id) for event in all_events if event.type in ENDS)


def ending(payment: Payment) -> Any:
    """What must not depend on the order of reports."""
    return (
        [attrs.evolve(r, checks=0, update_time=NOW, next_check_time=None) for r in payment.refunds],
        payment.refunded,
        {(r.reason, r.is_open, r.facts) for r in payment.attention_records if r.is_open},
    )


@given(st.lists(reports(), max_size=8), st.randoms(use_true_random=False))
def test_every_order_and_repetition_of_the_reports_ends_alike(reported: Any, random: Any) -> None:
    start = refunded(ONE, TWO)
    payment, decisions = story(start, reported)
    shuffled = [*reported, *random.sample(reported, len(reported) // 2)]
    random.shuffle(shuffled)
    other, other_decisions = story(start, shuffled)
    assert ending(payment) == ending(other)
    for count in (events(decisions), events(other_decisions)):
        for refund in payment.refunds:
            has_failed = refund.status in (RefundStatus.FAILED, RefundStatus.CANCELED)
            assert count[EventType.REFUND_FAILED, refund.id] == has_failed
            assert count[EventType.REFUNDED, refund.id] <= 1
            if refund.status is RefundStatus.SUCCEEDED:
                assert count[EventType.REFUNDED, refund.id] == 1


@given(st.lists(reports(), max_size=10))
def test_no_refunded_after_refund_failed(reported: Any) -> None:
    _, decisions = story(refunded(ONE, TWO), reported)
    failed = set[UUID | None]()
    for decision in decisions:
        for event in decision.events:
            assert event.type is not EventType.REFUNDED or event.refund_id not in failed
            if event.type is EventType.REFUND_FAILED:
                failed.add(event.refund_id)


@given(st.lists(reports(), max_size=10))
def test_i19_what_the_provider_refunded_is_what_payd_counts(reported: Any) -> None:
    """The provider's truth is the last state, in the order in which states follow each other."""
    states: dict[str, set[RefundState]] = {}
    for piece in reported:
        for report in reports_in(piece):
            states.setdefault(report.reference, set()).add(report.state)
    came_back = {RefundState.FAILED, RefundState.CANCELED}
    gone = sum(RefundState.SUCCEEDED in said and not said & came_back for said in states.values())
    payment, _ = story(refunded(ONE, TWO), reported)
    assert payment.refunded == 100 * gone


def reports_in(piece: Evidence) -> Sequence[RefundSnapshot]:
    match piece:
        case RefundSnapshot():
            return (piece,)
        case RefundAnswered(refund_id=refund_id, answer=RefundSnapshot() as report):
            return (attrs.evolve(report, refund_id=refund_id),)
        case _:
            return piece.refunds  # type: ignore[union-attr]


# -- what is granted -----------------------------------------------------------------------------

IDS = st.sampled_from([UUID(int=number) for number in range(21, 25)])
ANSWERS = st.sampled_from(
    [
        Declined(code="no", message="no"),
        NotAttempted(),
        OutcomeUnknown(),
        Absent(),
        AskAgain(deadline=at(9)),
        Unanswered(),
        RefundInstructions(next_action=Redirect(url="https://send.example")),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> RefundRequested:
    amount = draw(st.sampled_from([1, 100, DUE - 100, DUE, DUE + 1]))
    return RefundRequested(
        refund=a_refund(id=draw(IDS), amount=amount),
        terms=RefundTerms(approval_from=draw(st.sampled_from([None, 100]))),
        is_all_left=draw(st.booleans()),
    )


@st.composite
def money_back(draw: st.DrawFn) -> Evidence:
    """A report of a refund that payd granted, or of one that was made at the provider."""
    number = draw(st.integers(21, 25))
    return a_report(
        draw(STATES),
        f"re_{number}",
        refund_id=UUID(int=number),
        amount=draw(st.sampled_from([1, 100, DUE])),
    )


@st.composite
def disputes(draw: st.DrawFn) -> Evidence:
    return a_dispute(
        draw(st.sampled_from(DisputeStatus)),
        minutes=draw(st.integers(0, 3)),
        id=draw(st.sampled_from(["dp_1", "dp_2"])),
        amount=draw(st.sampled_from([1, DUE])),
    )


ANYTHING = st.one_of(
    requests(),
    money_back(),
    disputes(),
    st.builds(RefundApproved, refund_id=IDS, by=st.just("eve"), note=st.just("n")),
    st.builds(RefundCanceled, refund_id=IDS, note=st.just("n")),
    st.builds(
        RefundSettled,
        refund_id=IDS,
        has_succeeded=st.booleans(),
        reference=st.sampled_from(["", "re_21", "re_25"]),
        not_before=st.just(NOW),
        note=st.just("n"),
    ),
    st.builds(RefundAnswered, refund_id=IDS, answer=ANSWERS),
)
STARTS = st.sampled_from(
    [
        a_payment(Status.COMPLETED),
        a_payment(Status.EXPIRED, snapshot_confirmed=300),
        a_payment(Status.EXPIRED),
        a_payment(Status.PENDING),
    ]
)


def life(start: Payment, pieces: Sequence[Evidence]) -> list[tuple[Payment, Evidence, Decision]]:
    payment, steps = start, []
    for minute, piece in enumerate(pieces, start=2):
        try:
            decision = decide(reread(payment), piece, at(minute))
        except PaydError:
            continue
        if decision is not None:
            steps.append((payment, piece, decision))
            payment = decision.payment
    return steps


@given(STARTS, st.lists(ANYTHING, max_size=20))
def test_i17_no_refund_is_granted_beyond_what_was_left(start: Payment, pieces: Any) -> None:
    for before, piece, decision in life(start, pieces):
        if isinstance(piece, RefundRequested):
            [granted] = set(decision.payment.refunds) - set(before.refunds)
            assert 0 < granted.amount <= left(before)
            assert left(decision.payment) == left(before) - granted.amount


@given(STARTS, st.lists(ANYTHING, max_size=20))
def test_i5_the_same_evidence_twice_says_nothing_new(start: Payment, pieces: Any) -> None:
    for minute, (_, piece, decision) in enumerate(life(start, pieces)):
        again = at(minute) if minute > 60 else decision.payment.update_time
        assert decide(decision.payment, piece, again) is None


@given(STARTS, st.lists(ANYTHING, max_size=20))
def test_i6_no_refund_is_forgotten_and_a_payment_stays_what_it_is(
    start: Payment, pieces: Any
) -> None:
    for before, _, decision in life(start, pieces):
        after = decision.payment
        assert after.status is before.status
        assert {refund.id for refund in before.refunds} <= {refund.id for refund in after.refunds}
        known = {dispute.id for dispute in before.disputes}
        assert known <= {dispute.id for dispute in after.disputes}
        assert [*after.refunds] == sorted(after.refunds, key=lambda r: (r.create_time, str(r.id)))


@given(st.lists(st.sampled_from([OutcomeUnknown(), Unanswered(), AskAgain(deadline=at(9))])))
def test_i7_an_unknown_outcome_never_fails_by_age(answers: Any) -> None:
    payment = refunded(a_refund())
    for hours, answer in enumerate(answers):
        evidence = RefundAnswered(refund_id=a_refund().id, answer=answer)
        decision = decide(payment, evidence, NOW + timedelta(hours=hours))
        payment = decision.payment if decision else payment
    assert [refund.status for refund in payment.refunds] == [RefundStatus.CREATING]


@given(STARTS, st.lists(ANYTHING, max_size=20))
def test_i8_each_end_of_a_refund_or_dispute_is_published_exactly_once(
    start: Payment, pieces: Any
) -> None:
    steps = life(start, pieces)
    payment = steps[-1][2].payment if steps else start
    published = Counter(
        (event.type, event.refund_id or event.dispute_id)
        for _, _, decision in steps
        for event in decision.events
    )
    for refund in payment.refunds:
        is_failed = refund.has_failed
        assert published[EventType.REFUND_FAILED, refund.id] == is_failed
        assert published[EventType.REFUNDED, refund.id] <= 1
    for dispute in payment.disputes:
        is_real = not dispute.status.is_inquiry
        assert published[EventType.DISPUTED, dispute.id] == is_real
        is_over = is_real and not dispute.status.is_open
        assert published[EventType.DISPUTE_CLOSED, dispute.id] == is_over


@given(STARTS, st.lists(ANYTHING, max_size=20))
def test_each_change_of_a_refund_names_it_in_the_audit_trail_and_plans_its_next_check(
    start: Payment, pieces: Any
) -> None:
    for before, _, decision in life(start, pieces):
        known = {refund.id: refund for refund in before.refunds}
        changed = [r for r in decision.payment.refunds if r != known.get(r.id)]
        assert not changed or decision.audit_event.startswith("refund_")
        for refund in changed:
            waits = refund.status in (RefundStatus.CREATING, RefundStatus.PENDING)
            assert (refund.next_check_time is not None) == waits
            assert refund.update_time == decision.payment.update_time


@given(STARTS, st.lists(ANYTHING, max_size=20))
def test_more_taken_back_than_paid_is_a_contradiction_for_a_person(
    start: Payment, pieces: Any
) -> None:
    for _, _, decision in life(start, pieces):
        payment = decision.payment
        taken = sum(refund.amount for refund in payment.refunds if refund.status.is_live)
        if not payment.status.is_open and 0 < payment.confirmed < taken:
            known = {record.reason for record in payment.attention_records}
            assert Attention.CONFLICTING_EVIDENCE in known
            assert not any(map(_was_not_sent, payment.refunds))


def _was_not_sent(refund: Refund) -> bool:
    return refund.status is RefundStatus.AWAITING_APPROVAL
