"""Runs one plan on virtual time: daemons, people, the network, and faults.

One seed gives one history: every random number comes from the seed, and trio's scheduler, too.
"""

import gc
import random as global_random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from unittest import mock

import trio
import trio.testing
from simulation.chain import Chain, ChainProvider
from simulation.daemon import Clock, Daemon, Services, Unreachable
from simulation.faults import Faults
from simulation.gate import PATH, Gate
from simulation.history import History, Stream
from simulation.operators import OPERATOR
from simulation.people import People
from simulation.plan import Plan, late_window
from simulation.rail import Rail, RailProvider
from support.memory import MemoryStore

from payd.daemon import leases
from payd.domain.errors import PaydError
from payd.domain.published import EventSelection, PublishedPosition, Republished
from payd.plugins import Lookup, ProviderEvent, WebhookRequest
from payd.ports import WATCH

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
#: How long after the faults everything must have come to rest.
QUIET_S = 8 * 3600.0
#: Everything rests when nothing has changed for so long: each loop has looked again meanwhile.
REST_S = 900.0


def run(plan: Plan) -> History:
    """The history of a plan."""
    trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio._core._run._r.seed(plan.seed)
    global_random.seed(plan.seed)
    clock = trio.testing.MockClock(autojump_threshold=0)
    # A history lives for a fraction of a second: looking for its garbage meanwhile costs a fifth.
    gc.disable()
    try:
        with mock.patch.multiple(leases, ASK_INTERVAL_S=15.0, CHECK_INTERVAL_S=30.0):
            history: History = trio.run(_World(plan).run, clock=clock)
    finally:
        gc.enable()
    return history


class _World:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        true = Clock(start=START)
        lookup = Lookup.INCLUDING_ABSENCE if plan.proves_absence else Lookup.AUTHORITATIVE
        window = timedelta(seconds=plan.window_s)
        rail, stream = Rail(true.now, lookup, window, plan.names_refunds), Stream()
        self._chain = Chain(START)
        self._history = History(
            plan, MemoryStore(true, late_window=late_window(plan)), rail, self._chain, stream
        )
        self._faults = Faults(self._history)
        self._chain.halt_s = self._faults.halt_s()
        self._people = People(self._history, self._faults, self._start, self._any)
        self._random = {name: Random(f"{plan.seed} {name}") for name in ("kills", "app")}
        self._daemons: dict[int, Daemon] = {}
        self._nursery: trio.Nursery
        self._busy = 0
        rail.deliver = self._deliver
        rail.on_refund = self._people.end_refund_later
        self._chain.on_refund = self._people.send_refund_later
        stream.fate = self._faults.of_stream

    async def run(self) -> History:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for number in range(self._plan.daemons):
                nursery.start_soon(self._keep_alive, number)
            await trio.sleep(1)
            if self._plan.has_operators:
                nursery.start_soon(self._people.operators.resolve)
            for buyer in self._plan.buyers:
                self._start(self._people.shop, buyer)
            await trio.sleep(self._plan.calm_s)
            if self._plan.asks_at_the_end:
                # Daemons that were killed are back by then.
                await trio.sleep(300)
                for number, daemon in self._daemons.items():
                    self._start(self._people.ask_once_more, number, daemon)
            await self._until_rest()
            if self._history.stream.lost:
                await self._republish()
            nursery.cancel_scope.cancel()
        await self._history.finish()
        return self._history

    def _start(self, act: Callable[..., Awaitable[object]], *args: object) -> None:
        """Start what people or the network do; nothing rests before it has ended."""
        self._nursery.start_soon(self._do, act, args)

    async def _do(self, act: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
        self._busy += 1
        await act(*args)
        self._busy -= 1

    async def _until_rest(self) -> None:
        """Wait until nothing is open and nothing has changed for a while."""
        before: object = None
        while trio.current_time() < self._plan.calm_s + QUIET_S:
            await trio.sleep(REST_S)
            payments = self._history.store.all()
            now = [(payment.version, payment.checks) for payment in payments]
            if not self._busy and now == before and not self._history.open_work():
                return
            before = now

    async def _republish(self) -> None:
        """What an operator does after the stream has lost events."""
        wanted, after = EventSelection(published_from=START), None
        while True:
            done = await self._any().call("republish", partial(_republish, wanted, after))
            after = done.next
            if after is None:
                return

    # -- daemons -----------------------------------------------------------------------------------

    async def _keep_alive(self, number: int) -> None:
        life = 0
        while True:
            life += 1
            name = f"daemon {number + 1}.{life}"
            daemon = self._new_daemon(name, number)
            self._daemons[number] = daemon
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._faults.freeze, daemon.gate, daemon.leases.lose)
                await daemon.live()
                nursery.cancel_scope.cancel()
            await daemon.leases.lose()
            self._history.note(f"{name} is killed", "daemon killed")
            await trio.sleep(self._random["kills"].uniform(1, 60))

    def _new_daemon(self, name: str, number: int) -> Daemon:
        return Daemon(
            gate=Gate(partial(self._faults.of_port, number), self._note_call, name),
            clock=Clock(start=START, error=partial(self._faults.clock_error, number)),
            store=self._history.store,
            results=self._history.results,
            publisher=self._history.stream,
            has_stream=self._faults.has_stream,
            provider=RailProvider(
                self._history.rail, self._faults.wire, self._faults.lag, self._faults.hides
            ),
            rail=self._history.rail,
            late_window=late_window(self._plan),
            completes_late=self._plan.late_window_s is not None,
            may_end=self._faults.may_end,
            chain=self._new_reader() if self._plan.has_chain else None,
            random=Random(f"{self._plan.seed} {name}"),
        )

    def _new_reader(self) -> ChainProvider:
        cursor = partial(self._history.store.inbox.read_cursor, "chain", WATCH)
        return ChainProvider(self._chain, self._faults.wire, self._faults.chain_lag, cursor)

    def _note_call(self, text: str, result: object) -> None:
        self._history.trace(text)
        if result is False and ".commit" in text:
            self._history.note("another writer was faster", "commit lost to another writer")
        if PATH.get() == "chain watch":
            _, life, call, *_ = text.split(" ")
            self._history.note_watch(f"daemon {life}", call, result)

    def _any(self) -> Daemon:
        return self._random["app"].choice([*self._daemons.values()])

    # -- reports -----------------------------------------------------------------------------------

    def _deliver(self, event: ProviderEvent) -> None:
        number = len(self._history.rail.events) - 1
        for delay_s in self._faults.of_report(event.id, self._history.rail.fact_of(event)):
            self._start(self._send, number, delay_s)

    async def _send(self, number: int, delay_s: float) -> None:
        """A webhook, sent again until it is accepted or given up."""
        request = WebhookRequest(body=str(number).encode(), headers={})
        for pause_s in (delay_s, 10.0, 60.0, 600.0, 3600.0):
            await trio.sleep(pause_s)
            try:
                accepted = await self._any().call(
                    "webhook", lambda services: services.intake.accept_webhook("rail", request)
                )
            except (PaydError, Unreachable):
                continue
            self._history.note_accepted(f"evt_{number + 1}", accepted.new)
            return


async def _republish(
    wanted: EventSelection, after: PublishedPosition | None, services: Services
) -> Republished:
    return await services.republish.republish(wanted, after, OPERATOR)
