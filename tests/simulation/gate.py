"""The gate between one daemon and the world: faults happen there, and a dead daemon ends there."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

import attrs
import trio
from support.memory import MemoryLedger
from support.memory.ledger import MemoryLease

from payd.domain.errors import StoreUnavailable
from payd.ports import Lease, LeaseLost

#: The loop or the request that runs.
PATH: ContextVar[str] = ContextVar("path", default="none")


@attrs.define
class Gate:
    """What stands between one daemon and the world; once closed nothing passes any more."""

    #: Says what happens to a call: "", "before", "after" or a kill; and how long it takes.
    fate: Callable[["Gate", str], tuple[str, float]]
    #: Called with each call that has passed, and its result.
    note: Callable[[str, object], None]
    name: str
    is_closed: bool = False
    #: Until then nothing passes.
    frozen_until_s: float = 0.0
    killed: trio.Event = attrs.field(factory=trio.Event)

    @property
    def is_frozen(self) -> bool:
        """Whether the process stands still."""
        return trio.current_time() < self.frozen_until_s

    async def passed(self, call: str, run: Callable[[], Awaitable[Any]]) -> Any:
        """Run a call of a port, with its fate."""
        fault, delay_s = self.fate(self, call)
        is_claim = ".claim" in call
        # Most claims find nothing, and nobody can tell when those began.
        await self._travel(0.0 if is_claim else delay_s)
        if fault == "kill before":
            await self._die()
        if fault == "before":
            raise StoreUnavailable("lost", retry_after_s=1.0)
        result = await run()
        self.note(f"{self.name} {call} {fault}", result)
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
        if self.is_frozen:
            await asyncio.sleep(self.frozen_until_s - trio.current_time())
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


@attrs.define
class SessionLeases:
    """The leases of one daemon's session at the database."""

    ledger: MemoryLedger
    gate: Gate
    _held: list[MemoryLease] = attrs.field(factory=list)

    async def acquire(self, name: str) -> Any:
        """Take a lease, as the port says."""

        taken: list[MemoryLease] = []

        async def take() -> MemoryLease | None:
            lease = await self.ledger.acquire(name)
            taken.extend([lease] if lease else [])
            self._held += taken
            return lease

        try:
            lease = await self.during("leases.claim", take)
        except LeaseLost:
            return None
        except asyncio.CancelledError:
            # Nobody waits for it any more: PostgreSQL's adapter ends the session, too.
            for one in taken:
                await one.release()
            raise
        return None if lease is None else SessionLease(lease, self)

    async def during(self, call: str, run: Callable[[], Awaitable[Any]]) -> Any:
        """Run a call in the session; without an answer the session ends, and its leases."""
        try:
            return await self.gate.passed(call, run)
        except StoreUnavailable as error:
            await self.lose()
            raise LeaseLost("no answer") from error

    async def lose(self) -> None:
        """The database ends the session."""
        for lease in self._held:
            await lease.release()
        self._held.clear()


@attrs.frozen
class SessionLease:
    """A lease that lasts as long as the session."""

    _lease: MemoryLease
    _session: SessionLeases

    @property
    def lease(self) -> Lease:
        return self._lease.lease

    async def check(self) -> None:
        await self._session.during("lease.check", self._lease.check)

    async def release(self) -> None:
        with suppress(LeaseLost):
            await self._session.during("lease.release", self._lease.release)
