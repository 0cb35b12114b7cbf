"""A watch over scripted nodes: the real provider and watcher, with a sink in memory."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import attrs
import trio
from tempo_provider.companion.scripted.chain import ScriptedChain, Token
from tempo_provider.companion.scripted.events import to_virtual, transfer
from tempo_provider.companion.scripted.node import ScriptedNode
from tempo_provider.config import TempoConfig
from tempo_provider.cursor import Cursor, cursor_of
from tempo_provider.provider import TempoProvider, open_provider
from tempo_provider.virtual import virtual_address

from payd.plugins import (
    Holding,
    NotAttempted,
    Observation,
    Outflow,
    ProviderContext,
    Receipt,
    WatchHalted,
)

CHAIN_ID = 1337
USDC = "0x20c0000000000000000000000000000000000001"
USDT = "0x20c0000000000000000000000000000000000002"
FORGED = "0x20c0000000000000000000000000000000009999"
US = "0x" + "ab" * 20
PAYER = "0x" + "cd" * 20
STRANGER = "0x" + "ef" * 20
MEMO = "0x" + "5a" * 32
#: Of the machine's seconds: a clock that runs 60 times as fast gives 60 times as many.
PATIENCE_S = 180.0


def patience() -> AbstractContextManager[trio.CancelScope]:
    """Fail when the machine, however busy, should have been done long ago."""
    rate = getattr(trio.lowlevel.current_clock(), "rate", 1.0)
    return trio.fail_after(PATIENCE_S * max(rate, 1.0))


class Died(Exception):
    """The process, for a test's sake."""


class MemorySink:
    """What payd keeps of a watch: reports by their ids, and the cursor, in one act."""

    def __init__(self) -> None:
        self.observations: dict[str, Observation] = {}
        self.outflows: dict[str, Outflow] = {}
        self.stored: str | None = None
        #: How many reports each `put` brought, known ones included.
        self.puts: list[int] = []
        #: Dies before or after it has stored, this once.
        self.dies_before = self.dies_after = False
        self._changed = trio.Condition()

    async def cursor(self) -> str | None:
        """Return the stored cursor."""
        return self.stored

    async def put(
        self,
        observations: Sequence[Observation],
        /,
        *,
        outflows: Sequence[Outflow] = (),
        cursor: str | None = None,
    ) -> None:
        """See Sink. Another content under a known id fails the test."""
        await trio.lowlevel.checkpoint()
        self._die("dies_before")
        for one in observations:
            assert self.observations.setdefault(one.id, one) == one, "another content under its id"
        for other in outflows:
            assert self.outflows.setdefault(other.id, other) == other
        self.stored = cursor or self.stored
        self.puts.append(len(observations) + len(outflows))
        async with self._changed:
            self._changed.notify_all()
        self._die("dies_after")

    def _die(self, when: str) -> None:
        if getattr(self, when):
            setattr(self, when, False)
            raise Died

    # -- what tests ask ----------------------------------------------------------------------

    @property
    def position(self) -> Cursor | None:
        """The cursor, read."""
        return None if self.stored is None else cursor_of(self.stored)

    @property
    def block(self) -> int:
        """The number of the cursor's block; -1 before the first."""
        return -1 if self.position is None else self.position.point.number

    @property
    def receipts(self) -> list[Receipt]:
        """In the order of their coming."""
        return [one.fact[0] for one in self.observations.values() if isinstance(one.fact, tuple)]

    @property
    def amounts(self) -> list[int]:
        """Of the receipts."""
        return [receipt.amount for receipt in self.receipts]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a `put` after which it holds."""
        with patience():
            while not holds():
                async with self._changed:
                    await self._changed.wait()

    async def reaches(self, block: int) -> None:
        """Wait for the cursor to be there."""
        await self.until(lambda: self.block >= block)


class Figures:
    """Metrics that can be waited for."""

    def __init__(self) -> None:
        self.gauges: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self._lot = trio.lowlevel.ParkingLot()

    def set(self, figure: str, value: float) -> None:
        """Store the value of a gauge."""
        self.gauges[figure] = value

    def count(self, figure: str, amount: float = 1) -> None:
        """Add to a counter, and wake the waiting test."""
        self.counts[figure] += int(amount)
        self._lot.unpark_all()

    async def until_more(self, figure: str, times: int = 3) -> None:
        """Wait until it was counted so many times from now on."""
        goal = self.counts[figure] + times
        with patience():
            while self.counts[figure] < goal:
                await self._lot.park()


class Lines:
    """What was logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        """Keep the log line."""
        self.events.append((event, fields))

    warning = error = info

    def named(self, event: str) -> list[dict[str, Any]]:
        """The fields of every line of this event."""
        return [fields for name, fields in self.events if name == event]


@attrs.frozen
class ChainClock:
    """The time of the chain: its newest block is never stale."""

    chain: ScriptedChain

    def now(self) -> datetime:
        """Return the time of the chain's newest block."""
        return datetime.fromtimestamp(self.chain.head.time_ms / 1000, UTC)


@attrs.define(kw_only=True, eq=False)
class Watch:
    """One run of it, until it ends or the block does."""

    sink: MemorySink
    figures: Figures
    lines: Lines
    provider: TempoProvider
    ended: trio.Event = attrs.field(factory=trio.Event)
    #: Why it ended by itself.
    failure: Exception | None = None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Keeps what ended it, so that a test can ask."""
        try:
            await self.provider.watch(self.sink, task_status=task_status)
        except (Died, WatchHalted) as error:
            self.failure = error
        finally:
            self.ended.set()

    async def halts(self) -> str:
        """Wait for it to halt; the reason."""
        with patience():
            await self.ended.wait()
        assert isinstance(self.failure, WatchHalted)
        return str(self.failure)

    async def dies(self) -> None:
        """Wait for the sink to have killed it."""
        with patience():
            await self.ended.wait()
        assert isinstance(self.failure, Died)


def a_chain(blocks: int = 3, master_id: str | None = None) -> ScriptedChain:
    """With two dollars and a token that only looks like one; all of it final."""
    tokens = {USDC: Token(), USDT: Token(), FORGED: Token(is_tip20=False)}
    chain = ScriptedChain(tokens, CHAIN_ID)
    if master_id is not None:
        chain.masters[master_id] = US
    chain.settle(blocks)
    return chain


def pay(chain: ScriptedChain, amount: int = 149, memo: str | None = MEMO, token: str = USDC) -> str:
    """A customer's transfer to us, in the next block; over an address where there is a master."""
    for master_id in chain.masters:
        address = virtual_address(master_id, 7)
        return chain.send(to_virtual(token, PAYER, address, US, amount, memo))
    return chain.send(transfer(token, PAYER, US, amount, memo))


def settings(nodes: Sequence[ScriptedNode], **more: Any) -> TempoConfig:
    """As an operator would write them, but for patience."""
    return TempoConfig.model_validate(
        {
            "receiver_address": US,
            "rpc_url": [node.url for node in nodes],
            "chain_id": CHAIN_ID,
            "tokens": {"USDC": USDC, "USDT": USDT},
            "watched_tokens": [],
            "poll_interval_s": 0.05,
            "request_timeout_s": 0.5,
            **more,
        }
    )


@asynccontextmanager
async def watching(
    nodes: Sequence[ScriptedNode], sink: MemorySink, **more: Any
) -> AsyncIterator[Watch]:
    """The provider over these nodes, and its watch."""
    figures, lines = Figures(), Lines()
    context = ProviderContext(
        environment="test",
        secrets={"tempo_memo_key": ("key",)},
        clock=ChainClock(nodes[0].view.chain),
        log=lines,
        metrics=figures,
        read_cursor=sink.cursor,
    )
    async with open_provider(context, settings(nodes, **more)) as provider:
        assert isinstance(provider, TempoProvider)
        watch = Watch(sink=sink, figures=figures, lines=lines, provider=provider)
        async with trio.open_nursery() as nursery:
            await nursery.start(watch.run)
            yield watch
            nursery.cancel_scope.cancel()


async def balanced(watch: Watch, chain: ScriptedChain) -> bool:
    """Whether the books hold what the chain holds, at the cursor, as the audit reckons."""
    assert watch.sink.stored is not None
    sums: Counter[str] = Counter()
    for receipt in watch.sink.receipts:
        if receipt.state.name == "CONFIRMED":
            sums[receipt.asset] += receipt.amount
    for outflow in watch.sink.outflows.values():
        sums[outflow.asset] -= outflow.amount
    held = await _holdings(watch.provider, watch.sink.stored)
    return all(one.opening + sums[one.asset] == one.balance for one in held)


async def _holdings(provider: TempoProvider, cursor: str) -> Sequence[Holding]:
    """Ask again while endpoints on a busy machine take longer than the limit of these tests."""
    with patience():
        while True:
            try:
                return await provider.holdings(cursor)
            except NotAttempted as error:
                if "no response in" not in str(error):
                    raise


async def reads_all(watch: Watch, chain: ScriptedChain, *amounts: int) -> None:
    """Everything final is read, and nothing else was."""
    await watch.sink.reaches(chain.finalized)
    await watch.sink.until(lambda: sorted(watch.sink.amounts) == sorted(amounts))
    assert await balanced(watch, chain)
    assert watch.failure is None
