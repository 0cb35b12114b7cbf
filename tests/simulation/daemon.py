"""One simulated daemon: the real services, loops and fence, behind a gate that can close."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import attrs
import trio
import trio_asyncio
from simulation.rail import RailProvider, manifest
from support.memory import MemoryReconciliations, MemoryStore
from unit.service.fakes import FixedPrices
from unit.service.world import PRICES
from walks.card_rail import Journal

from payd.adapters.bridge import for_asyncio, open_loop
from payd.adapters.system import SystemClock
from payd.adapters.turns import AsyncioTurns
from payd.adapters.wakeup import WakeUp
from payd.daemon.loops import worker_loops
from payd.domain.decide import Rules
from payd.domain.errors import StoreUnavailable
from payd.plugins.interface import Method
from payd.ports import Registered
from payd.providers.fence import Fence
from payd.providers.methods import MethodMap
from payd.service.ask import Ask
from payd.service.audit import Audit
from payd.service.cancel import Cancel
from payd.service.initiate import Initiate
from payd.service.intake import Intake
from payd.service.publish import Publish
from payd.service.query import Query
from payd.service.reconcile import Reconcile
from payd.service.recover import Recover
from payd.service.recover_refunds import RecoverRefunds
from payd.service.refund import RefundPayment
from payd.service.reports import Reports
from payd.service.scan import Scan
from payd.service.send_refund import SendRefund
from payd.service.settle import Settle
from payd.service.status_check import StatusCheck

CARD = Method(
    key="card",
    display_name="Card",
    currencies=("USD",),
    default_expiry=timedelta(minutes=30),
    late_payments_complete=True,
)
POLL_S = 120.0
RECOVERY_S = 60.0


class Unreachable(Exception):
    """The daemon died before it answered."""


@attrs.define
class Gate:
    """What stands between one daemon and the world; once closed nothing passes any more."""

    #: Says what happens to a call: "", "before", "after" or "kill"; and how long it takes.
    fate: Callable[[str], tuple[str, float]]
    trace: Callable[[str], None]
    name: str
    is_closed: bool = False
    killed: trio.Event = attrs.field(factory=trio.Event)

    async def passed(self, call: str, run: Callable[[], Awaitable[Any]]) -> Any:
        """Run a call of a port, with its fate."""
        fault, delay_s = self.fate(call)
        is_claim = ".claim" in call
        # Most claims find nothing, and nobody can tell when those began.
        await self._travel(0.0 if is_claim else delay_s)
        if fault == "kill before":
            await self._die()
        if fault == "before":
            raise StoreUnavailable("lost", retry_after_s=1.0)
        result = await run()
        self.trace(f"{self.name} {call} {fault}")
        if fault == "kill after":
            await self._die()
        if result or not is_claim:
            await self._travel(delay_s)
        if fault == "after":
            raise StoreUnavailable("lost", retry_after_s=1.0)
        return result

    async def _travel(self, delay_s: float) -> None:
        if delay_s:
            await asyncio.sleep(delay_s)
        if self.is_closed:
            await asyncio.Event().wait()

    async def _die(self) -> None:
        self.is_closed = True
        self.killed.set()
        await asyncio.Event().wait()


class Gated:
    """A port behind the gate; what is no coroutine passes as it is."""

    def __init__(self, port: object, name: str, gate: Gate, **own: Any) -> None:
        self._port, self._name, self._gate = port, name, gate
        self.__dict__.update(own)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not inspect.iscoroutinefunction(value):
            return value

        async def passed(*args: Any, **kwargs: Any) -> Any:
            run = partial(value, *args, **kwargs)
            return await self._gate.passed(f"{self._name}.{name}", run)

        setattr(self, name, passed)
        return passed


class Nothing:
    """Metrics and the like, which the simulation does not read."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self


class Passing:
    """Crash points: here a daemon dies at its ports instead."""

    def reach(self, name: str) -> None:
        """Return."""


@attrs.frozen
class SeededIds:
    """New ids, the same for the same seed."""

    random: Random

    def new(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)


@attrs.frozen(kw_only=True)
class Clock:
    """A wall clock over virtual time, with its error."""

    start: datetime
    skew: timedelta = timedelta(0)

    def now(self) -> datetime:
        return self.start + timedelta(seconds=trio.current_time()) + self.skew


@attrs.define(kw_only=True)
class Daemon:
    """One life of a daemon."""

    gate: Gate
    clock: Clock
    store: MemoryStore
    publisher: Any
    provider: RailProvider
    lookup: Any
    random: Random
    _calls: Any = attrs.field(init=False, default=None)

    async def call(self, what: Callable[["Services"], Awaitable[Any]]) -> Any:
        """Call one of its services from outside. Raises Unreachable if it dies first."""
        if self._calls is None or self.gate.is_closed:
            raise Unreachable
        reply: dict[str, Any] = {}
        done = trio.Event()
        self._calls.send_nowait((what, reply, done))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_first, done, nursery.cancel_scope)
            nursery.start_soon(_first, self.gate.killed, nursery.cancel_scope)
        if not done.is_set():
            raise Unreachable
        if "error" in reply:
            raise reply["error"]
        return reply["result"]

    async def live(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Run until the gate closes."""
        async with trio.open_nursery() as outer:
            outer.start_soon(self._end_when_killed, outer.cancel_scope)
            async with open_loop(_refuse), trio.open_nursery() as nursery:
                fence = Fence(
                    lambda: nullcontext(self.provider),
                    manifest(self.lookup, lambda: nullcontext(self.provider)),
                    log=Journal(),
                    random=self.random.random,
                )
                await nursery.start(fence.run)
                services = Services.over(self, fence)
                for loop in worker_loops(services.parts()).values():
                    nursery.start_soon(_supervise, loop)
                self._calls, requests = trio.open_memory_channel[Any](1000)
                task_status.started()
                async for request in requests:
                    nursery.start_soon(_answer, services, *request)

    async def _end_when_killed(self, scope: trio.CancelScope) -> None:
        await self.gate.killed.wait()
        scope.cancel()


async def _first(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _answer(services: "Services", what: Any, reply: dict[str, Any], done: trio.Event) -> None:
    try:
        reply["result"] = await trio_asyncio.aio_as_trio(partial(what, services))()
    except Exception as error:  # noqa: BLE001 - the caller gets it
        reply["error"] = error
    done.set()


async def _supervise(loop: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await loop()
        except StoreUnavailable:
            await trio.sleep(1)


def _refuse(message: str, error: BaseException | None) -> None:
    raise AssertionError(message) from error


@attrs.frozen(kw_only=True)
class Services:
    """The use cases of one daemon, and what its loops need."""

    initiate: Initiate
    cancel: Cancel
    refund: RefundPayment
    query: Query
    intake: Intake
    loops: SimpleNamespace
    inbox: Any
    outbox: Any

    @classmethod
    def over(cls, daemon: Daemon, fence: Fence) -> "Services":
        """Wire them as the daemon does."""
        gate, store, clock = daemon.gate, daemon.store, daemon.clock
        news = {name: WakeUp() for name in ("inbox", "outbox")}
        payments: Any = Gated(store, "payments", gate, await_answer=_never_waits(store))
        inbox: Any = Gated(store.inbox, "inbox", gate, wait=news["inbox"].wait)
        outbox: Any = Gated(store.outbox, "outbox", gate, wait=news["outbox"].wait)
        publisher: Any = Gated(daemon.publisher, "stream", gate)
        methods = MethodMap([Registered(method=CARD, provider=fence)])
        shared: dict[str, Any] = {
            "providers": methods.wrapped(for_asyncio),
            "clock": clock,
            "crash": Passing(),
        }
        known = {name: shared[name] for name in ("providers", "clock")}
        settle = Settle(store=payments, turns=AsyncioTurns(), rules=Rules(), **shared)
        ask = Ask(settle=settle, **shared)
        check = StatusCheck(settle=settle, inbox=inbox)
        cancel = Cancel(
            settle=settle, status_check=check, providers=shared["providers"], crash=Passing()
        )
        query = Query(
            store=payments,
            prices=FixedPrices(PRICES),
            quote_ttl=timedelta(minutes=15),
            quote_keys=lambda: ["k" * 32],
            **known,
        )
        sender = SendRefund(settle=settle, **shared)
        ids = SeededIds(daemon.random)
        results: Any = MemoryReconciliations(store)
        loops = SimpleNamespace(
            reports=Reports(inbox=inbox, store=payments, settle=settle, **known),
            publish=Publish(outbox=outbox, publisher=publisher, crash=Passing()),
            recover=Recover(
                store=payments, settle=settle, ask=ask, cancel=cancel, status_check=check, **known
            ),
            recover_refunds=RecoverRefunds(store=payments, settle=settle, sender=sender, **known),
            scan=Scan(inbox=inbox, cursors=inbox, providers=shared["providers"]),
            reconcile=Reconcile(
                store=payments, settle=settle, inbox=inbox, cursors=inbox, results=results, **known
            ),
            audit=Audit(
                receipts=store.ledger, results=results, inbox=inbox, cursors=inbox, **known
            ),
        )
        return cls(
            initiate=Initiate(
                store=payments,
                query=query,
                ask=ask,
                clock=clock,
                ids=ids,
                tags=store.tags,
                crash=Passing(),
            ),
            cancel=cancel,
            refund=RefundPayment(
                store=payments, settle=settle, sender=sender, clock=clock, ids=ids, crash=Passing()
            ),
            query=query,
            intake=Intake(inbox=Waking(inbox, news["inbox"]), **shared),
            loops=loops,
            inbox=inbox,
            outbox=outbox,
        )

    def parts(self) -> Any:
        """What `worker_loops` reads of the daemon's parts."""
        connected = SimpleNamespace(state=lambda: SimpleNamespace(connected=True))
        inbox = SimpleNamespace(wait=self.inbox.wait, may_have_more=False)
        outbox = SimpleNamespace(wait=self.outbox.wait, may_have_more=True)
        return SimpleNamespace(
            config=SimpleNamespace(
                outbox=SimpleNamespace(poll_interval_s=POLL_S),
                recovery=SimpleNamespace(interval_s=RECOVERY_S),
            ),
            metrics=Nothing(),
            adapters=SimpleNamespace(
                inbox=inbox, outbox=outbox, stream=connected, clock=SystemClock()
            ),
            use_cases=self.loops,
            stopping=trio.Event(),
        )


class Waking:
    """An inbox that wakes the worker of its own daemon."""

    def __init__(self, inbox: Any, news: WakeUp) -> None:
        self._inbox, self._news = inbox, news

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inbox, name)

    async def put_webhook(self, *args: Any) -> int:
        new: int = await self._inbox.put_webhook(*args)
        self._news.set()
        return new


def _never_waits(store: MemoryStore) -> Callable[..., Awaitable[Any]]:
    async def await_answer(payment_id: UUID, timeout_s: float) -> Any:
        await asyncio.sleep(timeout_s)
        return await store.get(payment_id)

    return await_answer
