"""What changes while we run: prices, allow-list, certificates, secrets, log level.

Everything is read and tried first, then swapped; when one thing cannot be used, all stays as it
was, and that is told. SIGHUP, a changed certificate and a rotated secret all come through here.
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
from payd.daemon.build import Holder, Outside
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
class Reloads:
    """Reloads that SIGHUP has asked for; several that wait count as one."""

    #: Reads the configuration anew. Raises ConfigError.
    read: Callable[[], Config]
    _asked: trio.MemorySendChannel[None]
    requests: trio.MemoryReceiveChannel[None]

    async def listen(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Take signals until cancelled, from `started` on."""
        with trio.open_signal_receiver(signal.SIGHUP) as signals:
            task_status.started()
            async for _ in signals:
                is_ready = self.requests.statistics().tasks_waiting_receive > 0
                _log.info(
                    "reload_requested",
                    when="now" if is_ready else "after the start or reload under way",
                )
                with suppress(trio.WouldBlock):
                    self._asked.send_nowait(None)


@asynccontextmanager
async def open_reloads(read: Callable[[], Config]) -> AsyncIterator[Reloads]:
    """Take SIGHUP in the body. By itself it would end a process that has not started yet."""
    async with trio.open_nursery() as nursery:
        asked, requests = trio.open_memory_channel[None](1)
        reloads = Reloads(read=read, asked=asked, requests=requests)
        await nursery.start(reloads.listen)
        yield reloads
        nursery.cancel_scope.cancel()


@attrs.frozen(kw_only=True)
class _Prepared:
    """All that was read and tried, ready to be swapped in."""

    config: Config
    prices: PriceList
    certificates: Certificates
    credentials: Mapping[str, Mapping[str, tuple[str, ...]]] = attrs.field(repr=False)


class Rotation:
    """The only one that changes what others hold."""

    def __init__(
        self,
        *,
        holder: Holder,
        outside: Outside,
        providers: OpenProviders,
        tls: Tls,
        metrics: Metrics,
        held: Mapping[str, Sequence[Secret]],
    ) -> None:
        self._holder = holder
        self._outside = outside
        self._providers = providers
        self._tls = tls
        self._metrics = metrics
        #: What the vault held last; empty without one.
        self._held = dict(held)
        #: The files that were not taken last, and why; and whether that was told.
        self._refusal: tuple[bytes, str] | None = None
        self._is_told = False
        #: One change at a time.
        self._lock = trio.Lock()

    async def reload(self, asked: Config) -> str:
        """Everything anew; the new pricing version. Raises ConfigError, and keeps all."""
        async with self._lock:
            try:
                prepared = await self._prepare(with_vault(asked, self._held))
            except ConfigError:
                self._metrics.reloads.labels("refused").inc()
                raise
            self._tls.swap(prepared.certificates)
            telemetry.set_level(prepared.config.log.level)
            self._holder.swap(prepared.config, prepared.prices)
            await self._put_secrets(prepared.config, prepared.credentials)
            self._metrics.reloads.labels("ok").inc()
            return prepared.prices.version

    async def take_secrets(self, held: Mapping[str, Sequence[Secret]]) -> None:
        """What the vault holds now; nothing happens when that is what it held before."""
        async with self._lock:
            if held == self._held:
                return
            config = with_vault(self._holder.config(), held)
            try:
                credentials = credentials_of(config, self._providers.credentials)
            except ConfigError as error:
                self._metrics.reloads.labels("refused").inc()
                _log.error("rotated_secrets_refused", error=str(error))
                return
            changed = sorted(name for name in held if held[name] != self._held.get(name))
            self._held = dict(held)
            self._holder.swap(config, self._holder.current())
            await self._put_secrets(config, credentials)
            self._metrics.reloads.labels("ok").inc()
            _log.info("secrets_rotated", names=changed)

    async def look_at_certificates(self) -> None:
        """Take over changed ones. Those that cannot be used change nothing, and are told once."""
        files, digest = tls_files(self._holder.config()), b""
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
        """Told at the second look: at the first somebody may be between the one file and the other."""
        if refusal != self._refusal:
            self._refusal, self._is_told = refusal, False
        elif not self._is_told:
            self._is_told = True
            self._metrics.tls_reloads.labels("refused").inc()
            _log.error("certificates_refused", error=refusal[1])

    def tell(self) -> None:
        """Set the gauges."""
        now = self._tls.current()
        gauge = self._metrics.tls_expiry
        gauge.labels("server").set(now.server_expire_time.timestamp())
        gauge.labels("client_ca").set(now.client_ca_expire_time.timestamp())

    async def _prepare(self, config: Config) -> _Prepared:
        prices = load_prices(config.pricing.file)
        offered = (entry.method for entry in self._providers.methods.registered())
        check_prices(config, prices, offered)
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
            await bridge.aio(self._outside.database.use_password, password.reveal())
        await bridge.aio(self._outside.stream.renew_if_rotated)


async def _load(files: CertificateFiles) -> Certificates:
    return await trio.to_thread.run_sync(load_certificates, files, SystemClock().now())
