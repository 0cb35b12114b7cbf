"""SyncPayment: the provider is asked now, but not more often than once in a few seconds."""

from uuid import UUID

import attrs
import pytest
from unit.service.fakes import UNANSWERED
from unit.service.world import World

from payd.domain.errors import PaymentNotFound, ProviderUnavailable
from payd.domain.evidence import ProviderStatus
from payd.domain.payment import Origin, Payment, Status
from payd.domain.refund import RefundState, RefundStatus

OPERATOR = Origin(actor="operator:ops/ada", certificate="ops")


async def sync(world: World, payment: Payment) -> Payment:
    """SyncPayment, by an operator."""
    return await world.syncs.sync(payment.id, OPERATOR)


async def test_money_whose_report_was_lost_completes_the_payment(world: World) -> None:
    payment = await world.initiate()
    world.provider.object.pay()
    assert (await sync(world, payment)).status is Status.COMPLETED
    [*_, last] = await world.store.audit_trail(payment.id)
    assert (last.actor, last.certificate) == ("operator:ops/ada", "ops")


async def test_a_lost_answer_is_found(world: World) -> None:
    payment = await world.payment_in(Status.CREATING)
    world.provider.make(world.provider.operations[0])
    assert (await sync(world, payment)).status is Status.PENDING


async def test_a_second_call_at_once_asks_nothing(world: World) -> None:
    payment = await world.initiate()
    world.provider.calls.clear()
    await sync(world, payment)
    world.provider.object.pay()
    assert (await sync(world, payment)).status is Status.PENDING
    assert world.provider.calls == ["fetch"]
    world.clock.move(seconds=5)
    assert (await sync(world, payment)).status is Status.COMPLETED


async def test_another_daemon_asks_nothing_either(world: World) -> None:
    payment = await world.initiate()
    world.provider.calls.clear()
    another = attrs.evolve(world.syncs)
    await sync(world, payment)
    await another.sync(payment.id, OPERATOR)
    assert world.provider.calls == ["fetch"]
    world.clock.move(seconds=5)
    await another.sync(payment.id, OPERATOR)
    assert world.provider.calls == ["fetch", "fetch"]


async def test_another_payment_is_asked_about_at_once(world: World) -> None:
    first = await world.initiate()
    second = await world.initiate(idempotency_key="key-2")
    await sync(world, first)
    world.provider.calls.clear()
    await sync(world, second)
    assert world.provider.calls == ["fetch"]


async def test_an_overdue_payment_is_closed_at_the_provider_and_expires(world: World) -> None:
    payment = await world.initiate()
    world.clock.move(minutes=31)
    assert (await sync(world, payment)).status is Status.EXPIRED
    assert world.provider.object.status is ProviderStatus.CANCELED


async def test_a_canceling_payment_is_closed(world: World) -> None:
    payment = await world.payment_in(Status.CANCELING)
    assert (await sync(world, payment)).status is Status.CANCELED


async def test_late_money_on_a_closed_payment_is_found(world: World) -> None:
    payment = await world.payment_in(Status.EXPIRED)
    world.provider.object.pay()
    after = await sync(world, payment)
    assert (after.status, after.late) == (Status.COMPLETED, True)
    [*_, last] = await world.store.audit_trail(payment.id)
    assert (last.actor, last.certificate) == ("operator:ops/ada", "ops")


async def test_a_provider_that_does_not_answer_leaves_the_payment_as_it_stands(
    world: World,
) -> None:
    payment = await world.initiate()
    world.provider.always = UNANSWERED
    assert await sync(world, payment) == await world.newest(payment) == payment


async def test_the_next_status_check_stays_where_recovery_has_put_it(world: World) -> None:
    payment = await world.initiate()
    world.provider.always = UNANSWERED
    due = (await world.newest(payment)).next_check_time
    for _ in range(3):
        await sync(world, payment)
        world.clock.move(seconds=6)
    assert (await world.newest(payment)).next_check_time == due


async def test_refunds_on_their_way_are_asked_about(world: World) -> None:
    refund = await world.refund_in(RefundStatus.PENDING)
    world.provider.finish_refund(RefundState.SUCCEEDED)
    [payment] = world.store.all()
    after = await sync(world, payment)
    assert [one.status for one in after.refunds] == [RefundStatus.SUCCEEDED]
    [*_, last] = await world.store.audit_trail(payment.id)
    assert (last.event_type, last.actor) == ("refund_succeeded", "operator:ops/ada")
    world.clock.move(seconds=6)
    world.provider.fetched_refunds.clear()
    await sync(world, payment)
    assert not world.provider.fetched_refunds
    assert refund.status is RefundStatus.PENDING


async def test_an_unknown_payment_is_refused(world: World) -> None:
    with pytest.raises(PaymentNotFound):
        await world.syncs.sync(UUID(int=99), OPERATOR)


async def test_a_provider_that_this_daemon_does_not_run_is_named(world: World) -> None:
    payment = await world.initiate()
    world.providers.disabled = True
    with pytest.raises(ProviderUnavailable, match="'mock' is not enabled on this daemon"):
        await sync(world, payment)
