"""Callers, customers, reports and recovery at once: one payment, one object, one end."""

import trio
from hypothesis import given
from hypothesis import strategies as st
from unit.service.world import World, capable

from payd.domain.attention import Attention
from payd.domain.errors import PaymentNotCancelable, PaymentNotFound
from payd.domain.evidence import ProviderStatus
from payd.domain.payment import Payment, Status
from payd.plugins.capabilities import Cancel as Closing
from payd.plugins.capabilities import Lookup

ACTORS = ("initiate", "cancel", "pay", "report", "intake", "recover")
moves = st.tuples(st.sampled_from(ACTORS), st.integers(0, 20))


@given(
    st.sampled_from(Lookup),
    st.sampled_from(Closing),
    st.integers(1, 12),
    st.lists(moves, max_size=12),
)
async def test_whatever_happens_at_once_the_payment_has_one_end(
    lookup: Lookup, closing: Closing, transit: int, others: list[tuple[str, int]]
) -> None:
    world = World(capable(lookup=lookup, cancel=closing))
    world.provider.transit = transit
    async with trio.open_nursery() as nursery:
        for name, delay in [("initiate", 0), *others]:
            nursery.start_soon(_act, world, name, delay)

    for known in world.provider.remote:
        await world.report(known)
    payment = await world.work_until_done(await world.query.get_by_key("key-1"))

    await _check(world, payment)


async def _check(world: World, payment: Payment) -> None:
    assert len(world.provider.remote) <= 1
    if any(known.status is ProviderStatus.PAID for known in world.provider.remote):
        late = Attention.PAID_AFTER_CLOSE in payment.attention
        assert payment.confirmed == payment.due
        assert late or payment.status is Status.COMPLETED
    else:
        assert payment.status in (Status.CANCELED, Status.EXPIRED)
    if world.provider.capabilities.cancel is Closing.CLOSES:
        assert not world.provider.payable
        assert Attention.PAID_AFTER_CLOSE not in payment.attention
    events = await world.events()
    assert events.count("payment.completed") == (payment.status is Status.COMPLETED)
    assert len(events) == len(set(events))
    versions = [row.version for row in await world.store.audit_trail(payment.id)]
    assert versions == list(range(1, payment.version + 1))


async def _act(world: World, name: str, delay: int) -> None:
    for _ in range(delay):
        await trio.lowlevel.checkpoint()
    match name:
        case "initiate":
            await world.initiate(wait_s=0)
        case "cancel":
            await _cancel(world)
        case "pay":
            for known in world.provider.payable:
                known.pay()
        case "report":
            for known in world.provider.remote:
                await world.report(known)
        case "intake":
            await world.intake_pass()
        case "recover":
            world.clock.move(seconds=35)
            await world.recovery_pass()


async def _cancel(world: World) -> None:
    try:
        payment = await world.query.get_by_key("key-1")
        assert (await world.cancel(payment)).status in (Status.CANCELING, Status.CANCELED)
    except PaymentNotFound:
        return
    except PaymentNotCancelable:
        settled = (await world.query.get_by_key("key-1")).status
        assert settled in (Status.PROCESSING, Status.COMPLETED, Status.EXPIRED)
