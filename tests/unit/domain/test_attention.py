"""Attention: what opens a reason, what publishes it, who resolves it, and what brings it back."""

from datetime import timedelta

import attrs
import pytest
from unit.domain.builders import (
    DUE,
    NOW,
    USD,
    a_payment,
    a_receipt,
    a_refund,
    a_report,
    a_snapshot,
    after,
    at,
    refunded,
)

from payd.domain.actors import PAYD
from payd.domain.attention import (
    FACTS_MAX,
    MORE,
    PUBLISH_AFTER,
    Attention,
    AttentionRecord,
    add_fact,
    derive,
    next_publish_time,
    publish_old,
    resolve,
    to_publish,
)
from payd.domain.decide import Decision, EventType, decide
from payd.domain.evidence import AttentionResolved, Conflict, Unanswered
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundState

CONFLICT = Attention.CONFLICTING_EVIDENCE
RESOLVED = AttentionResolved(reasons=frozenset({CONFLICT}), by="operator:eve", note="seen")


def decided(payment: Payment, evidence: object, minutes: float = 2) -> Decision:
    decision = decide(payment, evidence, at(minutes))  # type: ignore[arg-type]
    assert decision is not None
    return decision


def reasons(decision: Decision) -> list[str]:
    return [event.reason for event in decision.events if event.type is EventType.ATTENTION]


def test_a_fact_is_published_once_and_a_further_one_again() -> None:
    first = decided(a_payment(Status.PENDING), Conflict(detail="one"))
    assert reasons(first) == ["CONFLICTING_EVIDENCE"]
    assert decide(first.payment, Conflict(detail="one"), at(3)) is None
    second = decided(first.payment, Conflict(detail="two"), 3)
    assert reasons(second) == ["CONFLICTING_EVIDENCE"]
    [record] = second.payment.attention_records
    assert record == AttentionRecord(
        reason=CONFLICT, since=at(2), facts=frozenset({"one", "two"}), published=True
    )


def test_a_person_resolves_a_reason_with_a_note() -> None:
    raised = after(a_payment(Status.PENDING), Conflict(detail="one"))
    decision = decided(raised, RESOLVED, 5)
    assert decision.payment.attention == frozenset()
    assert (decision.audit_event, decision.note) == ("attention_resolved", "seen")
    assert decision.events == ()
    [record] = decision.payment.attention_records
    assert (record.resolved_time, record.resolved_by, record.note) == (
        at(5),
        "operator:eve",
        "seen",
    )
    assert decide(decision.payment, RESOLVED, at(6)) is None


def test_a_resolved_reason_comes_back_with_new_facts_only() -> None:
    resolved = after(a_payment(Status.PENDING), Conflict(detail="one"), RESOLVED)
    assert decide(resolved, Conflict(detail="one"), at(9)) is None
    again = decided(resolved, Conflict(detail="two"), 9)
    [record] = again.payment.attention_records
    assert (record.is_open, record.since, record.resolved_by) == (True, at(9), "")
    assert reasons(again) == ["CONFLICTING_EVIDENCE"]


def test_a_derived_reason_that_a_person_resolved_comes_back_when_more_money_comes() -> None:
    everything = AttentionResolved(reasons=frozenset(Attention), by="operator:eve", note="n")
    overpaid = after(a_payment(Status.COMPLETED), (a_receipt(amount=DUE + 1),))
    resolved = after(overpaid, everything)
    assert resolved.attention == frozenset()
    assert after(resolved, (a_receipt(amount=DUE + 1),)).attention == frozenset()
    assert after(resolved, (a_receipt("r2", 1),)).attention == {Attention.OVERPAID}


def test_a_derived_reason_ends_by_itself_and_may_return() -> None:
    true = {Attention.UNDERPAID: frozenset({"1 of 5"})}
    records = derive((), (Attention.UNDERPAID,), true, NOW)
    assert derive(records, (Attention.UNDERPAID,), true, at(1)) == records
    ended = derive(records, (Attention.UNDERPAID,), {}, at(1))
    assert [(r.is_open, r.resolved_by, r.resolved_time) for r in ended] == [(False, PAYD, at(1))]
    assert [r.note for r in ended] == [""]
    assert derive(ended, (Attention.UNDERPAID,), {}, at(2)) == ended
    again = derive(ended, (Attention.UNDERPAID,), true, at(3))
    assert [(r.is_open, r.since) for r in again] == [(True, at(3))]
    assert to_publish(ended, again) == {Attention.UNDERPAID}


def test_a_derived_reason_keeps_the_facts_that_are_still_true() -> None:
    both = {Attention.OVERPAID: frozenset({"a", "b"})}
    records = derive((), (Attention.OVERPAID,), both, NOW)
    one = derive(records, (Attention.OVERPAID,), {Attention.OVERPAID: frozenset({"b"})}, at(1))
    assert [(r.facts, r.since) for r in one] == [(frozenset({"b"}), NOW)]
    assert to_publish(records, one) == set()


def facts_of(payment: Payment) -> dict[Attention, set[str]]:
    return {record.reason: set(record.facts) for record in payment.attention_records}


def test_too_little_too_much_and_twice_say_how_much() -> None:
    part = after(a_payment(Status.EXPIRED), (a_receipt(amount=1),))
    assert facts_of(part) == {Attention.UNDERPAID: {"1 of 500 confirmed"}}
    twice = after(a_payment(Status.COMPLETED), (a_receipt(amount=2 * DUE + 1),))
    assert facts_of(twice) == {
        Attention.OVERPAID: {"1001 of 500 confirmed"},
        Attention.DUPLICATE_PAYMENT: {"paid 2 times"},
    }


def test_the_smallest_price_can_be_paid_twice_and_none_cannot() -> None:
    cent, free = (attrs.evolve(USD, minor_units=amount) for amount in (1, 0))
    twice = after(a_payment(Status.PENDING, amount=cent), (a_receipt(amount=2),))
    assert twice.attention == {Attention.OVERPAID, Attention.DUPLICATE_PAYMENT}
    given = after(a_payment(Status.PENDING, amount=free), a_snapshot())
    assert (given.status, given.attention) == (Status.COMPLETED, frozenset())
    too_much = after(given, (a_receipt(amount=1),))
    assert too_much.attention == {Attention.OVERPAID}


def test_a_refund_takes_no_other_reason_away() -> None:
    overpaid = after(a_payment(Status.COMPLETED), (a_receipt(amount=DUE + 1),))
    both = after(overpaid, a_report(refund_id=None))
    assert both.attention == {Attention.OVERPAID, Attention.REFUNDED_EXTERNALLY}


def test_a_refund_that_the_provider_canceled_needs_nobody() -> None:
    canceled = after(refunded(a_refund()), a_report(RefundState.CANCELED))
    assert canceled.attention == frozenset()


def test_what_an_older_version_of_payd_saw_stays_as_it_was_seen() -> None:
    """It kept neither each refund nor each dispute."""
    old = AttentionRecord(reason=Attention.DISPUTED, since=NOW, published=True)
    paid = a_payment(Status.COMPLETED, snapshot_refunded=1, attention_records=(old,))
    seen = after(paid, (a_receipt("r1", 1),))
    assert facts_of(seen) == {
        Attention.DISPUTED: {"reported"},
        Attention.REFUNDED_EXTERNALLY: {"1 refunded"},
    }


def test_what_waiting_may_end_is_published_by_the_status_check_that_finds_it_old() -> None:
    first = decided(a_payment(Status.PENDING), Unanswered(), 91)
    assert (first.payment.attention, first.events) == ({Attention.STUCK}, ())
    assert decide(first.payment, Unanswered(), at(150.9)) is None
    second = decided(first.payment, Unanswered(), 151)
    assert reasons(second) == ["STUCK"]
    assert decide(second.payment, Unanswered(), at(500)) is None


def test_no_flood_of_facts_makes_a_row_grow_for_ever() -> None:
    records = add_fact((), CONFLICT, "0", NOW)
    for number in range(1, 3 * FACTS_MAX):
        records = add_fact(records, CONFLICT, str(number), NOW)
    [record] = records
    assert len(record.facts) == FACTS_MAX + 1
    assert MORE in record.facts
    resolved = resolve(records, {CONFLICT}, "operator:eve", "n", at(1))
    assert add_fact(resolved, CONFLICT, "5", at(2)) == resolved
    [again] = add_fact(resolved, CONFLICT, "one more", at(2))
    assert (again.is_open, again.since) == (True, at(2))
    assert to_publish(resolved, (again,)) == {CONFLICT}


@pytest.mark.parametrize("reason", [CONFLICT, Attention.OVERPAID])
def test_the_first_fact_of_a_reason_of_an_older_version_of_payd_is_not_new(
    reason: Attention,
) -> None:
    records = (AttentionRecord(reason=reason, since=NOW, published=True),)
    flagged = add_fact(records, reason, "known", at(1))
    derived = derive(records, (reason,), {reason: frozenset({"known"})}, at(1))
    for adopted in (flagged, derived):
        assert [(r.facts, r.since) for r in adopted] == [(frozenset({"known"}), NOW)]
        assert to_publish(records, adopted) == set()
        assert to_publish(adopted, add_fact(adopted, reason, "new", at(2))) == {reason}
    resolved = resolve(records, {reason}, "operator:eve", "n", at(1))
    assert add_fact(resolved, reason, "new", at(2))[0].is_open


def test_the_oldest_reason_comes_first() -> None:
    records = add_fact((), Attention.WRONG_TOKEN, "a", at(5))
    records = add_fact(records, CONFLICT, "b", NOW)
    assert [record.reason for record in records] == [CONFLICT, Attention.WRONG_TOKEN]
    assert publish_old(records, at(5) + timedelta(days=1)) == records


def test_reasons_of_one_moment_stand_in_the_order_of_their_list() -> None:
    for order in ((Attention.STUCK, CONFLICT), (CONFLICT, Attention.STUCK)):
        records = add_fact(add_fact((), order[0], "a", NOW), order[1], "b", NOW)
        assert [record.reason for record in records] == [CONFLICT, Attention.STUCK]


def test_a_further_fact_leaves_the_time_since_when_a_reason_is_open() -> None:
    for reason in (CONFLICT, Attention.OVERPAID):
        records = add_fact((), reason, "a", NOW)
        [added] = add_fact(records, reason, "b", at(1))
        [derived] = derive(records, (reason,), {reason: frozenset({"a", "b"})}, at(1))
        assert added == derived
        assert (added.since, added.facts) == (NOW, {"a", "b"})


def test_a_fact_that_is_known_does_not_make_a_published_wait_begin_anew() -> None:
    facts = frozenset({"a", "b"})
    old = (AttentionRecord(reason=Attention.STUCK, since=NOW, facts=facts, published=True),)
    assert add_fact(old, Attention.STUCK, "a", at(1)) == old
    assert derive(old, (Attention.STUCK,), {Attention.STUCK: facts}, at(1)) == old
    [fewer] = derive(old, (Attention.STUCK,), {Attention.STUCK: frozenset({"a"})}, at(1))
    assert (fewer.facts, fewer.published) == ({"a"}, True)


def test_a_new_fact_of_what_waiting_may_end_is_published_later() -> None:
    old = (
        AttentionRecord(reason=Attention.STUCK, since=NOW, facts=frozenset({"a"}), published=True),
    )
    [added] = add_fact(old, Attention.STUCK, "b", at(1))
    both = frozenset({"a", "b"})
    [derived] = derive(old, (Attention.STUCK,), {Attention.STUCK: both}, at(1))
    for record in (added, derived):
        assert (record.facts, record.published) == (both, False)


def test_a_resolved_reason_without_facts_comes_back_with_its_first_one() -> None:
    old = (AttentionRecord(reason=Attention.OVERPAID, since=NOW, resolved_time=NOW),)
    [again] = derive(old, (Attention.OVERPAID,), {Attention.OVERPAID: frozenset({"a"})}, at(1))
    assert (again.is_open, again.since, again.facts) == (True, at(1), {"a"})


def test_only_the_reasons_that_are_named_are_resolved() -> None:
    records = add_fact(add_fact((), CONFLICT, "a", NOW), Attention.OVERPAID, "b", NOW)
    first = resolve(records, {CONFLICT}, "operator:eve", "n", at(1))
    assert [(r.reason, r.is_open) for r in first] == [(Attention.OVERPAID, True), (CONFLICT, False)]
    second = resolve(first, {CONFLICT, Attention.OVERPAID}, "operator:ada", "m", at(2))
    assert [(r.resolved_by, r.resolved_time) for r in second] == [
        ("operator:ada", at(2)),
        ("operator:eve", at(1)),
    ]


def test_what_waits_is_published_an_hour_after_it_was_opened_unless_it_was_resolved() -> None:
    waiting = add_fact((), Attention.STUCK, "a", NOW)
    hour = NOW + PUBLISH_AFTER
    assert next_publish_time(waiting) == hour
    assert publish_old(waiting, hour - timedelta(microseconds=1)) == waiting
    published = publish_old(waiting, hour)
    assert [record.published for record in published] == [True]
    assert to_publish(waiting, published) == {Attention.STUCK}
    assert next_publish_time(published) is None
    resolved = resolve(waiting, {Attention.STUCK}, "operator:eve", "n", at(1))
    assert publish_old(resolved, hour) == resolved
    assert next_publish_time(resolved) is None
    assert to_publish((), resolved) == set()


def test_of_two_that_wait_the_older_one_is_published_next() -> None:
    unknown = add_fact((), Attention.OUTCOME_UNKNOWN, "a", at(5))
    both = add_fact(unknown, Attention.STUCK, "b", NOW)
    assert next_publish_time(both) == NOW + PUBLISH_AFTER
    assert next_publish_time(()) is None


def test_only_open_reasons_with_news_are_published() -> None:
    waiting = add_fact((), Attention.STUCK, "a", NOW)
    assert to_publish((), waiting) == set()
    known = add_fact((), CONFLICT, "a", NOW)
    assert to_publish((), known) == {CONFLICT}
    assert to_publish(known, known) == set()
    resolved = resolve(known, {CONFLICT}, "operator:eve", "n", at(1))
    assert to_publish((), resolved) == set()
