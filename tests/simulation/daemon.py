"""One simulated daemon: the real services, loops and fence, behind a gate that can close."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import UUID

import attrs
import trio
import trio_asyncio
from simulation import chain, rail
from simulation.chain import ChainProvider
from simulation.gate import PATH, Gate, Gated, SessionLeases
from simulation.rail import RailProvider
from support.memory import MemoryReconciliations, MemoryStore
from unit.service.fakes import FixedPrices
from unit.service.world import PRICES
from walks.card_rail import Journal

from payd.adapters.bridge import for_asyncio, open_loop
from payd.adapters.system import SystemClock
from payd.adapters.turns import AsyncioTurns
from payd.adapters.wakeup import WakeUp
from payd.daemon.leases import Watches
from payd.daemon.loops import worker_loops
from payd.domain.decide import Rules
from payd.domain.errors import StoreUnavailable
from payd.plugins.interface import Method
from payd.ports import Registered
from payd.providers.fence import Fence
from payd.providers.methods import MethodMap
from payd.service.ask import Ask
from payd.service.attach import Attach
from payd.service.audit import Audit
from payd.service.cancel import Cancel
from payd.service.cancel_refund import CancelRefund
from payd.service.initiate import Initiate
from payd.service.intake import Intake
from payd.service.publish import Publish
from payd.service.query import Query
from payd.service.reconcile import Reconcile
from payd.service.recover import Recover
from payd.service.recover_refunds import RecoverRefunds
from payd.service.refund import RefundPayment
from payd.service.reports import Reports
from payd.service.republish import Republish
from payd.service.resolve_attention import ResolveAttention
from payd.service.scan import Scan
from payd.service.send_refund import SendRefund
from payd.service.settle import Settle
from payd.service.status_check import StatusCheck

T = TypeVar("T")

CARD = Method(
    key="card",
    display_name="Card",
    currencies=("USD",),
    default_expiry=timedelta(minutes=30),
    late_payments_complete=True,
)
TOKEN = attrs.evolve(CARD, key="token", display_name="Token")
POLL_S = 120.0
RECOVERY_S = 60.0
#: Often enough that each history has an audit of its last balance.
AUDIT_INTERVAL = timedelta(minutes=10)
#: How long a caller waits for an answer.
PATIENCE_S = 20.0


class Unreachable(Exception):
    """The daemon died before it answered."""


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


def _exact() -> timedelta:
    return timedelta(0)


@attrs.frozen(kw_only=True)
class Clock:
    """A wall clock over virtual time, with its error now."""

    start: datetime
    error: Callable[[], timedelta] = _exact

    def now(self) -> datetime:
        return self.start + timedelta(seconds=trio.current_time()) + self.error()


@attrs.define(kw_only=True)
class Daemon:
    """One life of a daemon."""

    gate: Gate
    clock: Clock
    store: MemoryStore
    #: What comparisons find; the adapter is in memory, so that all daemons share it.
    results: MemoryReconciliations
    publisher: Any
    #: Whether the stream can be reached at all.
    has_stream: Callable[[], bool]
    provider: RailProvider
    rail: rail.Rail
    #: For how long money completes a payment that has ended, and whether that on the chain does.
    late_window: timedelta
    completes_late: bool
    #: Ends what builds a provider, and one that serves, now and then.
    may_end: Callable[[], AbstractAsyncContextManager[None]]
    #: None without the chain.
    chain: ChainProvider | None
    random: Random
    leases: "SessionLeases" = attrs.field(init=False)
    _calls: Any = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.leases = SessionLeases(self.store.ledger, self.gate)

    async def call(self, path: str, what: Callable[["Services"], Awaitable[Any]]) -> Any:
        """Call one of its services from outside. Raises Unreachable if it gives no answer."""
        if self._calls is None or self.gate.is_closed:
            raise Unreachable
        reply: dict[str, Any] = {}
        done = trio.Event()
        self._calls.send_nowait((path, what, reply, done))
        with trio.move_on_after(PATIENCE_S):
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
                fences = [
                    Fence(build, described, log=Journal(), random=self.random.random)
                    for build, described in self._providers()
                ]
                for fence in fences:
                    await nursery.start(fence.run)
                services = Services.over(self, fences)
                for watched in fences[1:]:
                    watches = Watches(
                        provider=watched.name,
                        intake=services.intake,
                        cursors=services.inbox,
                        leases=self.leases,
                    )
                    nursery.start_soon(
                        _supervise, "chain watch", partial(watched.run_watch, watches)
                    )
                for name, loop in worker_loops(services.parts()).items():
                    nursery.start_soon(_supervise, name, loop)
                self._calls, requests = trio.open_memory_channel[Any](1000)
                task_status.started()
                async for request in requests:
                    nursery.start_soon(_answer, services, *request)

    def _providers(self) -> Iterator[tuple[Any, Any]]:
        build = partial(self._serve, self.provider)
        yield build, rail.manifest(self.rail, build)
        if self.chain is not None:
            build_chain = partial(self._serve, self.chain)
            yield build_chain, chain.manifest(build_chain)

    @asynccontextmanager
    async def _serve(self, provider: T) -> AsyncIterator[T]:
        PATH.set("provider")
        async with self.may_end():
            yield provider

    async def _end_when_killed(self, scope: trio.CancelScope) -> None:
        await self.gate.killed.wait()
        scope.cancel()


async def _first(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _answer(
    services: "Services", path: str, what: Any, reply: dict[str, Any], done: trio.Event
) -> None:
    PATH.set(path)
    try:
        reply["result"] = await trio_asyncio.aio_as_trio(partial(what, services))()
    except Exception as error:  # noqa: BLE001 - the caller gets it
        reply["error"] = error
    done.set()


async def _supervise(name: str, loop: Callable[[], Awaitable[object]]) -> None:
    PATH.set(name)
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
    attach: Attach
    cancel_refund: CancelRefund
    resolve: ResolveAttention
    intake: Intake
    republish: Republish
    loops: SimpleNamespace
    inbox: Any
    outbox: Any
    has_stream: Callable[[], bool]

    @classmethod
    def over(cls, daemon: Daemon, fences: Sequence[Fence]) -> "Services":
        """Wire them as the daemon does."""
        gate, store, clock = daemon.gate, daemon.store, daemon.clock
        news = {name: WakeUp() for name in ("inbox", "outbox")}
        payments: Any = Gated(store, "payments", gate, await_answer=_never_waits(store))
        inbox: Any = Gated(store.inbox, "inbox", gate, wait=news["inbox"].wait)
        outbox: Any = Gated(store.outbox, "outbox", gate, wait=news["outbox"].wait)
        receipts: Any = Gated(store.ledger, "receipts", gate)
        publisher: Any = Gated(daemon.publisher, "stream", gate)
        token = attrs.evolve(TOKEN, late_payments_complete=daemon.completes_late)
        methods = MethodMap(
            [
                Registered(method=method, provider=fence)
                for method, fence in zip((CARD, token), fences, strict=False)
            ]
        )
        shared: dict[str, Any] = {
            "providers": methods.wrapped(for_asyncio),
            "clock": clock,
            "crash": Passing(),
        }
        known = {name: shared[name] for name in ("providers", "clock")}
        rules = Rules(late_window=daemon.late_window)
        settle = Settle(store=payments, turns=AsyncioTurns(), rules=rules, **shared)
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
        results: Any = daemon.results
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
                receipts=store.ledger,
                results=results,
                inbox=inbox,
                cursors=inbox,
                interval=AUDIT_INTERVAL,
                **known,
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
            attach=Attach(receipts=receipts, settle=settle),
            cancel_refund=CancelRefund(store=payments, settle=settle),
            resolve=ResolveAttention(settle=settle),
            intake=Intake(inbox=Waking(inbox, news["inbox"]), **shared),
            republish=Republish(events=outbox, publisher=publisher, settle=settle),
            loops=loops,
            inbox=inbox,
            outbox=outbox,
            has_stream=daemon.has_stream,
        )

    def parts(self) -> Any:
        """What `worker_loops` reads of the daemon's parts."""
        stream = SimpleNamespace(state=lambda: SimpleNamespace(connected=self.has_stream()))
        inbox = SimpleNamespace(wait=self.inbox.wait, may_have_more=False)
        outbox = SimpleNamespace(wait=self.outbox.wait, may_have_more=True)
        return SimpleNamespace(
            config=SimpleNamespace(
                outbox=SimpleNamespace(poll_interval_s=POLL_S),
                recovery=SimpleNamespace(interval_s=RECOVERY_S),
            ),
            metrics=Nothing(),
            adapters=SimpleNamespace(
                inbox=inbox,
                outbox=outbox,
                stream=stream,
                clock=SystemClock(),
                sending=SimpleNamespace(is_held=False),
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
