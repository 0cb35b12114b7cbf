"""Watching a payment: its state at once, then newer versions, and the end."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import attrs
import pytest
from unit.service.fakes import ScriptedChanges
from unit.service.world import World

from payd.domain.errors import PaymentNotFound
from payd.domain.payment import Payment, Status
from payd.domain.request import WatchRequest
from payd.service.watch import Watch


def in_version(payment: Payment, version: int, status: Status = Status.PENDING) -> Payment:
    return attrs.evolve(payment, version=version, status=status)


def versions_of(payments: list[Payment]) -> list[int]:
    return [payment.version for payment in payments]


async def everything(versions: AsyncIterator[Payment]) -> list[Payment]:
    return [payment async for payment in versions]


def a_watch(world: World, *versions: Payment) -> tuple[Watch, ScriptedChanges]:
    changes = ScriptedChanges(world.clock, list(versions))
    return Watch(store=world.store, changes=changes, clock=world.clock), changes


async def test_the_state_comes_at_once_then_newer_versions_until_a_final_one(world: World) -> None:
    payment = await world.initiate()
    paid = in_version(payment, payment.version + 3, Status.COMPLETED)
    watch, changes = a_watch(world, in_version(payment, payment.version + 1), paid)

    seen = await everything(watch.watch(WatchRequest(payment_id=payment.id)))

    assert versions_of(seen) == [payment.version + step for step in (0, 1, 3)]
    assert changes.watched_ids == [payment.id]
    assert changes.watched_from == [payment.version]
    assert not changes.is_watched


async def test_a_version_that_the_caller_knows_is_not_sent_again(world: World) -> None:
    payment = await world.initiate()
    newer = in_version(payment, payment.version + 1, Status.CANCELED)
    watch, changes = a_watch(world, newer)

    wanted = WatchRequest(payment_id=payment.id, after_version=payment.version)

    assert versions_of(await everything(watch.watch(wanted))) == [newer.version]
    assert changes.watched_from == [payment.version]


async def test_a_caller_that_knows_the_final_version_gets_the_end_at_once(world: World) -> None:
    payment = await world.initiate()
    await world.pay()
    await world.intake_pass()
    paid = await world.newest(payment)
    watch, changes = a_watch(world)

    wanted = WatchRequest(payment_id=payment.id, after_version=paid.version)

    assert await everything(watch.watch(wanted)) == []
    assert changes.waits_s == []


async def test_with_linger_it_goes_on_after_the_first_final_status(world: World) -> None:
    payment = await world.initiate()
    late = in_version(payment, payment.version + 2, Status.COMPLETED)
    watch, changes = a_watch(world, in_version(payment, payment.version + 1, Status.EXPIRED), late)

    wanted = WatchRequest(payment_id=payment.id, linger=timedelta(seconds=60))
    seen = await everything(watch.watch(wanted))

    assert [one.status for one in seen[1:]] == [Status.EXPIRED, Status.COMPLETED]
    assert changes.waits_s == [None, 60.0, 60.0]


async def test_only_what_is_newer_than_the_callers_version_is_sent(world: World) -> None:
    """A caller may know more than the database of this daemon has yet."""
    payment = await world.initiate()
    known = payment.version + 5
    newer = in_version(payment, known + 1, Status.CANCELED)
    watch, changes = a_watch(world, newer)

    wanted = WatchRequest(payment_id=payment.id, after_version=known)

    assert versions_of(await everything(watch.watch(wanted))) == [newer.version]
    assert changes.watched_from == [known]


async def test_the_last_second_of_the_linger_is_waited_for(world: World) -> None:
    payment = await world.initiate()
    watch, changes = a_watch(world, in_version(payment, payment.version + 1, Status.EXPIRED))

    wanted = WatchRequest(payment_id=payment.id, linger=timedelta(seconds=1))
    await everything(watch.watch(wanted))

    assert changes.waits_s == [None, 1.0]


async def test_an_unknown_payment_is_not_found(world: World) -> None:
    watch, _ = a_watch(world)
    unknown = UUID(int=7)

    with pytest.raises(PaymentNotFound) as caught:
        await everything(watch.watch(WatchRequest(payment_id=unknown)))

    assert caught.value.message == "no payment has this id"
    assert caught.value.metadata == {"payment_id": str(unknown)}
