"""How the daemon stands: readiness, from what it depends on, and the gauges of what it holds."""

import attrs
import trio

from payd.adapters import bridge
from payd.adapters.postgres.migrate import MigrationError, pending
from payd.daemon.build import Outside
from payd.daemon.secrets import SecretKeeper
from payd.domain.errors import StoreUnavailable
from payd.providers.breaker import BreakerState
from payd.providers.fence import Fence
from payd.providers.loader import OpenProviders
from payd.telemetry import Metrics
from payd.transport.http.app import Check, Readiness


@attrs.frozen(kw_only=True)
class Condition:
    """What /readyz, gRPC health and the gauges are told from."""

    outside: Outside
    providers: OpenProviders
    #: Somebody wants the daemon to end.
    stop: trio.Event
    #: None without a vault.
    keeper: SecretKeeper | None = None
    schema_is_current: trio.Event = attrs.field(factory=trio.Event)

    async def readiness(self) -> Readiness:
        """One check a dependency."""
        checks = {"database": await self._database(), "nats": self._stream()}
        if self.keeper is not None:
            checks["vault"] = self.keeper.check()
        for error in self.providers.report.failed:
            failed = Check(ok=False, detail=str(error), required=False)
            checks[f"provider:{error.provider}"] = failed
        for fence in self.providers.fences:
            checks[f"provider:{fence.name}"] = _provider(fence)
        if self.stop.is_set():
            checks["daemon"] = Check(ok=False, detail="stopping")
        return Readiness(checks=checks)

    async def sample(self, metrics: Metrics) -> Readiness:
        """Set the gauges; how the daemon stands."""
        outside = self.outside
        size, busy = outside.database.usage()
        metrics.pool_size.set(size)
        metrics.pool_in_use.set(busy)
        for error in self.providers.report.failed:
            metrics.provider_up.labels(error.provider).set(False)
        for fence in self.providers.fences:
            state = fence.state()
            metrics.provider_up.labels(fence.name).set(state.ready)
            metrics.breaker_open.labels(fence.name).set(state.breaker is BreakerState.OPEN)
            metrics.creates_refused.labels(fence.name).set(state.creates_refused)
            metrics.watch_halted.labels(fence.name).set(state.watch_halted is not None)
            if state.watch_leads is not None:
                metrics.watch_leads.labels(fence.name).set(state.watch_leads)
        if self.keeper is not None:
            self.keeper.tell()
        metrics.rate_shared.set(outside.limiter.state().shared)
        metrics.nats_connected.set(outside.stream.state().connected)
        if (ends := outside.stream.identity_expire_time()) is not None:
            metrics.nats_expiry.set(ends.timestamp())
        now = await self.readiness()
        metrics.ready.set(now.ready)
        for name, check in now.checks.items():
            metrics.dependency.labels(name).set(check.ok)
        if now.ready:
            depth, age_s = await bridge.aio(outside.outbox.depth)
            metrics.outbox_depth.set(depth)
            metrics.outbox_age.set(age_s)
            metrics.inbox_depth.set(await bridge.aio(outside.inbox.depth))
            metrics.unmatched.set(await bridge.aio(outside.receipts.count_unmatched))
        return now

    async def _database(self) -> Check:
        try:
            if self.schema_is_current.is_set():
                await bridge.aio(self.outside.database.ping)
                return Check(ok=True)
            missing = await bridge.aio(pending, self.outside.database)
        except (StoreUnavailable, MigrationError) as error:
            return Check(ok=False, detail=str(error))
        if missing:
            return Check(ok=False, detail=f"run `payd migrate`: {len(missing)} are missing")
        self.schema_is_current.set()
        return Check(ok=True)

    def _stream(self) -> Check:
        state = self.outside.stream.state()
        if not state.connected:
            # Payments go on: the outbox holds their events until the stream is back.
            waiting = "not connected; events wait in the outbox"
            return Check(ok=False, detail=waiting, required=False)
        return Check(ok=state.problem is None, detail=state.problem or "")


def _provider(fence: Fence) -> Check:
    state = fence.state()
    detail = f"{', '.join(state.methods)}; breaker {state.breaker.value}"
    if state.last_error:
        detail += f"; last error {state.last_error}"
    if state.held_loop_s:
        detail += f"; held the loop for {state.held_loop_s:.1f} s: it waits without await"
    if state.create_refusal:
        detail += f"; {state.create_refusal}"
    if state.watch_halted:
        detail += f"; its watch halted: {state.watch_halted}"
    ok = state.ready and state.watch_halted is None and state.create_refusal is None
    told = {
        "version": state.version,
        "methods": list(state.methods),
        "breaker": state.breaker.value,
        "restarts": state.restarts,
        "held_loop_s": round(state.held_loop_s, 3),
    }
    return Check(ok=ok, detail=detail, required=state.misconfigured, state=told)
