"""Where the providers' watches put what they saw, and who of several daemons may.

A watch that only one may run gets its sink while this daemon holds the lease. What it puts is
refused by the database when the lease is another's, whatever this daemon believes.
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

#: How often who does not lead asks for the lead.
ASK_INTERVAL_S = 1.0
#: How often who leads makes sure of it.
CHECK_INTERVAL_S = 2.0
RELEASE_S = 5.0
_NO_REST = timedelta(0)

_log = telemetry.get_logger(__name__)


@attrs.frozen(kw_only=True)
class Watches:
    """The port Sinks of one provider; its ports run on asyncio, the watch on trio."""

    provider: str
    intake: Intake
    cursors: Cursors
    leases: Leases

    @asynccontextmanager
    async def open(self, *, alone: bool) -> AsyncIterator[Sink]:
        """See Sinks."""
        if not alone:
            yield self._sink(None, trio.CancelScope())
            return
        held = await self._lead()
        try:
            with trio.CancelScope() as body:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._make_sure, held, body)
                    yield self._sink(held.lease, body)
                    nursery.cancel_scope.cancel()
            if body.cancelled_caught:
                raise LeadLost("another daemon leads, or the database is away")
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + RELEASE_S):
                await bridge.aio(held.release)

    def _sink(self, lease: Lease | None, body: trio.CancelScope) -> Sink:
        return _Sink(watches=self, lease=lease, body=body)

    async def _lead(self) -> HeldLease:
        """As soon as nobody else does. A database that is away is waited for, too."""
        while True:
            try:
                held = await bridge.aio(self.leases.acquire, f"{WATCH}:{self.provider}")
            except StoreUnavailable:
                held = None
            if held is not None:
                _log.info("watch_leads", provider=self.provider, fence=held.lease.fence)
                return held
            await trio.sleep(ASK_INTERVAL_S * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, no secret

    async def _make_sure(self, held: HeldLease, body: trio.CancelScope) -> None:
        while True:
            await trio.sleep(CHECK_INTERVAL_S)
            try:
                await bridge.aio(held.check)
            except LeaseLost as error:
                _log.warning("watch_lost_lead", provider=self.provider, error=str(error))
                body.cancel()


def cursor_reader(cursors: Cursors) -> Callable[[str], Awaitable[str | None]]:
    """For trio: how far a provider's watch has come, whichever daemon runs it."""

    async def read(provider: str) -> str | None:
        return await bridge.aio(cursors.read_cursor, provider, WATCH)

    return read


@attrs.frozen(kw_only=True)
class _Sink:
    """The port Sink."""

    watches: Watches
    lease: Lease | None
    #: Cancelled when the lease turns out to be another's.
    body: trio.CancelScope

    async def cursor(self) -> str | None:
        """See Sink."""
        return await cursor_reader(self.watches.cursors)(self.watches.provider)

    async def put(
        self,
        observations: Sequence[Observation],
        /,
        *,
        outflows: Sequence[Outflow] = (),
        cursor: str | None = None,
    ) -> None:
        """See Sink."""
        moved = Cursor(name=WATCH, value=cursor, rest=_NO_REST) if cursor is not None else None
        intake, provider = self.watches.intake, self.watches.provider
        try:
            await bridge.aio(
                intake.accept, provider, observations, moved, outflows=outflows, lease=self.lease
            )
        except LeaseLost as error:
            self.body.cancel()
            await trio.lowlevel.checkpoint()
            # Still here only inside a shield: even there it must not seem stored.
            raise LeadLost(str(error)) from error
