"""Situations of payments that are paid or closed, each reached by real calls and reports."""

from contextlib import suppress

import attrs
from unit.service.situations import (
    customer_pays,
    in_tokens,
    money_that_names_no_payment,
    on_a_chain,
    partly_paid_in_time,
    receipt,
    received,
    report,
    situation,
    that_holds,
    until_expired,
)
from unit.service.world import World

from payd.domain.errors import PaymentNotCancelable
from payd.domain.evidence import ProviderStatus, ReceiptState
from payd.domain.payment import Origin, Payment, Status

# -- paid ----------------------------------------------------------------------------------------


@situation()
async def paid_in_time(world: World) -> Payment:
    payment = await world.initiate()
    await customer_pays(world)
    return payment


@situation(on_a_chain)
async def paid_in_two_transfers(world: World) -> Payment:
    payment = await in_tokens(world)
    for number, amount in enumerate((50_000_000, 99_000_000)):
        world.clock.move(minutes=3)
        await received(world, payment, receipt(world, f"0xa{number}:1", amount))
    await world.publish_pass()
    return payment


@situation()
async def paid_while_nats_is_away(world: World) -> Payment:
    payment = await world.initiate()
    world.publisher.is_away = True
    await customer_pays(world)
    return payment


@situation()
async def paid_late_within_the_window(world: World) -> Payment:
    payment = await until_expired(world, await world.initiate())
    await customer_pays(world, after=60)
    return payment


@situation(on_a_chain)
async def a_transfer_that_was_overpaid(world: World) -> Payment:
    payment = await in_tokens(world)
    world.clock.move(minutes=3)
    await received(world, payment, receipt(world, "0xaa:1", 150_500_000))
    await world.publish_pass()
    return payment


@situation(on_a_chain)
async def a_transfer_that_was_made_twice(world: World) -> Payment:
    payment = await in_tokens(world)
    for name in ("0xaa:1", "0xab:1"):
        world.clock.move(minutes=1)
        await received(world, payment, receipt(world, name, 149_000_000))
    await world.publish_pass()
    return payment


@situation(on_a_chain)
async def a_receipt_that_an_operator_attached(world: World) -> Payment:
    payment = await money_that_names_no_payment(world)
    world.clock.move(hours=1)
    operator = Origin(actor="operator:ada")
    return await world.attach.attach("0xbb:1", payment.id, operator, "memo was missing")


# -- closed --------------------------------------------------------------------------------------


@situation()
async def canceling_while_the_provider_is_away(world: World) -> Payment:
    return await world.payment_in(Status.CANCELING)


@situation()
async def canceling_before_the_outcome_is_known(world: World) -> Payment:
    payment = await world.payment_in(Status.CREATING)
    return await world.cancel(payment, "changed my mind")


@situation()
async def canceled(world: World) -> Payment:
    payment = await world.initiate()
    world.clock.move(minutes=1)
    payment = await world.cancel(payment, "changed my mind")
    await world.publish_pass()
    return payment


@situation(on_a_chain)
async def canceled_on_a_chain_that_cannot_close(world: World) -> Payment:
    payment = await in_tokens(world)
    return await world.cancel(payment)


@situation(on_a_chain)
async def paid_after_it_was_canceled(world: World) -> Payment:
    payment = await canceled_on_a_chain_that_cannot_close(world)
    world.clock.move(minutes=9)
    await received(world, payment, receipt(world, "0xaa:1", 149_000_000))
    await world.settle_and_publish()
    return payment


@situation()
async def canceling_came_too_late(world: World) -> Payment:
    payment = await world.initiate()
    world.provider.object.pay_pending()
    with suppress(PaymentNotCancelable):
        await world.cancel(payment)
    return payment


@situation()
async def expired(world: World) -> Payment:
    return await until_expired(world, await world.initiate())


@situation()
async def expired_at_the_provider(world: World) -> Payment:
    payment = await world.initiate()
    world.clock.move(minutes=29)
    world.provider.object.status = ProviderStatus.EXPIRED
    await world.report(world.provider.object)
    await world.intake_pass()
    await world.publish_pass()
    return payment


@situation(on_a_chain)
async def expired_with_a_part_of_the_money(world: World) -> Payment:
    payment = await partly_paid_in_time(world)
    return await until_expired(world, payment)


@situation(that_holds)
async def paid_late_where_late_money_waits_for_a_person(world: World) -> Payment:
    payment = await until_expired(world, await world.initiate())
    await customer_pays(world, after=60)
    return payment


@situation(on_a_chain)
async def paid_after_the_late_window(world: World) -> Payment:
    payment = await until_expired(world, await in_tokens(world))
    world.clock.move(hours=30)
    await received(world, payment, receipt(world, "0xaa:1", 149_000_000))
    await world.settle_and_publish()
    return payment


@situation()
async def failed_because_the_provider_closed_it(world: World) -> Payment:
    payment = await world.initiate()
    world.provider.object.status = ProviderStatus.CANCELED
    await world.report(world.provider.object)
    await world.intake_pass()
    await world.publish_pass()
    return payment


@situation()
async def failed_because_the_bank_declined(world: World) -> Payment:
    payment = await world.initiate()
    shown = world.provider.snapshot(world.provider.object)
    refused = attrs.evolve(
        shown,
        status=ProviderStatus.DECLINED,
        failure_code="insufficient_funds",
        failure_message="The card has insufficient funds.",
    )
    await report(world, refused, "evt_1")
    await world.publish_pass()
    return payment


@situation()
async def expired_long_ago(world: World) -> Payment:
    payment = await until_expired(world, await world.initiate())
    world.clock.move(days=3)
    return payment


@situation(on_a_chain)
async def a_transfer_was_seen_after_it_was_canceled(world: World) -> Payment:
    payment = await canceled_on_a_chain_that_cannot_close(world)
    world.clock.move(minutes=9)
    seen = receipt(world, "0xaa:1", 149_000_000, state=ReceiptState.SEEN)
    await received(world, payment, seen)
    await world.settle_and_publish()
    return payment


@situation(on_a_chain)
async def the_rest_was_seen_after_it_had_expired(world: World) -> Payment:
    payment = await until_expired(world, await partly_paid_in_time(world))
    rest = receipt(world, "0xaa:2", 99_000_000, state=ReceiptState.SEEN)
    await received(world, payment, rest)
    await world.publish_pass()
    return payment
