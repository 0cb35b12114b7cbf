"""What is built from the configuration, each object once: the shelf that the nursery runs.

Building opens nothing: no socket, no file but prices and certificates.
"""

import random
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import attrs

from payd import __version__
from payd.adapters import islands
from payd.adapters.jetstream import JetStreamPublisher
from payd.adapters.nats_identity import NatsIdentity
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.leases import PostgresLeases
from payd.adapters.postgres.outbox import PostgresOutbox
from payd.adapters.postgres.receipts import PostgresReceipts
from payd.adapters.postgres.reconciliations import PostgresReconciliations
from payd.adapters.postgres.store import PostgresStore
from payd.adapters.system import CrashAt, RandomIds, SystemClock
from payd.adapters.vault import Vault, VaultSettings
from payd.config import Config, ConfigError, Problem, load_prices, take_credentials
from payd.domain.decide import Rules
from payd.domain.pricing import PriceList
from payd.plugins.loader import EnabledPlugin, PluginError, manifest_of
from payd.plugins.port import ProviderPort, Providers, Registered
from payd.service.ask import Ask
from payd.service.audit import Audit
from payd.service.cancel import Cancel
from payd.service.initiate import Initiate
from payd.service.intake import Intake
from payd.service.look import Look
from payd.service.publish import Publish
from payd.service.query import Query
from payd.service.reconcile import Reconcile
from payd.service.recover import Recover
from payd.service.scan import Scan
from payd.service.settle import Settle
from payd.telemetry import Metrics, register_secret, rpc_observer
from payd.transport.grpc.calls import Limits
from payd.transport.grpc.handlers import Services
from payd.transport.grpc.limits import ConnectionLimits
from payd.transport.grpc.server import Door, GrpcServer
from payd.transport.grpc.tls import (
    CertificateFiles,
    CertificateRefused,
    Tls,
    load_certificates,
)


class Holder:
    """What changes while we run, each whole: prices, the allow-list, secrets."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError for prices that cannot be used."""
        self.swap(config, load_prices(config.pricing.file))

    def current(self) -> PriceList:
        """The port PriceSource."""
        return self._prices

    def allowed(self) -> frozenset[str]:
        """Certificate names that may call."""
        return self._allowed

    def config(self) -> Config:
        """As it was last asked for. Who was built from an older one keeps what cannot change."""
        return self._config

    def redis_password(self) -> str | None:
        """In force now."""
        password = self._config.redis.password
        return password.reveal() if password else None

    def swap(self, config: Config, prices: PriceList) -> None:
        """Replace all."""
        self._config, self._prices = config, prices
        self._allowed = frozenset(config.grpc.allowed_cns)


class MethodMapForAsyncio:
    """The method → provider map for use cases on asyncio, where every provider is on trio."""

    def __init__(self, providers: Providers) -> None:
        self._registered = [
            attrs.evolve(entry, provider=islands.for_asyncio(entry.provider))
            for entry in providers.registered()
        ]
        self._by_method = {entry.method.key: entry for entry in self._registered}
        self._by_name = {entry.provider.name: entry.provider for entry in self._registered}

    def by_method(self, method: str) -> Registered | None:
        """See Providers."""
        return self._by_method.get(method)

    def by_name(self, provider: str) -> ProviderPort | None:
        """See Providers."""
        return self._by_name.get(provider)

    def registered(self) -> Sequence[Registered]:
        """See Providers."""
        return self._registered


@attrs.frozen(kw_only=True)
class Outside:
    """The adapters: asyncio all."""

    database: Database
    store: PostgresStore
    inbox: PostgresInbox
    outbox: PostgresOutbox
    receipts: PostgresReceipts
    leases: PostgresLeases
    reconciliations: PostgresReconciliations
    stream: JetStreamPublisher


@attrs.frozen(kw_only=True)
class UseCases:
    """The services, on asyncio."""

    door: Services
    intake: Intake
    publish: Publish
    recover: Recover
    scan: Scan
    reconcile: Reconcile
    audit: Audit


def build_outside(
    config: Config,
    metrics: Metrics,
    current: Callable[[], Config] | None = None,
    on_refused: Callable[[], None] | None = None,
) -> Outside:
    """Nothing is connected yet.

    `current` gives the configuration with the secrets in force; `on_refused` hears that
    PostgreSQL takes no password of ours.
    """
    database = Database(database_settings(config), on_refused)

    def observe_batch(statement: str, size: int) -> None:
        metrics.batch_size.labels(statement).observe(size)

    return Outside(
        database=database,
        store=PostgresStore(
            database,
            config.environment,
            observe_batch,
            lambda payment: metrics.payments.labels(
                payment.method, payment.status.value.lower()
            ).inc(),
        ),
        inbox=PostgresInbox(database, observe_batch),
        outbox=PostgresOutbox(database),
        receipts=PostgresReceipts(database),
        leases=PostgresLeases(database),
        reconciliations=PostgresReconciliations(database),
        stream=build_stream(
            config, current, lambda outcome: metrics.nats_renewals.labels(outcome).inc()
        ),
    )


def build_stream(
    config: Config,
    current: Callable[[], Config] | None = None,
    on_renewal: Callable[[str], None] = lambda outcome: None,
) -> JetStreamPublisher:
    """The publisher, not connected yet; `current` as in `build_outside`."""
    nats = config.nats

    def signing_seed() -> str | None:
        seed = (current() if current else config).nats.account_signing_seed
        if seed is None:
            return None
        register_secret(seed.reveal())
        return seed.reveal()

    return JetStreamPublisher(
        nats.servers,
        stream=nats.stream,
        create_stream=nats.create_stream,
        publish_timeout_s=nats.publish_timeout_s,
        connect_timeout_s=nats.connect_timeout_s,
        identity=NatsIdentity(
            signing_seed=signing_seed,
            account=nats.account,
            is_scoped=nats.account_key_is_scoped,
            ttl=timedelta(seconds=nats.identity_ttl_s),
            credentials_file=nats.credentials_file,
        ),
        tls=ssl.create_default_context(cafile=nats.tls_ca_file) if nats.tls_ca_file else None,
        on_renewal=on_renewal,
    )


def build_use_cases(
    config: Config, outside: Outside, providers: Providers, holder: Holder
) -> UseCases:
    """Every use case, sharing one clock and one crash point."""
    clock, crash = SystemClock(), crash_points(config)
    store = outside.store
    settle = Settle(
        store=store, providers=providers, clock=clock, crash=crash, rules=payment_rules(config)
    )
    ask = Ask(settle=settle, providers=providers, clock=clock, crash=crash)
    look = Look(settle=settle, inbox=outside.inbox)
    cancel = Cancel(settle=settle, look=look, providers=providers, crash=crash)
    query = Query(
        store=store,
        providers=providers,
        prices=holder,
        clock=clock,
        quote_ttl=timedelta(seconds=config.payments.quote_ttl_s),
    )
    initiate = Initiate(
        store=store, query=query, ask=ask, clock=clock, ids=RandomIds(), crash=crash
    )
    return UseCases(
        door=Services(initiate=initiate, cancel=cancel, query=query),
        intake=Intake(
            inbox=outside.inbox,
            store=store,
            providers=providers,
            settle=settle,
            clock=clock,
            crash=crash,
        ),
        publish=Publish(
            outbox=outside.outbox,
            publisher=outside.stream,
            crash=crash,
            batch_size=config.nats.in_flight,
            lease_s=config.outbox.lease_s,
        ),
        recover=Recover(
            store=store,
            settle=settle,
            ask=ask,
            cancel=cancel,
            look=look,
            providers=providers,
            clock=clock,
            batch_size=config.recovery.batch_size,
            lease_s=config.recovery.lease_s,
        ),
        scan=Scan(
            inbox=outside.inbox,
            cursors=outside.inbox,
            providers=providers,
            interval=timedelta(seconds=config.recovery.scan_interval_s),
        ),
        reconcile=_build_reconcile(config, outside, providers, settle),
        audit=build_audit(config, outside, providers),
    )


def _build_reconcile(
    config: Config, outside: Outside, providers: Providers, settle: Settle
) -> Reconcile:
    return Reconcile(
        store=outside.store,
        settle=settle,
        inbox=outside.inbox,
        cursors=outside.inbox,
        results=outside.reconciliations,
        providers=providers,
        clock=SystemClock(),
        interval=timedelta(seconds=config.recovery.reconcile_interval_s),
        window=timedelta(seconds=config.recovery.reconcile_window_s),
    )


def build_audit(config: Config, outside: Outside, providers: Providers) -> Audit:
    """For the daemon, and for an operator who wants to know now."""
    return Audit(
        receipts=outside.receipts,
        results=outside.reconciliations,
        inbox=outside.inbox,
        cursors=outside.inbox,
        providers=providers,
        clock=SystemClock(),
        interval=timedelta(seconds=config.recovery.reconcile_interval_s),
    )


def crash_points(config: Config) -> CrashAt:
    """Where a fault-injection run dies. Raises ConfigError for a name that is none."""
    try:
        return CrashAt(config.crash_at)
    except ValueError as error:
        where = config.origin("crash_at")
        raise ConfigError([Problem(key="crash_at", where=where, what=str(error))]) from None


def grpc_door(config: Config) -> Door:
    """Where gRPC listens. Raises ConfigError for missing TLS files."""
    grpc = config.grpc
    return Door(
        host=grpc.host,
        port=grpc.port,
        limits=Limits(
            max_in_flight=grpc.max_in_flight,
            max_message_bytes=grpc.max_message_bytes,
            await_answer_s=config.payments.await_answer_timeout_s,
            message_timeout_s=grpc.message_timeout_s,
        ),
        connections=ConnectionLimits(
            total=grpc.max_connections,
            per_client=grpc.max_connections_per_client,
            handshakes=grpc.max_handshakes,
            handshake_timeout_s=grpc.handshake_timeout_s,
            preface_timeout_s=grpc.preface_timeout_s,
            idle_timeout_s=grpc.idle_timeout_s,
            age_s=grpc.max_connection_age_s,
            stalled_timeout_s=grpc.message_timeout_s,
            resets=grpc.max_resets,
            header_bytes=grpc.max_header_bytes,
        ),
    )


def build_grpc(
    config: Config, tls: Tls, services: Services, holder: Holder, metrics: Metrics
) -> GrpcServer:
    """The door, not open yet."""
    return GrpcServer(
        grpc_door(config),
        tls,
        services,
        holder.allowed,
        rpc_observer(metrics),
        lambda reason: metrics.cut.labels(reason).inc(),
    )


def tls_files(config: Config) -> CertificateFiles:
    """The gRPC door's certificates. Raises ConfigError for files that are not set."""
    files = config.grpc.tls_files()
    return CertificateFiles(cert=files.cert, key=files.key, ca=files.ca)


def build_tls(config: Config) -> Tls:
    """The certificates, tried. Raises ConfigError."""
    try:
        return Tls(load_certificates(tls_files(config), SystemClock().now()))
    except CertificateRefused as error:
        where = config.origin("grpc.tls_cert_file")
        problem = Problem(key="grpc.tls_cert_file", where=where, what=str(error))
        raise ConfigError([problem]) from None


def build_vault(config: Config, metrics: Metrics) -> Vault | None:
    """Where secrets are kept; None when no vault is configured."""
    vault = config.vault
    if vault.addr is None or vault.role_id is None:
        return None
    if vault.secret_id_path is None or vault.secret_path is None:
        return None
    settings = VaultSettings(
        addr=vault.addr,
        role_id=vault.role_id,
        secret_id_path=vault.secret_id_path,
        ca_file=vault.tls_ca_file,
        secret_path=vault.secret_path,
        approle_mount=vault.approle_mount,
        timeout_s=vault.timeout_s,
    )

    def count(operation: str, outcome: str) -> None:
        metrics.vault_operations.labels(operation, outcome).inc()

    return Vault(settings, SystemClock(), random.random, count)


def database_settings(config: Config) -> DatabaseSettings:
    """How to reach PostgreSQL."""
    database = config.database
    password = database.password.reveal() if database.password else ""
    register_secret(password)
    return DatabaseSettings(
        host=database.host,
        port=database.port,
        user=database.user,
        password=password,
        name=database.name,
        tls=_database_tls(config),
        pool_size=database.pool_size,
        acquire_timeout_s=database.acquire_timeout_s,
        command_timeout_s=database.command_timeout_s,
        connect_timeout_s=database.connect_timeout_s,
        statement_timeout_ms=database.statement_timeout_ms,
        lock_timeout_ms=database.lock_timeout_ms,
        idle_in_transaction_timeout_ms=database.idle_in_transaction_timeout_ms,
        statement_cache_size=database.statement_cache_size,
    )


def _database_tls(config: Config) -> ssl.SSLContext | str:
    mode, ca = config.database.ssl_mode, config.database.ssl_root_cert_file
    if not mode.startswith("verify") or ca is None:
        return mode
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = mode == "verify-full"
    return context


def enabled_plugins(config: Config) -> Sequence[EnabledPlugin]:
    """What the loader needs to know of each enabled provider. Raises ConfigError."""
    return [_enabled(config, name) for name in config.providers.enabled()]


def credentials_of(
    config: Config, names: Iterable[str]
) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """The credentials of these providers. Raises ConfigError where one is missing."""
    return {name: _enabled(config, name).secrets for name in names}


def _enabled(config: Config, name: str) -> EnabledPlugin:
    try:
        credentials = manifest_of(name).credentials
    except PluginError:
        # The loader meets the same failure, and reports it.
        credentials = ()
    section, found = take_credentials(config, name, credentials)
    secrets = {key: tuple(secret.reveal() for secret in values) for key, values in found.items()}
    for values in secrets.values():
        for value in values:
            register_secret(value)
    return EnabledPlugin(
        name=name,
        settings=section.settings,
        secrets=secrets,
        allow_in_production=section.allow_in_production,
    )


def payment_rules(config: Config) -> Rules:
    """What the operator has set about closing."""
    return Rules(
        late_window=timedelta(seconds=config.payments.late_window_s),
        not_attempted_limit=timedelta(seconds=config.payments.creating_timeout_s),
    )


def new_metrics() -> Metrics:
    """The registry of this process."""
    return Metrics(__version__)


def provider_observer(metrics: Metrics) -> Callable[[str, str, str, float], None]:
    """Counts each call of a provider."""

    def observe(provider: str, operation: str, outcome: str, seconds: float) -> Any:
        metrics.provider_calls.labels(provider, operation, outcome).inc()
        metrics.provider_seconds.labels(provider, operation).observe(seconds)

    return observe
