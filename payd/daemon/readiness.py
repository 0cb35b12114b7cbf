"""Readiness checks, and the gauges sampled with them."""

import attrs
import trio

from payd.adapters import bridge
from payd.adapters.postgres.migrate import MigrationError, pending
from payd.daemon.builders import Adapters
from payd.daemon.secrets import SecretRefresher
from payd.domain.errors import StoreUnavailable
from payd.providers.breaker import BreakerState
from payd.providers.fence import Fence
from payd.providers.loader import OpenProviders
from payd.telemetry import Metrics
from payd.transport.http.app import Check, Readiness

#: Payments can be read meanwhile.
_HELD = "held after a restore: see `payd restored show`"


@attrs.frozen(kw_only=True)
class ReadinessProbe:
    """Checks every dependency, for /readyz, gRPC health, the watchdog and the gauges."""

    adapters: Adapters
    providers: OpenProviders
    #: Set when the daemon is to end.
    stop: trio.Event
    #: None without a vault.
    secrets: SecretRefresher | None = None
    schema_is_current: trio.Event = attrs.field(factory=trio.Event)

    async def check(self) -> Readiness:
        """Run one check per dependency."""
        checks = {"database": await self._database(), "nats": self._stream()}
        if self.secrets is not None:
            checks["vault"] = self.secrets.check()
        for error in self.providers.report.failed:
            failed = Check(ok=False, detail=str(error), required=False)
            checks[f"provider:{error.provider}"] = failed
        for fence in self.providers.fences:
            checks[f"provider:{fence.name}"] = _provider(fence)
        if self.adapters.sending.hold_time is not None:
            checks["sending"] = self._sending()
        if self.stop.is_set():
            checks["daemon"] = Check(ok=False, detail="stopping")
        return Readiness(checks=checks)

    async def sample(self, metrics: Metrics) -> Readiness:
        """Set the gauges and return the readiness."""
        adapters = self.adapters
        size, busy = adapters.database.usage()
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
        if self.secrets is not None:
            self.secrets.set_gauges()
        metrics.rate_shared.set(adapters.limiter.state().shared)
        metrics.nats_connected.set(adapters.stream.state().connected)
        if (ends := adapters.stream.identity_expire_time()) is not None:
            metrics.nats_expiry.set(ends.timestamp())
        now = await self.check()
        metrics.ready.set(now.ready)
        for name, check in now.checks.items():
            metrics.dependency.labels(name).set(check.ok)
        if now.ready:
            depth, age_s = await bridge.aio(adapters.outbox.depth)
            metrics.outbox_depth.set(depth)
            metrics.outbox_age.set(age_s)
            metrics.inbox_depth.set(await bridge.aio(adapters.inbox.depth))
            metrics.unmatched.set(await bridge.aio(adapters.receipts.count_unmatched))
        return now

    async def _database(self) -> Check:
        try:
            if self.schema_is_current.is_set():
                await bridge.aio(self.adapters.database.ping)
                return Check(ok=True)
            missing = await bridge.aio(pending, self.adapters.database)
        except (StoreUnavailable, MigrationError) as error:
            return Check(ok=False, detail=str(error))
        if missing:
            names = ", ".join(migration.name for migration in missing)
            return Check(ok=False, detail=f"run `payd migrate`: missing {names}")
        self.schema_is_current.set()
        return Check(ok=True)

    def _sending(self) -> Check:
        is_held = self.adapters.sending.is_held
        return Check(ok=not is_held, detail=_HELD if is_held else "", required=False)

    def _stream(self) -> Check:
        state = self.adapters.stream.state()
        if not state.connected:
            # Not required: payments work, and their events wait in the outbox.
            waiting = "not connected: check NATS_URL; events wait in the outbox"
            return Check(ok=False, detail=waiting, required=False)
        return Check(ok=state.problem is None, detail=state.problem or "")


def _provider(fence: Fence) -> Check:
    state = fence.state()
    detail = f"{', '.join(state.methods)}; breaker {state.breaker.value}"
    if not state.running:
        detail += "; not running: payd builds it again"
    if state.last_error:
        detail += f"; last error {state.last_error}"
    if state.held_loop_s:
        detail += f"; blocked the event loop for {state.held_loop_s:.1f} s: it waits without await"
    if state.create_refusal:
        detail += f"; {state.create_refusal}"
    if state.refund_refusal:
        detail += f"; may not refund: {state.refund_refusal}"
    if state.watch_halted:
        detail += f"; watch halted: {state.watch_halted}"
    ok = state.ready and state.watch_halted is None and state.create_refusal is None
    values = {
        "version": state.version,
        "methods": list(state.methods),
        "breaker": state.breaker.value,
        "restarts": state.restarts,
        "held_loop_s": round(state.held_loop_s, 3),
    }
    return Check(ok=ok, detail=detail, required=state.misconfigured, state=values)
