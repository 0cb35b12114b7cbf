"""Situations with refunds and disputes, each reached by real calls, reports and status checks."""

from typing import Any

import attrs
from unit.service.fakes import UNANSWERED
from unit.service.situations import (
    CHAIN,
    customer_pays,
    dispute,
    in_tokens,
    receipt,
    received,
    report,
    situation,
    that_cannot_look_up,
    the_outcome_is_unknown_past_the_expiry,
)
from unit.service.world import CALLER, World, capable, refunding

from payd.domain.attention import Attention
from payd.domain.dispute import DisputeStatus
from payd.domain.evidence import Declined, NotAttempted, OutcomeUnknown, Unanswered
from payd.domain.payment import Origin, Payment, Status
from payd.domain.refund import Refund, RefundSnapshot, RefundState
from payd.domain.request import ResolveRequest, SettleRequest
from payd.plugins.capabilities import Lookup, Sends
from payd.ports import RefundReply

OPERATOR = Origin(actor="operator:ops/ada", certificate="ops", request_id="req-9")


def by_hand() -> World:
    """A rail on which a person has to send refunds."""
    return World(capable(refunds=refunding(sends=Sends.INSTRUCTIONS)))


def by_hand_on_a_chain() -> World:
    """A chain, on which a person has to send refunds."""
    return World(attrs.evolve(CHAIN, refunds=refunding(sends=Sends.INSTRUCTIONS)))


def with_approval() -> World:
    """From 1.00 USD on a second person has to approve."""
    return World(approval_from=100)


def that_forgets_refunds() -> World:
    """Nothing tells whether a refund was sent."""
    return World(capable(refunds=refunding(lookup=Lookup.NONE)))


async def paid(world: World) -> Payment:
    """A payment that is complete."""
    payment = await world.initiate()
    await customer_pays(world)
    world.clock.move(hours=1)
    return payment


async def refunded(world: World, **overrides: Any) -> tuple[Payment, Refund]:
    """A refund of a part, for a reason."""
    payment = await paid(world)
    wanted: dict[str, Any] = {"reason": "node was down", "origin": CALLER}
    return payment, await world.refund(payment, **(wanted | overrides))


@situation()
async def a_refund_is_on_its_way(world: World) -> Payment:
    payment, _ = await refunded(world)
    return payment


@situation()
async def a_refund_succeeded(world: World) -> Payment:
    payment, _ = await refunded(world)
    world.clock.move(minutes=3)
    await world.report_refund(world.provider.finish_refund())
    await world.publish_pass()
    return payment


@situation()
async def a_refund_failed_after_it_had_succeeded(world: World) -> Payment:
    payment, _ = await refunded(world)
    await world.report_refund(world.provider.finish_refund())
    world.clock.move(hours=50)
    back = attrs.evolve(
        world.provider.finish_refund(RefundState.FAILED),
        failure_code="expired_or_canceled_card",
        failure_message="The card is expired.",
    )
    await world.report_refund(back)
    await world.settle_and_publish()
    return payment


@situation()
async def a_refund_was_declined(world: World) -> Payment:
    payment = await paid(world)
    refusal = Declined(code="charge_too_old", message="The charge is too old to refund.")
    world.provider.refund_replies.append(RefundReply(answer=refusal))
    await world.refund(payment)
    await world.settle_and_publish()
    return payment


@situation()
async def a_refund_was_canceled_at_the_provider(world: World) -> Payment:
    payment, _ = await refunded(world)
    await world.report_refund(world.provider.finish_refund(RefundState.CANCELED))
    await world.publish_pass()
    return payment


@situation(that_forgets_refunds)
async def a_refund_without_an_answer(world: World) -> Payment:
    payment = await paid(world)
    world.provider.refund_replies.append(RefundReply(answer=OutcomeUnknown()))
    await world.refund(payment)
    return payment


@situation(that_forgets_refunds)
async def a_refund_that_is_stuck(world: World) -> Payment:
    payment = await paid(world)
    silent = [RefundReply(answer=OutcomeUnknown()), *[RefundReply(answer=Unanswered())] * 30]
    world.provider.refund_replies += silent
    refund = await world.refund(payment)
    world.clock.move(hours=25)
    for _ in range(3):
        refund = await world.check_refund(refund)
    await world.publish_pass()
    return payment


@situation(that_forgets_refunds)
async def a_refund_that_an_operator_settled(world: World) -> Payment:
    payment = await a_refund_that_is_stuck(world)
    [refund] = (await world.newest(payment)).refunds
    wanted = SettleRequest(
        refund_id=refund.id, has_succeeded=True, reference="re_77", note="seen in the dashboard"
    )
    await world.settles_refund.settle_refund(wanted, OPERATOR)
    await world.settle_and_publish()
    return payment


@situation(with_approval)
async def a_refund_waits_for_approval(world: World) -> Payment:
    payment, _ = await refunded(world)
    return payment


@situation(with_approval)
async def a_refund_was_approved(world: World) -> Payment:
    payment, refund = await refunded(world)
    world.clock.move(minutes=20)
    await world.approves.approve(refund.id, "checked with the customer", OPERATOR)
    return payment


@situation(with_approval)
async def a_refund_was_withdrawn(world: World) -> Payment:
    payment, refund = await refunded(world)
    world.clock.move(minutes=20)
    await world.cancels_refund.cancel(refund.id, "asked for twice", OPERATOR)
    return payment


@situation(by_hand)
async def a_refund_has_to_be_sent_by_a_person(world: World) -> Payment:
    payment, _ = await refunded(world, destination="0x" + "5e" * 20)
    return payment


@situation(by_hand_on_a_chain)
async def tokens_have_to_be_sent_back_by_a_person(world: World) -> Payment:
    payment = await in_tokens(world)
    await received(world, payment, receipt(world, "0xaa:1", 149_000_000))
    await world.refund(payment, destination="0x" + "5e" * 20, origin=CALLER)
    await world.publish_pass()
    return payment


@situation()
async def refunded_at_the_provider(world: World) -> Payment:
    payment = await paid(world)
    outside = RefundSnapshot(
        reference="re_9",
        state=RefundState.SUCCEEDED,
        asset="USD",
        amount=4900,
        time=world.clock.now(),
    )
    await world.report_refund(outside)
    await world.settle_and_publish()
    return payment


@situation()
async def a_refund_at_the_provider_that_failed(world: World) -> Payment:
    payment = await refunded_at_the_provider(world)
    [known] = (await world.newest(payment)).refunds
    world.clock.move(hours=1)
    failed = RefundSnapshot(
        reference="re_9",
        state=RefundState.FAILED,
        asset="USD",
        amount=known.amount,
        time=known.create_time,
    )
    await world.report_refund(failed)
    await world.settle_and_publish()
    return payment


@situation()
async def more_was_taken_back_than_paid(world: World) -> Payment:
    payment = await a_refund_succeeded(world)
    await report(world, dispute(world, DisputeStatus.LOST), "evt_lost")
    await world.settle_and_publish()
    return payment


@situation()
async def the_bank_asks_about_a_payment(world: World) -> Payment:
    payment = await paid(world)
    await report(world, dispute(world, DisputeStatus.INQUIRY), "evt_1")
    return payment


@situation()
async def a_dispute_has_to_be_answered(world: World) -> Payment:
    payment = await paid(world)
    await report(world, dispute(world, DisputeStatus.NEEDS_RESPONSE), "evt_1")
    await world.settle_and_publish()
    return payment


@situation()
async def a_dispute_is_under_review(world: World) -> Payment:
    payment = await a_dispute_has_to_be_answered(world)
    world.clock.move(hours=20)
    opened = (await world.newest(payment)).disputes[0].open_time
    now_stands = dispute(world, DisputeStatus.UNDER_REVIEW, open_time=opened)
    await report(world, now_stands, "evt_2")
    return payment


@situation()
async def a_dispute_was_won(world: World) -> Payment:
    payment = await a_dispute_is_under_review(world)
    world.clock.move(days=30)
    await report(world, dispute(world, DisputeStatus.WON), "evt_3")
    await world.settle_and_publish()
    return payment


@situation()
async def a_dispute_was_lost(world: World) -> Payment:
    payment = await a_dispute_is_under_review(world)
    world.clock.move(days=30)
    await report(world, dispute(world, DisputeStatus.LOST), "evt_3")
    await world.settle_and_publish()
    return payment


@situation()
async def attention_was_resolved(world: World) -> Payment:
    payment = await refunded_at_the_provider(world)
    world.clock.move(hours=3)
    wanted = ResolveRequest(
        payment_id=payment.id,
        reasons=frozenset({Attention.REFUNDED_EXTERNALLY}),
        note="support did it by hand",
    )
    await world.resolves.resolve(wanted, OPERATOR)
    return payment


@situation(that_cannot_look_up)
async def an_unknown_outcome_was_resolved(world: World) -> Payment:
    payment = await the_outcome_is_unknown_past_the_expiry(world)
    wanted = ResolveRequest(
        payment_id=payment.id,
        reasons=frozenset({Attention.OUTCOME_UNKNOWN}),
        note="it is not in the dashboard",
    )
    await world.resolves.resolve(wanted, OPERATOR)
    return payment


@situation()
async def a_payment_that_an_operator_synced(world: World) -> Payment:
    payment = await world.initiate()
    world.clock.move(minutes=1)
    world.provider.object.pay()
    await world.syncs.sync(payment.id, OPERATOR)
    await world.publish_pass()
    return payment


@situation()
async def canceled_after_all_checks_failed(world: World) -> Payment:
    payment = await world.payment_in(Status.CANCELING)
    world.provider.replies["close"] += [UNANSWERED] * 2
    while payment.status.is_open:
        payment = await world.check_again(payment)
    await world.publish_pass()
    return payment


@situation()
async def an_inquiry_was_settled(world: World) -> Payment:
    payment = await the_bank_asks_about_a_payment(world)
    world.clock.move(hours=20)
    await report(world, dispute(world, DisputeStatus.INQUIRY_CLOSED), "evt_2")
    return payment


@situation()
async def a_dispute_was_withdrawn(world: World) -> Payment:
    payment = await a_dispute_has_to_be_answered(world)
    world.clock.move(hours=20)
    more = dispute(world, DisputeStatus.NEEDS_RESPONSE, reason="general")
    await report(world, more, "evt_2")
    await report(world, dispute(world, DisputeStatus.WITHDRAWN), "evt_3")
    await world.settle_and_publish()
    return payment


@situation(that_forgets_refunds)
async def a_refund_that_an_operator_settled_as_never_sent(world: World) -> Payment:
    payment = await a_refund_that_is_stuck(world)
    [refund] = (await world.newest(payment)).refunds
    wanted = SettleRequest(refund_id=refund.id, has_succeeded=False, note="not in the dashboard")
    await world.settles_refund.settle_refund(wanted, OPERATOR)
    await world.settle_and_publish()
    return payment


@situation()
async def a_refund_that_did_not_reach_the_provider(world: World) -> Payment:
    payment = await paid(world)
    world.provider.refund_replies.append(RefundReply(answer=NotAttempted()))
    await world.refund(payment)
    return payment


@situation(that_forgets_refunds)
async def a_refund_that_is_sent_again(world: World) -> Payment:
    payment = await paid(world)
    world.provider.refund_replies += [RefundReply(answer=OutcomeUnknown())] * 2
    refund = await world.refund(payment)
    await world.check_refund(refund)
    return payment


@situation(with_approval)
async def a_refund_that_was_stopped_because_all_was_taken_back(world: World) -> Payment:
    payment, _ = await refunded(world)
    await report(world, dispute(world, DisputeStatus.LOST), "evt_lost")
    await world.settle_and_publish()
    return payment


@situation(that_forgets_refunds)
async def a_refund_at_the_provider_that_is_our_own(world: World) -> Payment:
    payment = await paid(world)
    world.provider.refund_replies.append(RefundReply(answer=OutcomeUnknown()))
    refund = await world.refund(payment)
    outside = RefundSnapshot(
        reference="re_9",
        state=RefundState.PENDING,
        asset="USD",
        amount=refund.amount,
        time=world.clock.now(),
    )
    await world.report_refund(outside)
    world.clock.move(minutes=1)
    await world.report_refund(attrs.evolve(outside, refund_id=refund.id), "evt_2")
    await world.settle_and_publish()
    return payment


@situation()
async def a_refund_at_the_provider_with_two_amounts(world: World) -> Payment:
    payment = await refunded_at_the_provider(world)
    [known] = (await world.newest(payment)).refunds
    more = RefundSnapshot(
        reference="re_9",
        state=RefundState.SUCCEEDED,
        asset="USD",
        amount=5900,
        time=known.create_time,
    )
    await world.report_refund(more, "evt_2")
    await world.settle_and_publish()
    return payment
