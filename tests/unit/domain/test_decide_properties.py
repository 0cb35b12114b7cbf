"""Invariants of decisions, for any evidence in any order at any time."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import attrs
from hypothesis import example, given
from hypothesis import strategies as st
from unit.domain.builders import (
    DUE,
    EXPIRY,
    NOW,
    a_dispute,
    a_payment,
    a_receipt,
    a_report,
    a_snapshot,
    at,
    created,
    facts,
    reread,
)

from payd.domain.actors import PAYD
from payd.domain.attention import MORE, PUBLISH_AFTER, WAITING, Attention, AttentionRecord
from payd.domain.decide import Decision, EventType, decide
from payd.domain.dispute import DisputeStatus
from payd.domain.evidence import (
    Absent,
    AskAgain,
    AttentionResolved,
    CancelRequested,
    Conflict,
    Created,
    Declined,
    Evidence,
    NotAttempted,
    NotClosable,
    OutcomeUnknown,
    ProviderStatus,
    ReceiptState,
    Unanswered,
)
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundState

MINUTES = st.integers(0, 3000)
#: After all of them.
END = 5000
AMOUNTS = st.sampled_from([0, 1, DUE - 1, DUE, DUE + 1, 2 * DUE])
LIFECYCLE = {
    Status.COMPLETED: EventType.COMPLETED,
    Status.FAILED: EventType.FAILED,
    Status.CANCELED: EventType.CANCELED,
    Status.EXPIRED: EventType.CANCELED,
}
PART_PAID = a_snapshot(ProviderStatus.CANCELED, received=1, confirmed=1)
SEEN_BY_A_PERSON = AttentionResolved(reasons=frozenset(Attention), by="operator:eve", note="n")


@st.composite
def snapshots(draw: st.DrawFn) -> Any:
    received = draw(AMOUNTS)
    return a_snapshot(
        draw(st.sampled_from(ProviderStatus)),
        minutes=draw(MINUTES),
        received=received,
        confirmed=min(received, draw(AMOUNTS)),
        asset=draw(st.sampled_from(["USD", "USD", "EUR"])),
    )


@st.composite
def receipts(draw: st.DrawFn) -> Any:
    """A receipt's amount follows from its id: the same arrival is never two sums."""
    name = draw(st.sampled_from("abc"))
    return a_receipt(
        name,
        {"a": 1, "b": DUE - 1, "c": DUE}[name],
        state=draw(st.sampled_from(ReceiptState)),
        time=at(1),
    )


REPORTS = st.one_of(snapshots(), st.lists(receipts(), min_size=1, max_size=3).map(tuple))
ANY = st.one_of(
    REPORTS,
    snapshots().map(lambda look: NotClosable(snapshot=look)),
    st.sampled_from(
        [
            created(),
            created("other"),
            created(expire_time=at(0.5)),
            created(expire_time=at(20)),
            created(expire_time=at(-60)),
            created(expire_time=at(40)),
            created("other", expire_time=at(10)),
            Declined(code="c", message="m"),
            NotAttempted(),
            OutcomeUnknown(),
            Absent(),
            Absent(proven=False),
            AskAgain(deadline=at(9)),
            CancelRequested(),
            Unanswered(),
            Conflict(),
            Conflict(detail="another"),
            a_report(refund_id=None),
            a_report(RefundState.FAILED, refund_id=None),
            a_dispute(),
            a_dispute(DisputeStatus.LOST),
            SEEN_BY_A_PERSON,
        ]
    ),
)
LIVES = st.lists(st.tuples(ANY, MINUTES), max_size=25)


def live(evidence: Sequence[tuple[Evidence, int]]) -> list[tuple[Payment, Decision]]:
    """Each step of a payment's life: what it was, and what was decided."""
    payment, steps = a_payment(), []
    for piece, minutes in evidence:
        decision = decide(reread(payment), piece, at(minutes))
        if decision is not None:
            steps.append((payment, decision))
            payment = decision.payment
    return steps


def believed(payment: Payment, evidence: Sequence[Evidence]) -> Payment:
    for piece in evidence:
        decision = decide(reread(payment), piece, at(5))
        payment = decision.payment if decision else payment
    return payment


@given(LIVES)
@example([(created(), 0), (PART_PAID, 0), (SEEN_BY_A_PERSON, 0)])
def test_i1_final_money_ends_in_completed_or_in_attention(life: Any) -> None:
    """Only a person ends the attention: payd itself never does."""
    for _, decision in live(life):
        payment = decision.payment
        if payment.confirmed > 0 and payment.close_time and payment.status is not Status.COMPLETED:
            reasons = {
                record.reason
                for record in payment.attention_records
                if record.is_open or record.resolved_by != PAYD
            }
            assert Attention.PAID_AFTER_CLOSE in reasons or Attention.UNDERPAID in reasons
            assert Attention.PAID_AFTER_CLOSE in reasons or payment.confirmed < payment.due


@given(LIVES)
def test_i3_a_payment_is_completed_failed_and_canceled_at_most_once(life: Any) -> None:
    types = [event.type for _, decision in live(life) for event in decision.events]
    for kind in (EventType.COMPLETED, EventType.FAILED, EventType.CANCELED):
        assert types.count(kind) <= 1


@given(LIVES)
def test_i4_completed_means_that_the_due_sum_is_confirmed(life: Any) -> None:
    for _, decision in live(life):
        if decision.payment.status is Status.COMPLETED:
            assert decision.payment.confirmed >= decision.payment.due


@given(st.lists(REPORTS, max_size=8), st.randoms(use_true_random=False))
def test_i5_the_order_and_repetition_of_reports_do_not_matter(reports: Any, random: Any) -> None:
    shuffled = [*reports, *random.sample(reports, len(reports) // 2)]
    random.shuffle(shuffled)
    start = a_payment(Status.PENDING)
    assert facts(believed(start, reports)) == facts(believed(start, shuffled))


@given(LIVES, ANY, MINUTES)
def test_i5_the_same_evidence_twice_says_nothing_new(life: Any, last: Any, minutes: int) -> None:
    steps = live(life)
    payment = steps[-1][1].payment if steps else a_payment()
    decision = decide(payment, last, at(minutes))
    if decision is not None:
        assert decide(decision.payment, last, at(minutes)) is None


@given(LIVES)
def test_i6_confirmed_money_never_shrinks(life: Any) -> None:
    for before, decision in live(life):
        after = decision.payment
        assert after.confirmed >= before.confirmed
        confirmed = {r for r in before.receipts if r.state is ReceiptState.CONFIRMED}
        assert confirmed <= set(after.receipts)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([OutcomeUnknown(), Unanswered(), AskAgain(deadline=at(9))]), MINUTES
        )
    )
)
def test_i7_not_knowing_never_becomes_failed_by_time(life: Any) -> None:
    assert all(decision.payment.status is Status.CREATING for _, decision in live(life))


@given(LIVES)
def test_i8_each_change_of_status_is_reported_exactly_once(life: Any) -> None:
    for before, decision in live(life):
        after = decision.payment
        assert after.version == before.version + 1
        changed = after.status is not before.status
        assert decision.audit_event.startswith("payment_") == changed
        lifecycle = [event for event in decision.events if event.type in LIFECYCLE.values()]
        expected = [LIFECYCLE[after.status]] if changed and after.status in LIFECYCLE else []
        assert [event.type for event in lifecycle] == expected
        assert all(event.previous_status is before.status for event in decision.events)


@given(LIVES)
def test_i8_each_fact_behind_a_reason_is_published_exactly_once(life: Any) -> None:
    published: dict[Attention, set[str]] = defaultdict(set)
    for _, decision in live(life):
        reports = [e.reason.split(",") for e in decision.events if e.type is EventType.ATTENTION]
        reasons = {Attention(reason) for reason in (reports[0] if reports else [])}
        for record in decision.payment.attention_records:
            new = record.facts - published[record.reason]
            if record.reason in reasons:
                assert record.is_open
                assert record.published
                assert new or _has_come_back(record)
                published[record.reason] |= record.facts
            elif record.reason not in WAITING:
                assert not new or not record.is_open


def _has_come_back(record: AttentionRecord) -> bool:
    """Whether it may be published for facts that are known: it waited, or it had ended."""
    return record.reason in WAITING or record.reason is Attention.UNDERPAID


@given(LIVES)
def test_what_waiting_may_end_is_published_when_it_is_an_hour_old(life: Any) -> None:
    for _, decision in live(life):
        now = decision.payment.update_time
        for record in decision.payment.attention_records:
            if record.reason in WAITING and record.is_open and now >= record.since:
                assert record.published or now < record.since + PUBLISH_AFTER


@given(LIVES)
def test_a_reason_has_one_record_and_the_oldest_comes_first(life: Any) -> None:
    for _, decision in live(life):
        records = decision.payment.attention_records
        assert len({record.reason for record in records}) == len(records)
        assert [r.since for r in records] == sorted(r.since for r in records)
        assert not any(MORE in record.facts for record in records)


@given(LIVES)
def test_i12_what_was_asked_for_never_changes(life: Any) -> None:
    asked_for = ("id", "idempotency_key", "request_hash", "customer", "amount", "crypto", "items")
    for before, decision in live(life):
        assert all(getattr(before, name) == getattr(decision.payment, name) for name in asked_for)
        assert decision.payment.create_time == before.create_time
        assert decision.payment.create_time <= decision.payment.expire_time <= before.expire_time


EXPIRIES = st.sampled_from([None, at(-60), at(0.5), at(1), at(20), at(40)])
CREATED = EXPIRIES.map(lambda time: created(expire_time=time))


@given(st.lists(st.one_of(REPORTS, CREATED), max_size=8), st.randoms(use_true_random=False))
def test_i5_the_expiry_of_the_remote_side_is_the_same_in_every_order(
    reports: Any, random: Any
) -> None:
    shuffled = [*reports, *random.sample(reports, len(reports) // 2)]
    random.shuffle(shuffled)
    one, other = (believed(a_payment(), pieces) for pieces in (reports, shuffled))
    assert one.expire_time == other.expire_time
    assert reread(one).sums.confirmed == reread(other).sums.confirmed
    said = [piece.expire_time for piece in reports if isinstance(piece, Created)]
    known = [max(time, NOW) for time in said if time is not None]
    assert one.expire_time == min([EXPIRY, *known])


@given(LIVES)
def test_a_snapshot_after_the_expiry_ends_every_payment_with_nothing_on_its_way(life: Any) -> None:
    steps = live(life)
    payment = steps[-1][1].payment if steps else a_payment()
    undone = tuple(attrs.evolve(r, state=ReceiptState.DROPPED) for r in payment.receipts)
    nothing = a_snapshot(ProviderStatus.EXPIRED, minutes=END)
    known = payment.provider_reference is not None or payment.provider_status is not None
    looks: list[Evidence] = [created(), nothing] if known else [Absent(), NotAttempted()]
    for piece in (undone, *looks):
        decision = decide(reread(payment), piece, at(END))
        payment = decision.payment if decision else payment
    assert not payment.status.is_open


@given(LIVES)
def test_closed_payments_leave_only_for_completed_and_open_ones_are_checked(life: Any) -> None:
    for before, decision in live(life):
        after = decision.payment
        if not before.status.is_open:
            assert after.status in (before.status, Status.COMPLETED)
        if before.status in (Status.COMPLETED, Status.CANCELED):
            assert after.status is before.status
        assert (after.next_check_time is not None) == after.status.is_open
        assert (after.complete_time is not None) == (after.status is Status.COMPLETED)
