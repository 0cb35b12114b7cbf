"""Situations that go on after money has gone back: what was sent must not be sent again."""

from typing import Any

from unit.service.situations import (
    customer_pays,
    dispute,
    in_tokens,
    on_a_chain,
    receipt,
    received,
    report,
    situation,
    that_holds,
    until_expired,
)
from unit.service.situations_of_money_back import (
    OPERATOR,
    by_hand_on_a_chain,
    paid,
    with_approval,
)
from unit.service.world import World, capable

from payd.domain.dispute import DisputeStatus
from payd.domain.evidence import Declined
from payd.domain.money import Money
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundSnapshot, RefundState
from payd.ports import RefundReply

EXPIRED_CARD = RefundReply(answer=Declined(code="expired_card", message="The card is expired."))


def that_cannot_refund() -> World:
    """A provider at which payd can refund nothing; late money waits for a person."""
    return World(capable(refunds=None), late_payments_complete=False)


def usd(cents: int) -> Money:
    return Money(currency_code="USD", minor_units=cents)


async def overpaid(world: World, cents: int = 15050) -> Payment:
    """More than the 149.00 USD that were due is final."""
    payment = await world.initiate()
    await customer_pays(world, cents)
    return payment


async def finished(world: World, payment: Payment, **wanted: Any) -> Refund:
    """A refund is requested, and succeeds."""
    refund = await world.refund(payment, **wanted)
    world.clock.move(minutes=3)
    await world.report_refund(world.provider.finish_refund())
    await world.settle_and_publish()
    return refund


async def declined(world: World, payment: Payment, **wanted: Any) -> Refund:
    """A refund is requested, and the provider refuses it."""
    world.provider.refund_replies.append(EXPIRED_CARD)
    refund = await world.refund(payment, **wanted)
    await world.settle_and_publish()
    world.clock.move(minutes=5)
    return refund


async def late(world: World) -> Payment:
    """The money came after the payment had expired, and does not complete it."""
    payment = await until_expired(world, await world.initiate())
    world.clock.move(minutes=5)
    await customer_pays(world)
    return payment


# -- the surplus ---------------------------------------------------------------------------------


@situation()
async def the_surplus_went_back(world: World) -> Payment:
    payment = await overpaid(world)
    await finished(world, payment, amount=usd(150))
    return payment


@situation()
async def the_surplus_is_on_its_way_back(world: World) -> Payment:
    payment = await overpaid(world)
    await world.refund(payment, amount=usd(150))
    return payment


@situation(by_hand_on_a_chain)
async def the_surplus_has_to_be_sent_back_by_a_person(world: World) -> Payment:
    payment = await in_tokens(world)
    world.clock.move(minutes=3)
    await received(world, payment, receipt(world, "0xaa:1", 150_500_000))
    await world.publish_pass()
    await world.refund(payment, amount=usd(150), destination="0x" + "5e" * 20)
    return payment


@situation()
async def a_part_of_the_surplus_went_back(world: World) -> Payment:
    payment = await overpaid(world)
    await finished(world, payment, amount=usd(100))
    return payment


@situation()
async def a_refund_of_the_surplus_failed(world: World) -> Payment:
    payment = await overpaid(world)
    await declined(world, payment, amount=usd(150))
    return payment


@situation()
async def paid_twice_and_the_second_went_back(world: World) -> Payment:
    payment = await overpaid(world, 29800)
    await finished(world, payment, amount=usd(14900))
    return payment


@situation()
async def the_surplus_while_a_dispute_is_open(world: World) -> Payment:
    payment = await overpaid(world)
    await report(world, dispute(world, DisputeStatus.NEEDS_RESPONSE, amount=15050), "evt_d")
    await world.settle_and_publish()
    return payment


@situation(that_cannot_refund)
async def a_surplus_that_payd_cannot_refund(world: World) -> Payment:
    return await overpaid(world)


# -- a refund that failed ------------------------------------------------------------------------


@situation()
async def a_failed_refund_was_made_again(world: World) -> Payment:
    payment = await paid(world)
    await declined(world, payment)
    await finished(world, payment, idempotency_key="refund-2")
    return payment


@situation()
async def a_failed_refund_is_on_its_way_again(world: World) -> Payment:
    payment = await paid(world)
    await declined(world, payment)
    await world.refund(payment, idempotency_key="refund-2")
    return payment


@situation()
async def a_refund_failed_twice(world: World) -> Payment:
    payment = await paid(world)
    await declined(world, payment)
    await declined(world, payment, idempotency_key="refund-2")
    return payment


@situation()
async def a_refund_failed_and_a_dispute_was_lost(world: World) -> Payment:
    payment = await paid(world)
    await declined(world, payment)
    await report(world, dispute(world, DisputeStatus.LOST), "evt_d")
    await world.settle_and_publish()
    return payment


@situation()
async def a_refund_failed_and_a_small_dispute_was_lost(world: World) -> Payment:
    payment = await paid(world)
    await declined(world, payment, amount=usd(4900))
    await report(world, dispute(world, DisputeStatus.LOST, amount=100), "evt_d")
    await world.settle_and_publish()
    return payment


@situation()
async def a_refund_failed_and_a_dispute_is_open(world: World) -> Payment:
    payment = await paid(world)
    await declined(world, payment)
    await report(world, dispute(world, DisputeStatus.UNDER_REVIEW), "evt_d")
    await world.settle_and_publish()
    return payment


@situation(with_approval)
async def a_refund_waits_for_approval_while_a_dispute_is_open(world: World) -> Payment:
    payment = await paid(world)
    await world.refund(payment, amount=usd(14900))
    await report(world, dispute(world, DisputeStatus.NEEDS_RESPONSE), "evt_d")
    await world.settle_and_publish()
    return payment


@situation(by_hand_on_a_chain)
async def a_transfer_that_was_made_without_its_memo(world: World) -> Payment:
    payment = await in_tokens(world)
    await received(world, payment, receipt(world, "0xaa:1", 149_000_000))
    await world.refund(payment, amount=usd(14900), destination="0x" + "5e" * 20)
    other = RefundSnapshot(
        reference="0xbb:1",
        state=RefundState.SUCCEEDED,
        asset=payment.asset,
        amount=149_000_000,
        time=world.clock.now(),
    )
    await world.report_refund(other)
    await world.settle_and_publish()
    return payment


@situation(with_approval)
async def a_withdrawn_refund_of_a_surplus(world: World) -> Payment:
    payment = await overpaid(world)
    refund = await world.refund(payment, amount=usd(150))
    world.clock.move(minutes=20)
    await world.cancels_refund.cancel(refund.id, "asked for twice", OPERATOR)
    return payment


# -- a closed payment ----------------------------------------------------------------------------


@situation(that_holds)
async def late_money_went_back(world: World) -> Payment:
    payment = await late(world)
    await finished(world, payment, amount=usd(14900))
    return payment


@situation(that_holds)
async def late_money_is_on_its_way_back(world: World) -> Payment:
    payment = await late(world)
    await world.refund(payment, amount=usd(14900))
    return payment


@situation(that_cannot_refund)
async def late_money_that_payd_cannot_refund(world: World) -> Payment:
    return await late(world)


@situation(that_holds)
async def late_money_is_disputed(world: World) -> Payment:
    payment = await late(world)
    await report(world, dispute(world, DisputeStatus.NEEDS_RESPONSE), "evt_d")
    await world.settle_and_publish()
    return payment


@situation(that_holds)
async def late_money_was_lost_in_a_dispute(world: World) -> Payment:
    payment = await late(world)
    await report(world, dispute(world, DisputeStatus.LOST), "evt_d")
    await world.settle_and_publish()
    return payment


# -- money in another asset, and payments in tokens that nobody paid -------------------------------


@situation()
async def a_refund_in_another_currency(world: World) -> Payment:
    payment = await paid(world)
    elsewhere = RefundSnapshot(
        reference="re_9",
        state=RefundState.SUCCEEDED,
        asset="EUR",
        amount=100,
        time=world.clock.now(),
    )
    await world.report_refund(elsewhere)
    await world.settle_and_publish()
    return payment


@situation(on_a_chain)
async def tokens_that_nobody_sent(world: World) -> Payment:
    return await until_expired(world, await in_tokens(world))
