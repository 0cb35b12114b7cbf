"""Change a running daemon: prices, allow-list, certificates, secrets, log level, scans.

SIGHUP, a changed certificate file and a rotated secret all lead here. Each change reads and
validates everything first and swaps it in afterwards. When one part is invalid, nothing changes and
the log gives the reason.
"""

import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import attrs
import trio

from payd import telemetry
from payd.adapters import bridge
from payd.adapters.system import SystemClock
from payd.config import Config, ConfigError, Problem, load_prices, with_vault
from payd.daemon.builders import Adapters, CurrentConfig
from payd.daemon.preflight import check_prices, credentials_of, tls_files
from payd.domain.pricing import PriceList
from payd.providers.loader import OpenProviders
from payd.telemetry import Metrics, Secret, register_secret
from payd.transport.grpc.tls import (
    CertificateFiles,
    CertificateRefused,
    Certificates,
    Tls,
    digest_of,
    load_certificates,
)

_log = telemetry.get_logger(__name__)


@attrs.frozen(kw_only=True)
class ReloadRequests:
    """Reloads requested by SIGHUP; pending requests are combined into one."""

    #: Reads the configuration from file and environment. Raises ConfigError.
    read: Callable[[], Config]
    _pending: trio.MemorySendChannel[None]
    requests: trio.MemoryReceiveChannel[None]

    async def listen(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Receive signals until cancelled. `started` is called once SIGHUP is caught."""
        with trio.open_signal_receiver(signal.SIGHUP) as signals:
            task_status.started()
            async for _ in signals:
                is_ready = self.requests.statistics().tasks_waiting_receive > 0
                _log.info(
                    "reload_requested",
                    when="now" if is_ready else "after the start or reload in progress",
                )
                with suppress(trio.WouldBlock):
                    self._pending.send_nowait(None)


@asynccontextmanager
async def open_reloads(read: Callable[[], Config]) -> AsyncIterator[ReloadRequests]:
    """Catch SIGHUP in the body, from before the start: uncaught, it would end the process."""
    async with trio.open_nursery() as nursery:
        pending, requests = trio.open_memory_channel[None](1)
        reloads = ReloadRequests(read=read, pending=pending, requests=requests)
        await nursery.start(reloads.listen)
        yield reloads
        nursery.cancel_scope.cancel()


@attrs.frozen(kw_only=True)
class _Prepared:
    """Validated values, ready to be swapped in."""

    config: Config
    prices: PriceList
    certificates: Certificates
    credentials: Mapping[str, Mapping[str, tuple[str, ...]]] = attrs.field(repr=False)


class Reloader:
    """Applies every change to the running daemon, one at a time."""

    def __init__(
        self,
        *,
        current: CurrentConfig,
        adapters: Adapters,
        providers: OpenProviders,
        tls: Tls,
        metrics: Metrics,
        secret_values: Mapping[str, Sequence[Secret]],
    ) -> None:
        self.current = current
        self._adapters = adapters
        self._providers = providers
        self._tls = tls
        self._metrics = metrics
        #: Secrets of the last read of the vault; empty without a vault.
        self._secret_values = dict(secret_values)
        #: Digest of the certificate files refused last, and the reason; whether it was logged.
        self._refusal: tuple[bytes, str] | None = None
        self._is_logged = False
        #: Serialises changes: each one reads the state that it replaces.
        self._lock = trio.Lock()

    async def reload(self, config: Config) -> str:
        """Apply a new configuration and return its pricing version.

        Raises ConfigError and changes nothing when any part is invalid.
        """
        async with self._lock:
            try:
                prepared = await self._prepare(with_vault(config, self._secret_values))
            except ConfigError:
                self._metrics.reloads.labels("refused").inc()
                raise
            self._tls.swap(prepared.certificates)
            telemetry.set_level(prepared.config.log.level)
            self.current.swap(prepared.config, prepared.prices)
            await self._put_secrets(prepared.config, prepared.credentials)
            self._metrics.reloads.labels("ok").inc()
            return prepared.prices.version

    async def apply_secrets(self, values: Mapping[str, Sequence[Secret]]) -> None:
        """Apply the vault's secrets, if they differ from those of the last read."""
        async with self._lock:
            if values == self._secret_values:
                return
            config = with_vault(self.current.config(), values)
            try:
                credentials = credentials_of(config, self._providers.credentials)
            except ConfigError as error:
                self._metrics.reloads.labels("refused").inc()
                _log.error("rotated_secrets_refused", error=str(error))
                return
            before, self._secret_values = self._secret_values, dict(values)
            changed = sorted(name for name in values if values[name] != before.get(name))
            self.current.swap(config, self.current.current())
            await self._put_secrets(config, credentials)
            self._metrics.reloads.labels("ok").inc()
            _log.info("secrets_rotated", names=changed)

    async def reload_certificates(self) -> None:
        """Load changed certificate files. Invalid ones change nothing and are logged once."""
        files, digest = tls_files(self.current.config()), b""
        async with self._lock:
            try:
                digest = await trio.to_thread.run_sync(digest_of, files)
                if digest == self._tls.current().digest:
                    self._refusal = None
                    return
                certificates = await _load(files)
            except CertificateRefused as error:
                self._refuse((digest, str(error)))
                return
            self._tls.swap(certificates)
            self._refusal = None
            self._metrics.tls_reloads.labels("ok").inc()
            ends = certificates.server_expire_time.isoformat()
            _log.info("certificates_rotated", expire_time=ends)

    def _refuse(self, refusal: tuple[bytes, str]) -> None:
        """Log a refusal at its second check: at the first, the files may be half replaced."""
        if refusal != self._refusal:
            self._refusal, self._is_logged = refusal, False
        elif not self._is_logged:
            self._is_logged = True
            self._metrics.tls_reloads.labels("refused").inc()
            _log.error("certificates_refused", error=refusal[1])

    def set_gauges(self) -> None:
        """Set the gauges of the certificates' expiry."""
        now = self._tls.current()
        gauge = self._metrics.tls_expiry
        gauge.labels("server").set(now.server_expire_time.timestamp())
        gauge.labels("client_ca").set(now.client_ca_expire_time.timestamp())

    async def _prepare(self, config: Config) -> _Prepared:
        prices = load_prices(config.pricing.file)
        offered = (entry.method for entry in self._providers.methods.registered())
        check_prices(config.pricing.file, prices, offered)
        credentials = credentials_of(config, self._providers.credentials)
        try:
            certificates = await _load(tls_files(config))
        except CertificateRefused as error:
            where = config.origin("grpc.tls_cert_file")
            problem = Problem(key="grpc.tls_cert_file", where=where, what=str(error))
            raise ConfigError([problem]) from None
        return _Prepared(
            config=config, prices=prices, certificates=certificates, credentials=credentials
        )

    async def _put_secrets(
        self, config: Config, credentials: Mapping[str, Mapping[str, tuple[str, ...]]]
    ) -> None:
        for name, values in credentials.items():
            self._providers.credentials[name].replace(values)
        if (password := config.database.password) is not None:
            register_secret(password.reveal())
            await bridge.aio(self._adapters.database.use_password, password.reveal())
        await bridge.aio(self._adapters.stream.renew_if_rotated)


async def _load(files: CertificateFiles) -> Certificates:
    return await trio.to_thread.run_sync(load_certificates, files, SystemClock().now())
