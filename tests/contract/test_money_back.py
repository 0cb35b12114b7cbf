"""Whatever becomes of refunds and disputes, a store gives them back as `decide` made them."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import attrs
from contract.stores import CALLER, NOW, OpenStores, Stores, a_new_payment, created, paid
from contract.test_payment_store import document, replay
from contract.test_round_trip import amounts, assets, next_actions, snapshots, texts, times
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.domain.builders import reread

from payd.domain.attention import Attention
from payd.domain.decide import decide
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.errors import PaydError
from payd.domain.evidence import (
    Absent,
    AskAgain,
    AttentionResolved,
    Declined,
    Evidence,
    NotAttempted,
    OutcomeUnknown,
    RefundAnswered,
    RefundApproved,
    RefundCanceled,
    RefundRequested,
    Snapshot,
    Unanswered,
)
from payd.domain.outcome import Asking
from payd.domain.payment import Payment
from payd.domain.refund import (
    Refund,
    RefundInstructions,
    RefundSnapshot,
    RefundState,
    RefundStatus,
    RefundTerms,
)

#: Stand for ids of one payment's refunds, see `_own`.
refund_ids = st.sampled_from([UUID(int=number) for number in range(3)])
refund_reports = st.builds(
    RefundSnapshot,
    reference=st.sampled_from(["re_1", "re_2", "ä"]),
    state=st.sampled_from(RefundState),
    asset=assets,
    amount=amounts,
    time=times,
    refund_id=st.none() | refund_ids,
    failure_code=st.none() | st.sampled_from(["expired_card"]),
    failure_message=st.none() | texts,
    aliases=st.lists(texts, max_size=2).map(tuple),
)
dispute_reports = st.builds(
    Dispute,
    id=st.sampled_from(["dp_1", "dp_2", "ä"]),
    status=st.sampled_from(DisputeStatus),
    asset=assets,
    amount=amounts,
    reason=texts,
    open_time=times,
    as_of=times,
    evidence_due_time=st.none() | times,
    aliases=st.lists(texts, max_size=2).map(tuple),
)
refund_requests = st.builds(
    RefundRequested,
    refund=st.builds(
        Refund,
        id=refund_ids,
        status=st.just(RefundStatus.CREATING),
        amount=amounts,
        request_hash=st.binary(max_size=32),
        reason=texts,
        destination=texts,
        requester=texts,
        request_id=texts,
        create_time=times,
        update_time=times,
        asking=st.sampled_from(Asking),
        ask_deadline=st.none() | times,
    ),
    terms=st.builds(RefundTerms, approval_from=st.none() | amounts),
    is_all_left=st.booleans(),
)
refund_answers = st.builds(
    RefundAnswered,
    refund_id=refund_ids,
    answer=st.one_of(
        refund_reports,
        st.builds(RefundInstructions, next_action=next_actions),
        st.builds(Declined, code=st.sampled_from(["no_funds"]), message=texts),
        st.builds(AskAgain, deadline=times),
        st.sampled_from([NotAttempted(), OutcomeUnknown(), Absent(), Unanswered()]),
    ),
)
money_back: st.SearchStrategy[Evidence] = st.one_of(
    refund_reports,
    dispute_reports,
    refund_requests,
    refund_answers,
    st.builds(RefundApproved, refund_id=refund_ids, by=texts, note=texts),
    st.builds(RefundCanceled, refund_id=refund_ids, note=texts),
    st.builds(
        AttentionResolved, reasons=st.frozensets(st.sampled_from(Attention)), by=texts, note=texts
    ),
)


@settings(
    max_examples=60,
    deadline=None,
    # Each example opens its stores anew, and has a payment of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    snapshots,
    st.integers(1, 4000),
    st.lists(st.tuples(money_back, times), min_size=1, max_size=12),
)
async def test_money_that_goes_back_is_stored_as_it_was_decided(
    open_stores: OpenStores,
    money: Snapshot,
    too_much: int,
    history: list[tuple[Evidence, datetime]],
) -> None:
    async with open_stores() as stores:
        payment = a_new_payment(provider=f"mock-{uuid4()}")
        payment = await stores.payments.insert(payment, CALLER)
        whole = attrs.evolve(money, asset=payment.asset, confirmed=payment.due + too_much)
        payment = await _settle(stores, payment, whole, NOW)
        for evidence, now in history:
            payment = await _settle(stores, payment, _own(evidence, payment), now)
        assert replay(await stores.payments.audit_trail(payment.id)) == document(payment)


async def test_a_report_that_names_our_refund_late_takes_the_reference_from_the_external_one(
    open_stores: OpenStores,
) -> None:
    async with open_stores() as stores:
        payment = await stores.learn(await stores.add(), created())
        payment = await stores.learn(payment, paid(payment))
        refund = Refund(
            id=uuid4(),
            status=RefundStatus.CREATING,
            amount=100,
            idempotency_key=str(uuid4()),
            create_time=NOW,
            update_time=NOW,
            asking=Asking.ASKING,
            ask_deadline=NOW,
        )
        requested = RefundRequested(refund=refund, terms=RefundTerms())
        payment = await _settle(stores, payment, requested, NOW)
        report = RefundSnapshot(
            reference="re_1", state=RefundState.SUCCEEDED, asset="USD", amount=100, time=NOW
        )
        payment = await _settle(stores, payment, report, NOW)

        named = attrs.evolve(report, refund_id=refund.id)
        payment = await _settle(stores, payment, named, NOW)

        assert payment.refunded == 100
        [ours] = [one for one in payment.refunds if not one.external]
        assert (ours.status, ours.provider_reference) == (RefundStatus.SUCCEEDED, "re_1")


async def _settle(stores: Stores, payment: Payment, evidence: Evidence, now: datetime) -> Payment:
    """The payment as it is stored after the evidence, or after a refusal."""
    try:
        decision = decide(payment, evidence, now)
    except PaydError:
        return payment
    if decision is None:
        return payment
    assert await stores.payments.commit(payment, decision, CALLER)
    stored = await stores.newest(decision.payment)
    assert stored == reread(decision.payment)
    return stored


def _own(evidence: Any, payment: Payment) -> Any:
    """The evidence with ids and keys of refunds that no other payment has."""
    match evidence:
        case RefundRequested(refund=refund):
            own_id, key = uuid5(payment.id, str(refund.id)), f"{payment.id} {refund.id}"
            own = attrs.evolve(refund, id=own_id, idempotency_key=key)
            return attrs.evolve(evidence, refund=own)
        case RefundAnswered(answer=RefundSnapshot() as answer):
            evidence = attrs.evolve(evidence, answer=_own(answer, payment))
    refund_id = getattr(evidence, "refund_id", None)
    if refund_id is None:
        return evidence
    return attrs.evolve(evidence, refund_id=uuid5(payment.id, str(refund_id)))
