"""A watch runs alone where it must, halts where it must, and is always started again."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from unit.providers.toys import (
    CREATED,
    START,
    CollectingSink,
    Journal,
    OnlyToy,
    Toy,
    WatchingToy,
    fenced,
    says,
)

from payd.plugins import (
    Holding,
    Observation,
    Outflow,
    RateLimited,
    Receipt,
    ReceiptState,
    Sink,
    WatchHalted,
)
from payd.providers.fence import Fence
from payd.providers.watching import HALT_RETRY_S, OTHER_LEADS_S, RETRY_AFTER_MAX_S, LeadLost, Sinks

RECEIPT = Receipt(id="r", asset="0xabc", amount=1, state=ReceiptState.SEEN, time=START)
SEEN = Observation(id="seen", reference="0x1", fact=(RECEIPT,))
GONE = Outflow(id="gone", asset="0xabc", amount=1, time=START)
HELD = Holding(asset="0xabc", opening=5, balance=7, at="block 9")


@attrs.define(kw_only=True)
class AuditedToy(Toy):
    """A toy that says what we hold."""

    holds: Callable[[str], Awaitable[Any]]

    async def holdings(self, cursor: str, /) -> Sequence[Holding]:
        return await self.holds(cursor)  # anything, on purpose


class Election(CollectingSink):
    """Sinks of which one daemon leads at a time; the test says whether it is this one."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bool] = []
        self.is_ours = trio.Event()
        self._body = trio.CancelScope()

    @asynccontextmanager
    async def open(self, *, alone: bool) -> AsyncIterator[Sink]:
        self.asked.append(alone)
        await self.is_ours.wait()
        with trio.CancelScope() as self._body:
            yield self
        if self._body.cancelled_caught:
            raise LeadLost("another daemon leads")

    def lose(self) -> None:
        self.is_ours = trio.Event()
        self._body.cancel()


class Rail:
    """What the toy's watch meets; `runs` counts its runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.contradicts = False

    async def watch(self, sink: Sink) -> None:
        self.runs += 1
        if self.contradicts:
            raise WatchHalted("block 7 has another hash")
        await sink.put((), cursor="7")
        await trio.sleep_forever()


@asynccontextmanager
async def watched(
    watch: Callable[[Sink], Awaitable[None]],
    sinks: Sinks,
    *,
    only: bool = True,
    log: Journal | None = None,
) -> AsyncIterator[Fence]:
    kind = OnlyToy if only else WatchingToy
    toy = kind(says=says(CREATED), watches=watch)
    async with fenced(toy, log=log) as fence, trio.open_nursery() as nursery:
        await nursery.start(fence.run_watch, sinks)
        await wait_all_tasks_blocked()
        yield fence
        await fence.stop()


# -- one of several daemons --------------------------------------------------------------------


async def test_a_watch_that_may_run_anywhere_leads_nothing() -> None:
    rail, sinks = Rail(), Election()
    sinks.is_ours.set()

    async with watched(rail.watch, sinks, only=False) as fence:
        assert fence.state().watch_leads is None
        assert sinks.asked == [False]
        assert sinks.stored == "7"


async def test_only_the_word_true_makes_a_watch_the_only_one() -> None:
    sinks = Election()
    sinks.is_ours.set()
    singleton: Any = "yes"
    toy = OnlyToy(says=says(CREATED), watches=Rail().watch, singleton=singleton)

    async with fenced(toy) as fence, trio.open_nursery() as nursery:
        await nursery.start(fence.run_watch, sinks)
        await wait_all_tasks_blocked()
        assert sinks.asked == [False]
        await fence.stop()


async def test_a_singleton_waits_for_the_lead_runs_under_it_and_waits_again_without_it(
    autojump_clock: MockClock,
) -> None:
    rail, sinks, journal = Rail(), Election(), Journal()

    async with watched(rail.watch, sinks, log=journal) as fence:
        assert (rail.runs, fence.state().watch_leads) == (0, False)

        sinks.is_ours.set()
        await wait_all_tasks_blocked()
        assert (rail.runs, fence.state().watch_leads) == (1, True)

        sinks.lose()
        await wait_all_tasks_blocked()
        assert (rail.runs, fence.state().watch_leads) == (1, False)

        sinks.is_ours.set()
        await wait_all_tasks_blocked()
        assert (rail.runs, fence.state().watch_leads) == (2, True)
        assert sinks.asked == [True, True]


async def test_losing_the_lead_is_no_failure(autojump_clock: MockClock) -> None:
    rail, sinks, journal = Rail(), Election(), Journal()
    start = trio.current_time()

    async with watched(rail.watch, sinks, log=journal) as fence:
        for _ in range(10):
            sinks.is_ours.set()
            await wait_all_tasks_blocked()
            sinks.lose()
            await wait_all_tasks_blocked()
        assert rail.runs == 10
        assert fence.state().watch_restarts == 0
        assert trio.current_time() == start, "nobody waits before asking for the lead again"
    assert journal.events() == ["provider_watch_lost_lead"] * 10


async def test_a_watch_that_is_stopped_while_it_waits_for_the_lease_ends() -> None:
    async with watched(Rail().watch, Election()) as fence:
        with trio.fail_after(1):
            await fence.stop()
        assert fence.state().watch_leads is False


async def test_what_fails_while_the_watch_is_cancelled_does_not_end_the_daemon() -> None:
    async def fail_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            raise OSError("connection lost") from None

    async def watch(sink: Sink) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_at_the_end)
            await trio.sleep_forever()

    sinks = Election()
    sinks.is_ours.set()
    toy = OnlyToy(says=says(CREATED), watches=watch)
    async with fenced(toy) as fence, trio.open_nursery() as nursery:
        await nursery.start(fence.run_watch, sinks)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught


# -- halted ------------------------------------------------------------------------------------


async def test_a_halted_watch_says_why_and_looks_again_each_minute_until_it_is_mended(
    autojump_clock: MockClock,
) -> None:
    rail, sinks, journal = Rail(), Election(), Journal()
    sinks.is_ours.set()
    rail.contradicts = True

    async with watched(rail.watch, sinks, log=journal) as fence:
        assert fence.state().watch_halted == "block 7 has another hash"
        await trio.sleep(HALT_RETRY_S * 3.5)
        assert rail.runs == 4
        assert fence.state().watch_halted == "block 7 has another hash"
        assert fence.state().watch_restarts == 0, "a halt is not a defect"
        assert fence.state().ready, "what needs no watch goes on"

        rail.contradicts = False
        await trio.sleep(HALT_RETRY_S)
        assert sinks.stored == "7"
        assert fence.state().watch_halted is None
    halted = ("provider_watch_halted", {"provider": "toy", "reason": "block 7 has another hash"})
    assert journal.lines == [halted] * 4


@pytest.mark.parametrize(
    ("asked_s", "waited_s"), [(40.0, 40.0), (1e9, RETRY_AFTER_MAX_S), (math.nan, 0.0), (-1.0, 0.0)]
)
async def test_a_rate_limit_delays_the_next_run_as_long_as_it_asks_within_bounds(
    autojump_clock: MockClock, asked_s: float, waited_s: float
) -> None:
    times: list[float] = []

    async def watch(_sink: Sink) -> None:
        times.append(trio.current_time())
        if len(times) == 1:
            raise RateLimited(asked_s)
        await trio.sleep_forever()

    sinks = CollectingSink()
    async with watched(watch, sinks, only=False):
        await trio.sleep(RETRY_AFTER_MAX_S + 1)
    assert waited_s <= times[1] - times[0] < waited_s + 1


async def test_what_a_watchs_own_nursery_raises_halts_it_too() -> None:
    async def watch(sink: Sink) -> None:
        raise ExceptionGroup("nursery", [WatchHalted("the ledger is ahead")])

    sinks = Election()
    sinks.is_ours.set()
    async with watched(watch, sinks) as fence:
        assert fence.state().watch_halted == "the ledger is ahead"


async def test_a_halted_watch_is_not_reported_once_another_daemon_leads(
    autojump_clock: MockClock,
) -> None:
    rail, sinks = Rail(), Election()
    sinks.is_ours.set()
    rail.contradicts = True

    async with watched(rail.watch, sinks) as fence:
        sinks.lose()
        await trio.sleep(HALT_RETRY_S + 1)
        assert fence.state().watch_halted, "it may well be the next one to lead"

        await trio.sleep(OTHER_LEADS_S)
        assert fence.state().watch_halted is None, "the other one would tell"

        rail.contradicts = False
        sinks.is_ours.set()
        await wait_all_tasks_blocked()
        assert (fence.state().watch_leads, fence.state().watch_halted) == (True, None)


# -- what it puts ------------------------------------------------------------------------------


async def test_all_that_a_watch_puts_reaches_its_sink_unchanged() -> None:
    class Strict(CollectingSink):
        async def put(
            self,
            observations: Sequence[Observation],
            /,
            *,
            outflows: Sequence[Outflow] = (),
            cursor: str | None = None,
        ) -> None:
            taken.append((observations, outflows, cursor))

    taken: list[object] = []
    given: Any = ((SEEN,), (GONE,), "8")

    async def watch(sink: Sink) -> None:
        assert await sink.cursor() is None
        await sink.put(given[0], outflows=given[1], cursor=given[2])
        await trio.sleep_forever()

    async with watched(watch, Strict()):
        assert taken == [given]


# -- holdings ----------------------------------------------------------------------------------


async def holdings(word: object) -> Sequence[Holding] | None:
    async with fenced(AuditedToy(says=says(CREATED), holds=says(word))) as fence:
        assert fence.can_audit
        return await fence.holdings("7")


async def test_what_we_hold_is_asked_at_the_cursor() -> None:
    asked: list[str] = []

    async def hold(cursor: str) -> Sequence[Holding]:
        asked.append(cursor)
        return [HELD]

    async with fenced(AuditedToy(says=says(CREATED), holds=hold)) as fence:
        assert await fence.holdings("7") == [HELD]
    assert asked == ["7"]


@pytest.mark.parametrize(
    "word",
    [
        ValueError("a bug"),
        None,
        7,
        [None],
    ],
    ids=repr,
)
async def test_holdings_that_cannot_be_compared_are_no_answer(word: object) -> None:
    assert await holdings(word) is None


@pytest.mark.parametrize(
    "wrong",
    [{"balance": "7"}, {"opening": True}, {"balance": 7.0}, {"asset": None}, {"at": "\0"}],
    ids=repr,
)
def test_a_holding_that_cannot_be_compared_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        attrs.evolve(HELD, **wrong)


async def test_an_empty_account_is_an_answer() -> None:
    assert await holdings([]) == []


async def test_a_provider_without_the_audit_protocol_is_not_asked_for_balances(
    autojump_clock: MockClock,
) -> None:
    async with fenced(Toy(says=says(CREATED))) as fence:
        assert not fence.can_audit
        assert await fence.holdings("7") is None
