"""Read secrets from Vault: wait for them at the start, then refresh them.

While Vault is sealed or unreachable at the start, the daemon reports not ready and retries with
back-off; exiting would only make the service manager start it again. When Vault becomes unreachable
later, the daemon keeps the secrets in memory.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import trio

from payd import telemetry
from payd.adapters.systemd import ServiceManager
from payd.adapters.vault import Vault
from payd.config import Config, missing_from_vault, with_vault
from payd.ports import SecretsUnavailable
from payd.telemetry import Metrics, Secret
from payd.transport.http.app import Check, Readiness, build_waiting_app
from payd.transport.http.serve import metrics_app, serve_app

_log = telemetry.get_logger(__name__)

#: Name in the vault → values, newest first.
SecretValues = Mapping[str, tuple[Secret, ...]]

_BACKOFF_MIN_S = 0.2
_BACKOFF_MAX_S = 10.0
#: Least seconds between two reads, however often `refresh_now` is called.
_PAUSE_MIN_S = 0.5
_JITTER = 0.1


class SecretRefresher:
    """Reads the configured vault periodically, on demand, and when its token must be renewed."""

    def __init__(self, vault: Vault, config: Config, metrics: Metrics) -> None:
        self._vault = vault
        self._config = config
        self._metrics = metrics
        self._wake, self._woken = trio.open_memory_channel[None](1)

    def refresh_now(self) -> None:
        """Request a read, because a server rejected a secret. Callable from either event loop."""
        with suppress(trio.WouldBlock):
            self._wake.send_nowait(None)

    async def wait_until_complete(
        self, manager: ServiceManager, stop: trio.Event
    ) -> SecretValues | None:
        """Wait until the vault has every required secret; return None when `stop` is set first.

        Meanwhile /readyz and the metrics port answer, so that an operator sees the reason. A shared
        port is left to the daemons that serve there: webhooks have to reach one of them.
        """
        if (values := await self._try_once()) is not None:
            return values
        config, shut = self._config, trio.Event()
        async with trio.open_nursery() as nursery:
            open_metrics = metrics_app(self._metrics.registry)
            app = build_waiting_app(self._readiness)
            await nursery.start(
                serve_app, open_metrics, config.metrics.host, config.metrics.port, shut
            )
            if not config.share_ports:
                await nursery.start(serve_app, app, config.http.host, config.http.port, shut)
            try:
                return await self._retry(manager, stop)
            finally:
                shut.set()

    async def run(self, apply: Callable[[SecretValues], Awaitable[None]]) -> None:
        """Read periodically until cancelled, and pass the values to `apply`."""
        backoff_s = _BACKOFF_MIN_S
        pause_s = self._interval_s()
        while True:
            with trio.move_on_after(max(_PAUSE_MIN_S, min(pause_s, self._vault.due_in_s()))):
                await self._woken.receive()
                # Every rejected connection requests a read: combine those requests.
                await trio.sleep(_PAUSE_MIN_S)
            try:
                values = await self._vault.read()
            except SecretsUnavailable:
                pause_s = random.uniform(backoff_s / 2, backoff_s)  # noqa: S311 - jitter
                backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)
            else:
                await apply(values)
                pause_s, backoff_s = self._interval_s(), _BACKOFF_MIN_S

    def check(self) -> Check:
        """Readiness check; not required, since payments work with the secrets in memory."""
        problem = self._vault.state().problem
        detail = "" if problem is None else f"using the secrets in memory: {problem}"
        return Check(ok=problem is None, detail=detail, required=False)

    def set_gauges(self) -> None:
        """Set the gauges of the vault's state."""
        state, metrics = self._vault.state(), self._metrics
        metrics.vault_up.set(state.problem is None)
        if state.read_time is not None:
            metrics.vault_read_at.set(state.read_time.timestamp())
        if state.token_expire_time is not None:
            metrics.vault_token_expiry.set(state.token_expire_time.timestamp())

    def _interval_s(self) -> float:
        jitter = random.uniform(1 - _JITTER, 1)  # noqa: S311 - jitter, no secret
        return self._config.vault.read_interval_s * jitter

    async def _retry(self, manager: ServiceManager, stop: trio.Event) -> SecretValues | None:
        backoff_s = _BACKOFF_MIN_S
        while not stop.is_set():
            self.set_gauges()
            manager.is_waiting(f"waiting for Vault: {self._problem()}")
            pause_s = random.uniform(backoff_s / 2, backoff_s)  # noqa: S311 - jitter
            with trio.move_on_after(pause_s):
                await stop.wait()
            if (values := await self._try_once()) is not None:
                return values
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)
        return None

    async def _try_once(self) -> SecretValues | None:
        try:
            values = await self._vault.read()
        except SecretsUnavailable:
            return None
        if missing := missing_from_vault(with_vault(self._config, values)):
            _log.warning("vault_secrets_missing", names=missing)
            return None
        return values

    async def _readiness(self) -> Readiness:
        return Readiness(checks={"vault": Check(ok=False, detail=self._problem())})

    def _problem(self) -> str:
        path = self._config.vault.secret_path
        return self._vault.state().problem or f"{path} lacks a required secret: see the log"
