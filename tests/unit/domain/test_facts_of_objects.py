"""A report names its object: the money of another object never counts."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.builders import (
    DUE,
    NOW,
    a_dispute,
    a_payment,
    a_report,
    a_snapshot,
    after,
    at,
    created,
    facts,
)

from payd.domain.attention import Attention, AttentionRecord
from payd.domain.decide import Decision, EventType, decide
from payd.domain.dispute import DisputeStatus
from payd.domain.disputes import is_disputed
from payd.domain.evidence import (
    AttentionResolved,
    CancelRequested,
    Conflict,
    Created,
    Evidence,
    NotClosable,
    ProviderStatus,
    Snapshot,
)
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundState
from payd.domain.refunds import left

PENDING = a_payment(Status.PENDING)
CREATING = a_payment(Status.CREATING, asking=Asking.UNKNOWN)
PAID = a_snapshot(ProviderStatus.PAID, reference="ref", due=DUE, aliases=("pi_1",))


# -- whose object --------------------------------------------------------------------------------


def test_a_report_of_the_payments_own_object_counts() -> None:
    paid = after(PENDING, PAID)
    assert (paid.status, paid.confirmed, paid.attention) == (Status.COMPLETED, DUE, frozenset())


def test_the_money_of_another_object_never_counts() -> None:
    result = after(PENDING, attrs.evolve(PAID, reference="other"))
    assert (result.status, result.received, result.aliases) == (Status.PENDING, 0, ())
    assert result.attention == {Attention.CONFLICTING_EVIDENCE}


@pytest.mark.parametrize("status", [ProviderStatus.OPEN, ProviderStatus.PROCESSING])
def test_a_second_object_that_lives_is_a_danger(status: ProviderStatus) -> None:
    result = after(PENDING, a_snapshot(status, reference="other", due=DUE))
    assert result.attention == {Attention.CONFLICTING_EVIDENCE}


def test_a_second_object_that_died_unpaid_is_none() -> None:
    gone = a_snapshot(ProviderStatus.EXPIRED, reference="other", due=DUE)
    assert decide(PENDING, gone, at(2)) is None


def test_a_dead_second_object_that_brought_money_is_reported() -> None:
    gone = a_snapshot(ProviderStatus.EXPIRED, reference="other", received=1)
    assert after(PENDING, gone).attention == {Attention.CONFLICTING_EVIDENCE}


def test_a_snapshot_of_another_object_does_not_expire_the_payment() -> None:
    late = a_snapshot(ProviderStatus.OPEN, minutes=31, reference="other")
    result = after(PENDING, late, minutes=32)
    assert result.status is Status.PENDING
    look = a_snapshot(ProviderStatus.OPEN, minutes=31, reference="ref")
    assert after(PENDING, look, minutes=32).status is Status.EXPIRED
    assert after(PENDING, NotClosable(snapshot=look), minutes=32).status is Status.EXPIRED


# -- a report that is faster than the answer -----------------------------------------------------


def test_a_report_names_the_reference_that_the_lost_answer_would_have_reported() -> None:
    result = after(CREATING, a_snapshot(reference="ref", aliases=("pi_1",)))
    assert (result.status, result.provider_reference) == (Status.PENDING, "ref")
    assert (result.asking, result.aliases, result.next_action) == (Asking.ANSWERED, ("pi_1",), None)


def test_the_answer_that_follows_adds_what_the_customer_has_to_do() -> None:
    answer = created("ref")
    result = after(CREATING, a_snapshot(reference="ref"), answer)
    assert result.next_action == answer.next_action
    assert result.attention == frozenset()


def test_a_snapshot_without_a_page_keeps_the_page() -> None:
    result = after(CREATING, created("ref"), Created(reference="ref", next_action=None))
    assert result.next_action == created("ref").next_action


def test_money_reported_before_the_answer_completes_and_names_the_object() -> None:
    result = after(CREATING, PAID)
    assert (result.status, result.provider_reference) == (Status.COMPLETED, "ref")


# -- what the object asks for --------------------------------------------------------------------


@pytest.mark.parametrize("total", [0, DUE - 1, DUE + 1, 2 * DUE])
def test_an_object_that_asks_for_another_sum_never_completes(total: int) -> None:
    wrong = attrs.evolve(PAID, due=total, received=total, confirmed=total)
    result = after(PENDING, wrong)
    assert (result.status, result.received) == (Status.PENDING, 0)
    assert result.attention == {Attention.AMOUNT_MISMATCH}


def test_an_object_in_another_currency_never_completes() -> None:
    result = after(PENDING, attrs.evolve(PAID, asset="EUR"))
    assert (result.status, result.confirmed) == (Status.PENDING, 0)
    assert result.attention == {Attention.AMOUNT_MISMATCH}


#: The payment's object at its end, unpaid, though it asked for another sum or currency.
CLOSED_UNPAID = a_snapshot(ProviderStatus.CANCELED, minutes=2, reference="ref", due=1)


@pytest.mark.parametrize(
    "closed",
    [
        CLOSED_UNPAID,
        attrs.evolve(CLOSED_UNPAID, status=ProviderStatus.EXPIRED, asset="EUR", due=None),
        attrs.evolve(CLOSED_UNPAID, status=ProviderStatus.DECLINED, reference=None),
    ],
    ids=["canceled", "expired", "declined"],
)
def test_a_cancellation_ends_with_its_object_whatever_that_asked_for(closed: Snapshot) -> None:
    decision = decide(after(PENDING, CancelRequested()), closed, at(2))
    assert decision is not None
    canceled = decision.payment
    assert (canceled.status, canceled.attention) == (Status.CANCELED, {Attention.AMOUNT_MISMATCH})
    published = [(event.type, event.reason) for event in decision.events]
    assert published == [
        (EventType.CANCELED, "canceled"),
        (EventType.ATTENTION, "AMOUNT_MISMATCH"),
    ]
    assert after(canceled, closed) == canceled


#: The payment's object, paid though it asked for another sum.
PAID_WRONGLY = a_snapshot(ProviderStatus.PAID, minutes=2, due=1, received=1, confirmed=1)


@pytest.mark.parametrize(
    ("ended", "asks", "brought"),
    [
        (PAID_WRONGLY, "asks for 1 USD", "brought 1 USD"),
        (attrs.evolve(CLOSED_UNPAID, received=1, confirmed=1), "asks for 1 USD", "brought 1 USD"),
        (attrs.evolve(PAID_WRONGLY, asset="EUR", due=None), "asks for EUR", "brought 1 EUR"),
        (NotClosable(snapshot=PAID_WRONGLY), "asks for 1 USD", "brought 1 USD"),
    ],
    ids=["paid", "closed with money", "paid in another currency", "cannot be closed"],
)
def test_a_cancellation_ends_when_its_object_of_another_sum_was_paid(
    ended: Snapshot | NotClosable, asks: str, brought: str
) -> None:
    decision = decide(after(PENDING, CancelRequested()), ended, at(2))
    assert decision is not None
    canceled = decision.payment
    assert (canceled.status, canceled.received) == (Status.CANCELED, 0)
    [record] = canceled.attention_records
    assert (record.reason, record.facts) == (Attention.AMOUNT_MISMATCH, {asks, brought})
    assert [event.type for event in decision.events] == [EventType.CANCELED, EventType.ATTENTION]
    assert after(canceled, ended) == canceled


def test_a_resolved_mismatch_does_not_keep_a_cancellation_open() -> None:
    looked = AttentionResolved(
        reasons=frozenset({Attention.AMOUNT_MISMATCH}), by="operator:ada", note="refunded"
    )
    still_open = attrs.evolve(CLOSED_UNPAID, status=ProviderStatus.OPEN)
    canceling = after(PENDING, CancelRequested(), still_open, looked)
    assert (canceling.status, canceling.attention) == (Status.CANCELING, frozenset[Attention]())
    canceled = after(canceling, PAID_WRONGLY)
    assert (canceled.status, canceled.attention) == (Status.CANCELED, {Attention.AMOUNT_MISMATCH})


def test_money_of_another_sum_that_is_final_after_the_end_is_published_again() -> None:
    seen = attrs.evolve(PAID_WRONGLY, status=ProviderStatus.OPEN, confirmed=0)
    canceled = after(PENDING, CancelRequested(), NotClosable(snapshot=seen))
    assert canceled.status is Status.CANCELED
    decision = decide(canceled, PAID_WRONGLY, at(3))
    assert decision is not None
    assert [event.type for event in decision.events] == [EventType.ATTENTION]


def test_a_mismatch_that_is_known_does_not_keep_a_cancellation_open() -> None:
    still_open = attrs.evolve(CLOSED_UNPAID, status=ProviderStatus.OPEN)
    canceling = after(PENDING, still_open, CLOSED_UNPAID, CancelRequested(), still_open)
    assert canceling.status is Status.CANCELING
    assert after(canceling, CLOSED_UNPAID).status is Status.CANCELED


@pytest.mark.parametrize(
    "look",
    [
        attrs.evolve(CLOSED_UNPAID, status=ProviderStatus.OPEN),
        attrs.evolve(CLOSED_UNPAID, status=ProviderStatus.PROCESSING, received=1),
        attrs.evolve(CLOSED_UNPAID, reference="other"),
        attrs.evolve(CLOSED_UNPAID, as_of=at(0.5)),
    ],
    ids=["still open", "being paid", "another object", "older than what is known"],
)
def test_an_object_of_another_sum_that_is_not_surely_closed_ends_no_cancellation(
    look: Snapshot,
) -> None:
    canceling = after(PENDING, a_snapshot(ProviderStatus.OPEN, minutes=1), CancelRequested())
    result = after(canceling, look)
    assert (result.status, result.received) == (Status.CANCELING, 0)
    assert result.attention == ({Attention.AMOUNT_MISMATCH} if look.reference == "ref" else set())


def test_a_report_that_contradicts_is_for_a_person() -> None:
    result = after(PENDING, Conflict())
    assert (result.status, result.attention) == (Status.PENDING, {Attention.CONFLICTING_EVIDENCE})


# -- money that goes back ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.PENDING, Status.EXPIRED, Status.CANCELED])
def test_what_went_back_is_no_proof_that_it_came(status: Status) -> None:
    result = after(a_payment(status), a_report(refund_id=None, amount=DUE), a_dispute())
    assert (result.status, result.received, result.refunded) == (status, 0, DUE)
    assert result.attention == {Attention.REFUNDED_EXTERNALLY, Attention.DISPUTED}


def test_a_dispute_is_reported_and_a_completed_payment_stays_completed() -> None:
    decision = decide(after(PENDING, PAID), a_dispute(), at(3))
    assert isinstance(decision, Decision)
    assert decision.payment.status is Status.COMPLETED
    published = [(event.type, event.reason) for event in decision.events]
    assert published == [(EventType.DISPUTED, ""), (EventType.ATTENTION, "DISPUTED")]


@pytest.mark.parametrize("status", [Status.CREATING, Status.PENDING, Status.CANCELING])
def test_a_refund_before_the_payment_is_no_news_of_its_object(status: Status) -> None:
    result = after(a_payment(status), a_report(refund_id=None))
    assert (result.status, result.provider_status) == (status, None)


def test_what_was_refunded_when_payd_kept_only_the_total_is_not_refunded_again() -> None:
    old = after(a_payment(Status.COMPLETED, snapshot_refunded=300), CancelRequested(), Conflict())
    assert (old.refunded, left(old)) == (300, DUE - 300)
    assert Attention.REFUNDED_EXTERNALLY in old.attention
    known = after(old, a_report(refund_id=None, amount=200))
    assert (known.refunded, left(known)) == (300, DUE - 300)
    more = after(known, a_report(reference="re_2", refund_id=None, amount=200))
    assert (more.refunded, left(more)) == (400, DUE - 400)
    pending = after(old, a_report(RefundState.PENDING, refund_id=None, amount=100))
    assert (pending.refunded, left(pending)) == (300, DUE - 400)


def test_a_dispute_from_when_payd_kept_only_the_reason_stops_a_refund() -> None:
    disputed = AttentionRecord(reason=Attention.DISPUTED, since=NOW, published=True)
    old = a_payment(Status.COMPLETED, attention_records=(disputed,))
    assert is_disputed(old)
    assert after(old, Conflict()).attention == {Attention.DISPUTED, Attention.CONFLICTING_EVIDENCE}
    assert not is_disputed(after(old, a_dispute(DisputeStatus.WON)))


def test_other_names_that_reports_contain_are_kept_once_in_their_order() -> None:
    result = after(
        PENDING,
        a_snapshot(aliases=("pi_1", "ch_1")),
        a_report(refund_id=None, aliases=("ch_1", "re_1")),
        created("ref", aliases=("pi_1", "cus_1")),
    )
    assert result.aliases == ("pi_1", "ch_1", "re_1", "cus_1")


def test_a_report_of_another_object_names_nothing_of_the_payment() -> None:
    result = after(PENDING, a_snapshot(ProviderStatus.OPEN, reference="other", aliases=("pi_2",)))
    assert (result.provider_reference, result.aliases) == ("ref", ())


# -- in every order ------------------------------------------------------------------------------

EXPIRED_TOO_LATE = a_snapshot(ProviderStatus.EXPIRED, minutes=2.5, reference="ref", due=DUE)
DISPUTED = attrs.evolve(
    PAID, reference="ref", as_of=at(4), disputes=(a_dispute(DisputeStatus.UNDER_REVIEW, minutes=4),)
)
LIFE: list[Evidence] = [
    created("ref"),
    a_snapshot(ProviderStatus.OPEN, minutes=1, reference="ref", due=DUE),
    a_snapshot(ProviderStatus.PROCESSING, minutes=2, received=DUE, reference="ref", due=DUE),
    attrs.evolve(PAID, as_of=at(3)),
    attrs.evolve(PAID, reference="other", as_of=at(3)),
    attrs.evolve(PAID, due=1, as_of=at(3)),
    a_report(RefundState.PENDING, refund_id=None),
    a_report(refund_id=None),
    a_report(reference="re_2", refund_id=None, amount=300),
    a_dispute(minutes=3),
    DISPUTED,
]
#: All but what speaks of another object.
OWN = [*LIFE[:4], *LIFE[5:]]
#: None of them is a reason to complete.
WRONG: list[Evidence] = [
    attrs.evolve(PAID, due=DUE - 1, received=DUE, confirmed=DUE),
    attrs.evolve(PAID, due=2 * DUE, received=2 * DUE, confirmed=2 * DUE),
    attrs.evolve(PAID, asset="EUR"),
    attrs.evolve(PAID, asset="EUR", due=None),
    attrs.evolve(PAID, reference="other"),
    attrs.evolve(DISPUTED, reference="other"),
    attrs.evolve(PAID, received=DUE - 1, confirmed=DUE - 1),
    attrs.evolve(PAID, confirmed=0),
    NotClosable(
        snapshot=attrs.evolve(PAID, reference="other", received=2 * DUE, confirmed=2 * DUE)
    ),
    a_report(refund_id=None, amount=DUE),
    a_report(reference="re_2", refund_id=None, amount=2 * DUE),
    a_report(refund_id=None, asset="EUR"),
    a_dispute(),
    Conflict(),
]


@given(st.permutations(LIFE), st.lists(st.sampled_from(LIFE)))
def test_i5_the_same_reports_in_any_order_give_the_same_end(
    order: list[Evidence], repeated: list[Evidence]
) -> None:
    shuffled: Payment = after(PENDING, *order, *repeated)
    straight: Payment = after(PENDING, *LIFE)
    assert facts(shuffled) == facts(straight)
    assert _end(shuffled) == _end(straight)


@given(st.permutations(OWN), st.lists(st.sampled_from(OWN)))
def test_i5_reports_may_be_faster_than_the_answer_in_any_order(
    order: list[Evidence], repeated: list[Evidence]
) -> None:
    shuffled: Payment = after(CREATING, *order, *repeated)
    straight: Payment = after(CREATING, *OWN)
    assert facts(shuffled) == facts(straight)
    assert _end(shuffled) == _end(straight)
    assert _names(shuffled) == _names(straight)


@given(st.permutations([*LIFE, EXPIRED_TOO_LATE]))
def test_i5_an_expiry_that_the_money_overtook_takes_nothing_back(order: list[Evidence]) -> None:
    shuffled: Payment = after(PENDING, *order)
    straight: Payment = after(PENDING, *LIFE, EXPIRED_TOO_LATE)
    assert facts(shuffled) == facts(straight)
    assert (shuffled.status, shuffled.attention) == (Status.COMPLETED, straight.attention)


@given(st.permutations([*OWN, EXPIRED_TOO_LATE]), st.sampled_from(list(Status)))
def test_i1_whatever_became_of_the_payment_its_money_is_reported(
    order: list[Evidence], status: Status
) -> None:
    shuffled: Payment = after(a_payment(status), *order)
    assert shuffled.confirmed == DUE
    assert shuffled.status is Status.COMPLETED or Attention.PAID_AFTER_CLOSE in shuffled.attention


@given(st.lists(st.sampled_from([LIFE[1], *WRONG])), st.sampled_from([PENDING, CREATING]))
def test_i4_nothing_but_the_payments_own_money_completes_it(
    reports: list[Evidence], payment: Payment
) -> None:
    known = after(payment, created("ref"))
    assert after(known, *reports).status in (Status.PENDING, Status.PROCESSING)


@given(st.lists(st.sampled_from(WRONG)), st.integers(31, 3000))
def test_a_report_of_another_object_does_not_change_an_overdue_payment(
    reports: list[Evidence], minutes: int
) -> None:
    about_others = [one for one in reports if getattr(one, "reference", None) == "other"]
    payment = after(PENDING, *about_others, minutes=minutes)
    assert (payment.status, payment.received) == (Status.PENDING, 0)


def _end(payment: Payment) -> tuple[Any, ...]:
    return payment.status, payment.attention, frozenset(payment.aliases), payment.late


def _names(payment: Payment) -> tuple[Any, ...]:
    return payment.provider_reference, payment.next_action, payment.asking


# -- another object before the payment's own is known --------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        a_snapshot(ProviderStatus.EXPIRED, reference="other", due=DUE),
        attrs.evolve(PAID, reference="other", due=1),
        attrs.evolve(PAID, reference="other", asset="EUR"),
    ],
    ids=["dead", "of another sum", "in another currency"],
)
def test_i5_an_object_that_cannot_pay_the_payment_is_not_taken_for_its_own(other: Snapshot) -> None:
    answer, paid = created("ref"), attrs.evolve(PAID, as_of=at(3))
    straight = after(CREATING, answer, other, paid)
    assert straight.status is Status.COMPLETED
    assert facts(after(CREATING, other, answer, paid)) == facts(straight)


def test_a_snapshot_of_another_object_closes_no_payment_that_shall_be_canceled() -> None:
    look = a_snapshot(ProviderStatus.OPEN, reference="other")
    result = after(a_payment(Status.CANCELING), NotClosable(snapshot=look))
    assert result.status is Status.CANCELING
