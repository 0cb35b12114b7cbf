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
    unknown = UUID(int=404)
    with pytest.raises(PaymentNotFound, match=r"^no payment has this id$") as refused:
        await showing(world)[0].get(unknown)
    assert refused.value.metadata == {"payment_id": str(unknown)}


async def test_the_first_unit_is_shown_and_of_many_transfers_the_newest_twenty() -> None:
    world = on_a_chain()
    payment = await in_tokens(world)
    await received(world, payment, receipt(world, "r00", 1))
    show, _ = showing(world)
    assert [one.id for one in (await show.get(payment.id)).receipts] == ["r00"]
    for number in range(1, 21):
        await received(world, payment, receipt(world, f"r{number:02}", 1))
    shown = await show.get(payment.id)
    assert [one.id for one in shown.receipts] == [f"r{number:02}" for number in range(1, 21)]


async def test_a_newer_version_is_named(world: World) -> None:
    payment = await world.initiate()
    newer = attrs.evolve(payment, version=payment.version + 2)
    show, changes = showing(world, newer)
    assert await show.newer(payment.id, payment.version, 25.0) == newer.version
    assert (changes.watched_ids, changes.watched_from) == ([payment.id], [payment.version])
    assert not changes.is_watched


async def test_without_a_newer_version_the_wait_ends(world: World) -> None:
    payment = await world.initiate()
    show, changes = showing(world)
    assert await show.newer(payment.id, payment.version, 25.0) is None
    assert changes.waits_s == [25.0]
