"""What a payment's page shows: the payment, the money that arrived, and when it changes."""

from uuid import UUID

import attrs
import pytest
from unit.service.fakes import ScriptedChanges
from unit.service.situations import in_tokens, on_a_chain, receipt, received
from unit.service.world import World

from payd.domain.errors import PaymentNotFound
from payd.domain.payment import Payment
from payd.service.show_payment import ShowPayment


def showing(world: World, *versions: Payment) -> tuple[ShowPayment, ScriptedChanges]:
    changes = ScriptedChanges(world.clock, list(versions))
    show = ShowPayment(store=world.store, receipts=world.store.ledger, changes=changes)
    return show, changes


async def test_a_payment_without_money_has_no_receipts(world: World) -> None:
    payment = await world.initiate()
    shown = await showing(world)[0].get(payment.id)
    assert (shown.payment, shown.receipts) == (payment, ())


async def test_the_money_that_arrived_is_shown() -> None:
    world = on_a_chain()
    payment = await in_tokens(world)
    first, second = (receipt(world, name, 70_000_000) for name in ("0xaa:1", "0xbb:1"))
    for one in (first, second):
        await received(world, payment, one)
    shown = await showing(world)[0].get(payment.id)
    assert [one.id for one in shown.receipts] == [first.id, second.id]
    assert shown.payment.received == 140_000_000


async def test_an_unknown_payment_is_not_shown(world: World) -> None:
    with pytest.raises(PaymentNotFound):
        await showing(world)[0].get(UUID(int=404))


async def test_a_newer_version_is_named(world: World) -> None:
    payment = await world.initiate()
    newer = attrs.evolve(payment, version=payment.version + 2)
    show, changes = showing(world, newer)
    assert await show.newer(payment.id, payment.version, 25.0) == newer.version
    assert changes.watched_from == [payment.version]
    assert not changes.is_watched


async def test_without_a_newer_version_the_wait_ends(world: World) -> None:
    payment = await world.initiate()
    show, changes = showing(world)
    assert await show.newer(payment.id, payment.version, 25.0) is None
    assert changes.waits_s == [25.0]
