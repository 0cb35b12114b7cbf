"""Secrets from the vault: waited for at the start, read again and again afterwards.

A vault that is sealed or away at the start means not ready, and trying again with back-off; never
an end, which a service manager would answer by another start. Away later it changes nothing: what
is in memory goes on.
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

Held = Mapping[str, tuple[Secret, ...]]

_BACKOFF_MIN_S = 0.2
_BACKOFF_MAX_S = 10.0
#: Between two readings, whatever asks for one.
_PAUSE_MIN_S = 0.5
_JITTER = 0.1


class SecretKeeper:
    """Reads one vault for as long as the daemon lives."""

    def __init__(self, vault: Vault, config: Config, metrics: Metrics) -> None:
        self._vault = vault
        self._config = config
        self._metrics = metrics
        self._wake, self._woken = trio.open_memory_channel[None](1)

    def look_now(self) -> None:
        """Something was refused that the vault may have anew. From any loop; repeatable."""
        with suppress(trio.WouldBlock):
            self._wake.send_nowait(None)

    async def first(self, manager: ServiceManager, stop: trio.Event) -> Held | None:
        """What the vault holds, once that is all that is needed; None when `stop` came first."""
        if (held := await self._try_once()) is not None:
            return held
        config, shut = self._config, trio.Event()
        async with trio.open_nursery() as nursery:
            open_metrics = metrics_app(self._metrics.registry)
            app = build_waiting_app(self._readiness)
            await nursery.start(
                serve_app, open_metrics, config.metrics.host, config.metrics.port, shut
            )
            await nursery.start(serve_app, app, config.http.host, config.http.port, shut)
            try:
                return await self._until_held(manager, stop)
            finally:
                shut.set()

    async def run(self, take: Callable[[Held], Awaitable[None]]) -> None:
        """Read it now and then, and whenever its token wants it, until cancelled."""
        backoff_s = _BACKOFF_MIN_S
        pause_s = self._interval_s()
        while True:
            with trio.move_on_after(max(_PAUSE_MIN_S, min(pause_s, self._vault.due_in_s()))):
                await self._woken.receive()
                # Who wakes us may do so at every connection.
                await trio.sleep(_PAUSE_MIN_S)
            try:
                held = await self._vault.read()
            except SecretsUnavailable:
                pause_s = random.uniform(backoff_s / 2, backoff_s)  # noqa: S311 - jitter
                backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)
            else:
                await take(held)
                pause_s, backoff_s = self._interval_s(), _BACKOFF_MIN_S

    def check(self) -> Check:
        """For readiness: payments go on without it."""
        problem = self._vault.state().problem
        detail = "" if problem is None else f"what is in memory goes on: {problem}"
        return Check(ok=problem is None, detail=detail, required=False)

    def tell(self) -> None:
        """Set the gauges."""
        state, metrics = self._vault.state(), self._metrics
        metrics.vault_up.set(state.problem is None)
        if state.read_time is not None:
            metrics.vault_read_at.set(state.read_time.timestamp())
        if state.token_expire_time is not None:
            metrics.vault_token_expiry.set(state.token_expire_time.timestamp())

    def _interval_s(self) -> float:
        jitter = random.uniform(1 - _JITTER, 1)  # noqa: S311 - jitter, no secret
        return self._config.vault.read_interval_s * jitter

    async def _until_held(self, manager: ServiceManager, stop: trio.Event) -> Held | None:
        backoff_s = _BACKOFF_MIN_S
        while not stop.is_set():
            self.tell()
            manager.is_waiting(f"waiting for Vault: {self._problem()}")
            with trio.move_on_after(random.uniform(backoff_s / 2, backoff_s)):  # noqa: S311 - jitter
                await stop.wait()
            if (held := await self._try_once()) is not None:
                return held
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)
        return None

    async def _try_once(self) -> Held | None:
        try:
            held = await self._vault.read()
        except SecretsUnavailable:
            return None
        if missing := missing_from_vault(with_vault(self._config, held)):
            _log.warning("vault_lacks", names=missing)
            return None
        return held

    async def _readiness(self) -> Readiness:
        return Readiness(checks={"vault": Check(ok=False, detail=self._problem())})

    def _problem(self) -> str:
        path = self._config.vault.secret_path
        return self._vault.state().problem or f"{path} lacks what is needed; see the log"
