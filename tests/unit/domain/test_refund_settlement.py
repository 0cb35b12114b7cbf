"""An operator settles a refund whose outcome stays unknown; the provider's word still counts."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.builders import DUE, NOW, a_refund, a_report, at, refunded

from payd.domain.attention import Attention
from payd.domain.decide import Decision, EventType, decide
from payd.domain.errors import InvalidField, NotRefundable, PaydError, RefundNotFound
from payd.domain.evidence import OutcomeUnknown, RefundAnswered, RefundSettled, Unanswered
from payd.domain.outcome import Asking
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundSnapshot, RefundState, RefundStatus
from payd.domain.refunds import left

LOST = a_refund(asking=Asking.UNKNOWN)
WAITS = refunded(LOST)
OTHER = UUID(int=8)
#: The end of the time in which payd can find out by itself.
OPEN_UNTIL = at(60)
LATER = at(61)


def a_settlement(*, succeeded: bool = True, reference: str = "", **overrides: Any) -> RefundSettled:
    fields: dict[str, Any] = {
        "refund_id": LOST.id,
        "has_succeeded": succeeded,
        "reference": reference,
        "not_before": OPEN_UNTIL,
        "note": "seen in the dashboard",
    }
    return RefundSettled(**(fields | overrides))


def decided(payment: Payment, evidence: Any) -> Decision:
    decision = decide(payment, evidence, LATER)
    assert decision is not None
    return decision


def settled(*, succeeded: bool, reference: str = "") -> Payment:
    return decided(WAITS, a_settlement(succeeded=succeeded, reference=reference)).payment


def ours(payment: Payment) -> Refund:
    return next(refund for refund in payment.refunds if refund.id == LOST.id)


def is_conflict(payment: Payment) -> bool:
    return Attention.CONFLICTING_EVIDENCE in payment.attention


# -- the settlement itself -----------------------------------------------------------------------


def test_a_refund_that_an_operator_saw_succeeds() -> None:
    decision = decided(WAITS, a_settlement(reference="re_1"))
    refund = ours(decision.payment)
    assert (refund.status, refund.provider_reference) == (RefundStatus.SUCCEEDED, "re_1")
    assert (refund.complete_time, refund.ask_deadline, refund.next_check_time) == (
        LATER,
        None,
        None,
    )
    assert decision.payment.refunded == LOST.amount
    assert (decision.audit_event, decision.note) == ("refund_succeeded", "seen in the dashboard")
    assert [(e.type, e.refund_id) for e in decision.events] == [(EventType.REFUNDED, LOST.id)]


def test_a_refund_that_never_went_frees_its_amount() -> None:
    decision = decided(WAITS, a_settlement(succeeded=False))
    refund = ours(decision.payment)
    assert refund.status is RefundStatus.FAILED
    assert (refund.failure and refund.failure.code, refund.complete_time) == ("settled", None)
    assert (left(decision.payment), decision.payment.refunded) == (DUE, 0)
    assert (decision.audit_event, decision.note) == ("refund_failed", "seen in the dashboard")
    assert [(e.type, e.reason) for e in decision.events] == [(EventType.REFUND_FAILED, "settled")]


@pytest.mark.parametrize("succeeded", [True, False])
def test_nobody_has_to_look_any_more(succeeded: bool) -> None:
    silence = RefundAnswered(refund_id=LOST.id, answer=Unanswered())
    stuck = decide(WAITS, silence, at(60))
    assert stuck is not None
    assert stuck.payment.attention == {Attention.STUCK}
    decision = decided(stuck.payment, a_settlement(succeeded=succeeded))
    assert decision.payment.attention == frozenset()


@pytest.mark.parametrize("succeeded", [True, False])
def test_the_same_settlement_again_changes_nothing(succeeded: bool) -> None:
    payment = settled(succeeded=succeeded)
    assert decide(payment, a_settlement(succeeded=succeeded, note="again"), LATER) is None
    with pytest.raises(NotRefundable):
        decide(payment, a_settlement(succeeded=not succeeded), LATER)


def test_another_reference_is_another_settlement() -> None:
    payment = settled(succeeded=True, reference="re_1")
    assert decide(payment, a_settlement(reference="re_1"), LATER) is None
    with pytest.raises(NotRefundable):
        decide(payment, a_settlement(reference="re_2"), LATER)


@pytest.mark.parametrize("succeeded", [True, False])
def test_while_payd_can_find_out_by_itself_nobody_settles(succeeded: bool) -> None:
    before = OPEN_UNTIL - timedelta(seconds=1)
    with pytest.raises(NotRefundable) as caught:
        decide(WAITS, a_settlement(succeeded=succeeded), before)
    assert str(caught.value) == (
        "payd can still find out by itself what became of it: settle it after"
        " 2026-01-01 13:00:00+00:00"
    )
    assert caught.value.metadata == {
        "refund_id": str(LOST.id),
        "status": "CREATING",
        "settle_time": "2026-01-01T13:00:00+00:00",
    }
    assert decide(WAITS, a_settlement(succeeded=succeeded), OPEN_UNTIL) is not None


def test_while_a_daemon_asks_the_provider_nobody_settles() -> None:
    asked = refunded(attrs.evolve(LOST, ask_deadline=at(62)))
    with pytest.raises(NotRefundable) as caught:
        decide(asked, a_settlement(), LATER)
    assert caught.value.metadata["settle_time"] == at(62).isoformat()
    done = decide(asked, a_settlement(), at(62))
    assert done is not None
    assert ours(done.payment).ask_deadline is None


def test_a_refund_that_was_never_sent_can_be_settled_too() -> None:
    """Such as when its provider is gone for good."""
    never_sent = refunded(a_refund(asking=Asking.NOT_ATTEMPTED))
    failed = decided(never_sent, a_settlement(succeeded=False)).payment
    assert ours(failed).status is RefundStatus.FAILED
    assert ours(failed).is_settled


@pytest.mark.parametrize(
    "status", [status for status in RefundStatus if status is not RefundStatus.CREATING]
)
@pytest.mark.parametrize("succeeded", [True, False])
def test_only_an_unknown_outcome_is_settled(status: RefundStatus, succeeded: bool) -> None:
    payment = refunded(a_refund(status))
    wanted = RefundStatus.SUCCEEDED if succeeded else RefundStatus.FAILED
    if status is RefundStatus.AWAITING_TRANSFER and succeeded:
        return
    if status is wanted:
        same = decide(payment, a_settlement(succeeded=succeeded), LATER)
        assert same is None or same.payment.refunds == payment.refunds
        return
    with pytest.raises(NotRefundable) as caught:
        decide(payment, a_settlement(succeeded=succeeded), LATER)
    advice = (
        "cancel it, if nothing was sent"
        if status is RefundStatus.AWAITING_TRANSFER
        else "only one in CREATING, or a transfer in AWAITING_TRANSFER, can be settled"
    )
    assert str(caught.value) == f"the refund is {status.value}: {advice}"
    assert caught.value.metadata == {"refund_id": str(LOST.id), "status": status.value}


def test_a_transfer_that_payd_cannot_recognise_is_settled_by_the_person_who_made_it() -> None:
    """Such as one without its memo, or withheld by the destination's receive policy."""
    waits = refunded(a_refund(RefundStatus.AWAITING_TRANSFER))
    decision = decide(waits, a_settlement(reference="0xabc:1"), at(1))
    assert decision is not None
    refund = ours(decision.payment)
    assert (refund.status, refund.provider_reference) == (RefundStatus.SUCCEEDED, "0xabc:1")
    assert [(e.type, e.refund_id) for e in decision.events] == [(EventType.REFUNDED, LOST.id)]
    assert left(decision.payment) == DUE - LOST.amount

    read_later = decide(decision.payment, a_report(reference="0xabc:1"), LATER)
    after = read_later.payment if read_later else decision.payment
    assert (after.refunded, after.attention) == (LOST.amount, frozenset())


def test_a_transfer_that_was_not_made_is_withdrawn_instead() -> None:
    waits = refunded(a_refund(RefundStatus.AWAITING_TRANSFER))
    with pytest.raises(NotRefundable, match="cancel it"):
        decide(waits, a_settlement(succeeded=False), LATER)


def test_an_unknown_refund_is_not_found() -> None:
    with pytest.raises(RefundNotFound):
        decide(WAITS, a_settlement(refund_id=UUID(int=404)), LATER)


def test_only_a_success_has_a_reference() -> None:
    with pytest.raises(InvalidField) as caught:
        decide(WAITS, a_settlement(succeeded=False, reference="re_1"), LATER)
    assert (caught.value.field, caught.value.description) == (
        "reference",
        "only a refund that succeeded has one: leave it out",
    )


# -- a refund that the provider has reported already ---------------------------------------------


def seen_before(state: RefundState = RefundState.SUCCEEDED, amount: int = LOST.amount) -> Payment:
    """A refund in the provider's dashboard, which names no refund of ours."""
    return decided(WAITS, a_report(state, "re_9", refund_id=None, amount=amount)).payment


def test_a_refund_in_the_dashboard_becomes_ours_and_counts_once() -> None:
    payment = decided(seen_before(), a_settlement(reference="re_9")).payment
    refund = ours(payment)
    assert (refund.status, refund.provider_reference) == (RefundStatus.SUCCEEDED, "re_9")
    assert refund.complete_time == LATER
    assert (payment.refunded, left(payment)) == (LOST.amount, DUE - LOST.amount)
    [other] = [one for one in payment.refunds if one.external]
    assert other.failure
    assert other.failure.code == "same_refund"
    assert not is_conflict(payment)


def test_what_the_provider_still_sends_is_on_its_way() -> None:
    payment = decided(seen_before(RefundState.PENDING), a_settlement(reference="re_9")).payment
    assert ours(payment).status is RefundStatus.PENDING
    assert left(payment) == DUE - LOST.amount


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (seen_before(RefundState.FAILED),
         "the provider reports 100, FAILED, under it, and this refund is of 100"),
        (seen_before(RefundState.CANCELED),
         "the provider reports 100, CANCELED, under it, and this refund is of 100"),
        (seen_before(amount=LOST.amount + 1),
         "the provider reports 101, SUCCEEDED, under it, and this refund is of 100"),
        (refunded(LOST, a_refund(RefundStatus.SUCCEEDED, id=OTHER, provider_reference="re_9")),
         f"it is that of refund {OTHER}"),
    ],
    ids=["failed", "canceled", "another amount", "another refund of ours"],
)  # fmt: skip
def test_a_reference_that_cannot_be_this_refund_is_refused(known: Payment, said: str) -> None:
    with pytest.raises(InvalidField) as caught:
        decide(known, a_settlement(reference="re_9"), LATER)
    assert (caught.value.field, caught.value.description) == ("reference", said)


# -- what the provider reports afterwards --------------------------------------------------------


@pytest.mark.parametrize("reference", ["", "re_1"])
@pytest.mark.parametrize("state", [RefundState.PENDING, RefundState.SUCCEEDED])
def test_a_report_that_agrees_with_a_success_says_nothing_new_to_people(
    reference: str, state: RefundState
) -> None:
    payment = settled(succeeded=True, reference=reference)
    decision = decided(payment, a_report(state))
    refund = ours(decision.payment)
    assert (refund.status, refund.provider_reference) == (RefundStatus.SUCCEEDED, "re_1")
    assert refund.asking is Asking.ANSWERED
    assert (decision.events, is_conflict(decision.payment)) == ((), False)
    assert decision.payment.refunded == LOST.amount


def test_a_report_that_names_only_the_reference_finds_the_refund() -> None:
    payment = settled(succeeded=True, reference="re_1")
    after = decided(payment, a_report(refund_id=None)).payment
    assert [refund.id for refund in after.refunds] == [LOST.id]
    assert after.refunded == LOST.amount


@pytest.mark.parametrize("code", ["lost_card", "unknown_card"])
@pytest.mark.parametrize("state", [RefundState.FAILED, RefundState.CANCELED])
def test_a_report_that_agrees_with_a_failure_says_nothing_new_to_people(
    state: RefundState, code: str
) -> None:
    decision = decided(settled(succeeded=False), a_report(state, failure_code=code))
    refund = ours(decision.payment)
    assert refund.status is RefundStatus.FAILED
    assert refund.failure
    assert refund.failure.code == "settled"
    assert (decision.events, decision.payment.attention) == ((), frozenset())


@pytest.mark.parametrize("state", [RefundState.FAILED, RefundState.CANCELED])
def test_a_success_that_the_provider_denies_fails_and_is_a_contradiction(
    state: RefundState,
) -> None:
    decision = decided(settled(succeeded=True), a_report(state))
    assert ours(decision.payment).status is RefundStatus.FAILED
    assert (decision.payment.refunded, left(decision.payment)) == (0, DUE)
    [conflict] = (
        record
        for record in decision.payment.attention_records
        if record.reason is Attention.CONFLICTING_EVIDENCE
    )
    said = f"refund {LOST.id} was settled as SUCCEEDED, but re_1 is {state.value}"
    assert conflict.facts == {said}
    assert [e.type for e in decision.events] == [EventType.REFUND_FAILED, EventType.ATTENTION]


@pytest.mark.parametrize("state", [RefundState.PENDING, RefundState.SUCCEEDED])
def test_money_that_went_after_a_failure_is_a_contradiction_and_counts_once(
    state: RefundState,
) -> None:
    decision = decided(settled(succeeded=False), a_report(state))
    after = decision.payment
    assert ours(after).status is RefundStatus.FAILED
    assert left(after) == DUE - LOST.amount
    assert is_conflict(after)
    [other] = (one for one in after.refunds if one.external)
    assert other.complete_time == (LATER if state is RefundState.SUCCEEDED else None)
    assert decide(after, a_report(state), LATER) is None
    both = decided(after, a_report(RefundState.FAILED)).payment
    assert (left(both), both.refunded) == (DUE, 0)


def test_the_answer_of_a_daemon_that_slept_is_such_a_report() -> None:
    answer = RefundAnswered(refund_id=LOST.id, answer=a_report(refund_id=None))
    after = decided(settled(succeeded=False), answer).payment
    assert (after.refunded, is_conflict(after)) == (LOST.amount, True)
    lost = RefundAnswered(refund_id=LOST.id, answer=OutcomeUnknown())
    assert decide(settled(succeeded=False), lost, LATER) is None


def test_the_providers_own_id_wins_over_that_of_the_operator_and_the_money_counts_once() -> None:
    after = decided(settled(succeeded=True, reference="re_typo"), a_report()).payment
    assert (ours(after).provider_reference, after.refunded) == ("re_1", LOST.amount)
    assert is_conflict(after)


def test_two_refunds_at_the_provider_count_twice_in_either_order() -> None:
    """One by hand, which the operator named; and the one that payd had sent."""
    by_hand, sent = a_report(reference="re_9", refund_id=None), a_report()
    payment = settled(succeeded=True, reference="re_9")
    for first, second in ((by_hand, sent), (sent, by_hand)):
        after = decided(decided(payment, first).payment, second).payment
        assert after.refunded == 2 * LOST.amount
        assert is_conflict(after)


@pytest.mark.parametrize(("amount", "counted"), [(150, 150), (50, 100)])
def test_another_amount_than_the_settled_one_is_a_contradiction(amount: int, counted: int) -> None:
    after = decided(settled(succeeded=True), a_report(amount=amount)).payment
    assert (after.refunded, is_conflict(after)) == (counted, True)
    assert {one.complete_time for one in after.refunds} == {LATER}
    assert decide(after, a_report(amount=amount), LATER) is None


STATES = st.sampled_from(RefundState)
REPORTS = st.lists(
    st.builds(
        a_report,
        STATES,
        st.just("re_1"),
        refund_id=st.sampled_from([LOST.id, None]),
    ),
    max_size=6,
)


@given(st.booleans(), REPORTS, st.randoms(use_true_random=False))
def test_in_every_order_of_the_reports_the_same_money_counts_once(
    succeeded: bool, reports: list[RefundSnapshot], random: Any
) -> None:
    """With the operator's reference, as docs/operations.md asks for."""

    def story(pieces: list[RefundSnapshot]) -> tuple[int, int]:
        payment = settled(succeeded=succeeded, reference="re_1" if succeeded else "")
        for piece in pieces:
            try:
                decision = decide(payment, piece, LATER)
            except PaydError as error:
                raise AssertionError(error) from error
            payment = decision.payment if decision else payment
        return payment.refunded, left(payment)

    shuffled = [*reports, *random.sample(reports, len(reports) // 2)]
    random.shuffle(shuffled)
    refunded_, left_ = story(reports)
    assert (refunded_, left_) == story(shuffled)
    assert refunded_ in (0, LOST.amount)
    assert left_ >= DUE - LOST.amount
    assert NOW < LATER
