"""A watch's sink: one daemon leads, its fence goes with what it puts, and a lost lead ends it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
import trio
from support.memory import MemoryLedger
from trio.testing import MockClock
from unit.service.world import World

from payd.adapters import bridge
from payd.daemon.leases import ASK_INTERVAL_S, CHECK_INTERVAL_S, Watches, cursor_reader
from payd.domain.errors import StoreUnavailable
from payd.domain.evidence import Observation, Outflow, Receipt, ReceiptState
from payd.plugins import Sink
from payd.ports import WATCH, HeldLease, Lease, LeaseLost
from payd.providers.watching import LeadLost

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MONEY = Receipt(
    id="tx-1/0", asset="0xabc", amount=7, state=ReceiptState.CONFIRMED, time=NOON, details={}
)
ARRIVED = Observation(id="tx-1/0", reference="", fact=(MONEY,))
LEFT = Outflow(id="tx-2/0", asset="0xabc", amount=3, time=NOON)


@attrs.define
class FailingLeases:
    """Leases whose database the test takes away."""

    ledger: MemoryLedger
    asked: int = 0
    away: bool = False
    held: "FailingLease | None" = None

    async def acquire(self, name: str) -> HeldLease | None:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("PostgreSQL: away", retry_after_s=1.0)
        held = await self.ledger.acquire(name)
        self.held = FailingLease(held) if held else None
        return self.held


@attrs.define
class FailingLease:
    """A lease whose session the test cuts."""

    inner: HeldLease
    cut: bool = False

    @property
    def lease(self) -> Lease:
        return self.inner.lease

    async def check(self) -> None:
        if self.cut:
            raise LeaseLost("the session is gone")
        await self.inner.check()

    async def release(self) -> None:
        await self.inner.release()


@attrs.frozen
class House:
    """Two daemons' worth of one store."""

    world: World
    leases: FailingLeases

    def watches(self, **overrides: Any) -> Watches:
        fields: dict[str, Any] = {
            "provider": "mock",
            "intake": self.world.intake,
            "cursors": self.world.inbox,
            "leases": self.leases,
        }
        return Watches(**(fields | overrides))

    def another_leads(self) -> None:
        """What this daemon does not know yet."""
        self.world.store.ledger.fences[f"{WATCH}:mock"] += 1


@pytest.fixture
async def house() -> AsyncIterator[House]:
    world = World()
    async with bridge.open_loop(lambda message, error: None):
        yield House(world, FailingLeases(world.store.ledger))


@asynccontextmanager
async def led(house: House) -> AsyncIterator[trio.Event]:
    """Another daemon, leading until the event is set."""
    end, leads = trio.Event(), trio.Event()

    async def lead() -> None:
        async with house.watches(leases=house.world.store.ledger).open(alone=True):
            leads.set()
            await end.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lead)
        await leads.wait()
        yield end
        end.set()


async def lead(house: House, watch: Callable[[Sink], Awaitable[None]]) -> None:
    async with house.watches().open(alone=True) as sink:
        await watch(sink)


async def watch_for_ever(sink: Sink) -> None:
    await trio.sleep_forever()


async def test_what_a_watch_puts_is_in_inbox_ledger_and_cursor(
    house: House, autojump_clock: MockClock
) -> None:
    async with house.watches().open(alone=False) as sink:
        assert await sink.cursor() is None
        await sink.put([ARRIVED], outflows=[LEFT], cursor="7")
        assert await sink.cursor() == "7"

    assert house.leases.asked == 0, "what may run anywhere needs no lease"
    book = await house.world.store.ledger.book("mock")
    assert (book.cursor, book.received, book.outflows) == ("7", {"0xabc": 7}, {"0xabc": 3})
    [row] = await house.world.reports.claim_batch()
    assert (row.provider, row.report) == ("mock", ARRIVED)
    assert await cursor_reader(house.world.inbox)("mock") == "7"


async def test_without_a_cursor_the_last_one_stays(house: House, autojump_clock: MockClock) -> None:
    async with house.watches().open(alone=False) as sink:
        await sink.put([], cursor="7")
        await sink.put([ARRIVED])
        assert await sink.cursor() == "7"


async def test_the_second_daemon_gets_its_sink_when_the_first_ends(
    house: House, autojump_clock: MockClock
) -> None:
    async with led(house) as end, trio.open_nursery() as nursery:
        leads = trio.Event()

        async def follow() -> None:
            async with house.watches().open(alone=True) as sink:
                leads.set()
                await sink.put([ARRIVED], cursor="8")

        nursery.start_soon(follow)
        await trio.sleep(10 * ASK_INTERVAL_S)
        assert not leads.is_set()
        assert 8 <= house.leases.asked <= 13
        end.set()
        with trio.fail_after(2 * ASK_INTERVAL_S):
            await leads.wait()
    assert await house.world.inbox.read_cursor("mock", WATCH) == "8"


async def test_a_database_that_is_away_is_waited_for(
    house: House, autojump_clock: MockClock
) -> None:
    house.leases.away = True
    with trio.move_on_after(10 * ASK_INTERVAL_S):
        async with house.watches().open(alone=True):
            pytest.fail("nobody can lead")

    house.leases.away = False
    with trio.fail_after(1):
        async with house.watches().open(alone=True) as sink:
            await sink.put([ARRIVED])


async def test_the_lead_is_given_back_at_the_end_whatever_ends_it(
    house: House, autojump_clock: MockClock
) -> None:
    async def break_down(sink: Sink) -> None:
        raise ValueError("a bug in the watch")

    async def end(sink: Sink) -> None:
        pass

    with pytest.raises(ExceptionGroup):
        await lead(house, break_down)
    with trio.move_on_after(1):
        await lead(house, watch_for_ever)
    with trio.fail_after(0.5):
        await lead(house, end)
    assert house.world.store.ledger.fences == {"watch:mock": 3}, "each time under a new fence"


async def test_a_lead_whose_session_is_gone_ends_the_watch(
    house: House, autojump_clock: MockClock
) -> None:
    async def lose_session(sink: Sink) -> None:
        assert house.leases.held is not None
        house.leases.held.cut = True
        await watch_for_ever(sink)

    start = trio.current_time()
    with pytest.raises(LeadLost):
        await lead(house, lose_session)
    assert trio.current_time() - start == pytest.approx(CHECK_INTERVAL_S, abs=0.5)


async def test_what_an_overtaken_leader_puts_is_refused_as_a_whole_and_ends_it(
    house: House, autojump_clock: MockClock
) -> None:
    put: list[str] = []

    async def fall_behind(sink: Sink) -> None:
        await sink.put([], cursor="7")
        put.append("7")
        house.another_leads()
        await sink.put([ARRIVED], outflows=[LEFT], cursor="8")
        put.append("8")

    with pytest.raises(LeadLost):
        await lead(house, fall_behind)
    assert put == ["7"]
    book = await house.world.store.ledger.book("mock")
    assert (book.cursor, book.received, book.outflows) == ("7", {}, {})


async def test_not_even_inside_a_shield_does_a_refused_put_seem_stored(
    house: House, autojump_clock: MockClock
) -> None:
    put: list[str] = []

    async def shield_itself(sink: Sink) -> None:
        house.another_leads()
        with trio.CancelScope(shield=True):
            await sink.put([ARRIVED], cursor="8")
            put.append("8")

    with pytest.raises(ExceptionGroup):
        await lead(house, shield_itself)
    assert not put
    assert await house.world.inbox.read_cursor("mock", WATCH) is None


async def test_a_store_that_is_away_is_the_watchs_to_handle(
    house: House, autojump_clock: MockClock
) -> None:
    async def away(*_: object, **__: object) -> int:
        raise StoreUnavailable("PostgreSQL: away", retry_after_s=1.0)

    class Away:
        accept = staticmethod(away)

    async with house.watches(intake=Away()).open(alone=True) as sink:
        with pytest.raises(StoreUnavailable):
            await sink.put([ARRIVED], cursor="7")
