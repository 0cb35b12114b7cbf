"""Store what provider watches report; a lease decides which daemon runs an exclusive watch.

An exclusive watch gets its sink while this daemon holds the provider's lease. Every write carries
the lease's fencing number, and the database rejects it once another daemon has taken the lease.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import attrs
import trio

from payd import telemetry
from payd.adapters import bridge
from payd.domain.errors import StoreUnavailable
from payd.domain.evidence import Observation, Outflow
from payd.plugins.interface import Sink
from payd.ports import WATCH, Cursor, Cursors, HeldLease, Lease, LeaseLost, Leases
from payd.providers.watching import LeadLost
from payd.service.intake import Intake

#: Seconds between attempts to take the lease while another daemon has it.
ASK_INTERVAL_S = 1.0
#: Seconds between checks that this daemon still has the lease.
CHECK_INTERVAL_S = 2.0
#: Seconds to release the lease at the end; after that it expires with its session.
RELEASE_S = 5.0
_NO_REST = timedelta(0)

_log = telemetry.get_logger(__name__)


@attrs.frozen(kw_only=True)
class Watches:
    """The sinks of one provider's watch, which runs on trio; the ports used here run on asyncio."""

    provider: str
    intake: Intake
    cursors: Cursors
    leases: Leases

    @asynccontextmanager
    async def open(self, *, alone: bool) -> AsyncIterator[Sink]:
        """Open a sink. With `alone`, wait for the lease first; cancel the body when it is lost."""
        if not alone:
            yield self._sink(None, trio.CancelScope())
            return
        held = await self._acquire_lease()
        try:
            with trio.CancelScope() as body:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._check_lease, held, body)
                    yield self._sink(held.lease, body)
                    nursery.cancel_scope.cancel()
            if body.cancelled_caught:
                raise LeadLost("another daemon has the lease, or the database is unreachable")
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + RELEASE_S):
                await bridge.aio(held.release)

    def _sink(self, lease: Lease | None, body: trio.CancelScope) -> Sink:
        return _Sink(watches=self, lease=lease, body=body)

    async def _acquire_lease(self) -> HeldLease:
        """Retry until no other daemon has the lease and the database is reachable."""
        while True:
            try:
                held = await bridge.aio(self.leases.acquire, f"{WATCH}:{self.provider}")
            except StoreUnavailable:
                held = None
            if held is not None:
                _log.info("watch_leads", provider=self.provider, fence=held.lease.fence)
                return held
            await trio.sleep(ASK_INTERVAL_S * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    async def _check_lease(self, held: HeldLease, body: trio.CancelScope) -> None:
        while True:
            await trio.sleep(CHECK_INTERVAL_S)
            try:
                await bridge.aio(held.check)
            except LeaseLost as error:
                _log.warning("watch_lost_lead", provider=self.provider, error=str(error))
                body.cancel()


def cursor_reader(cursors: Cursors) -> Callable[[str], Awaitable[str | None]]:
    """Build a function for trio that reads the stored cursor of a provider's watch."""

    async def read(provider: str) -> str | None:
        return await bridge.aio(cursors.read_cursor, provider, WATCH)

    return read


@attrs.frozen(kw_only=True)
class _Sink:
    """Stores observations under one lease, or under none for a watch that may run twice."""

    watches: Watches
    lease: Lease | None
    #: Cancelled when another daemon has taken the lease.
    body: trio.CancelScope

    async def cursor(self) -> str | None:
        """Return the stored cursor; None before the first one."""
        return await cursor_reader(self.watches.cursors)(self.watches.provider)

    async def put(
        self,
        observations: Sequence[Observation],
        /,
        *,
        outflows: Sequence[Outflow] = (),
        cursor: str | None = None,
    ) -> None:
        """Store observations, outflows and the new cursor in one transaction."""
        moved = Cursor(name=WATCH, value=cursor, rest=_NO_REST) if cursor is not None else None
        intake, provider = self.watches.intake, self.watches.provider
        try:
            await bridge.aio(
                intake.accept, provider, observations, moved, outflows=outflows, lease=self.lease
            )
        except LeaseLost as error:
            self.body.cancel()
            await trio.lowlevel.checkpoint()
            # Reached only inside a shield. Raise, so that the write does not look stored.
            raise LeadLost(str(error)) from error
