"""Build the adapters from the configuration. Building connects to nothing."""

import random
import ssl
from collections.abc import Callable
from datetime import timedelta

import attrs

from payd import telemetry
from payd.adapters.audit.keys import KeyRefused, SigningKey
from payd.adapters.nats.dead_letters import JetStreamDeadLetters
from payd.adapters.nats.identity import NatsIdentity
from payd.adapters.nats.publisher import JetStreamPublisher
from payd.adapters.nats.setup import StreamSetup
from payd.adapters.nats.stream import StreamLimits, dead_letter_config, stream_config
from payd.adapters.payment_changes import PolledChanges
from payd.adapters.postgres.accounts import PostgresAccounts
from payd.adapters.postgres.audit_chain import PostgresAuditChain
from payd.adapters.postgres.checkpoints import Checkpoints
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.history import PostgresHistories
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.leases import PostgresLeases
from payd.adapters.postgres.money_to_watch import PostgresMoneyToWatch
from payd.adapters.postgres.outbox import PostgresOutbox
from payd.adapters.postgres.payment_lists import PostgresPaymentLists
from payd.adapters.postgres.personal_data import PostgresPersonalData
from payd.adapters.postgres.receipts import PostgresReceipts
from payd.adapters.postgres.reconciliations import PostgresReconciliations
from payd.adapters.postgres.restores import PostgresRestores, SendingHold
from payd.adapters.postgres.store import PostgresStore
from payd.adapters.postgres.stored_rows import PostgresStoredRows
from payd.adapters.postgres.sums import PostgresSums
from payd.adapters.postgres.tags import PostgresTags
from payd.adapters.rate_limit import RateLimiter, Redis
from payd.adapters.system import SystemClock
from payd.adapters.vault import Vault, VaultSettings
from payd.config import Config, ConfigError, Problem
from payd.domain.decide import Rules
from payd.ports import BusinessClock
from payd.telemetry import Metrics, register_secret
from payd.telemetry.tracing import Tracer

_log = telemetry.get_logger(__name__)


@attrs.frozen(kw_only=True)
class Adapters:
    """Every adapter of the daemon. All of them run on the asyncio loop."""

    #: The clock of payments.
    clock: BusinessClock
    database: Database
    #: The rules for which the store sums receipts: every decision must use these.
    rules: Rules
    store: PostgresStore
    payment_lists: PostgresPaymentLists
    accounts: PostgresAccounts
    histories: PostgresHistories
    personal_data: PostgresPersonalData
    inbox: PostgresInbox
    outbox: PostgresOutbox
    changes: PolledChanges
    receipts: PostgresReceipts
    leases: PostgresLeases
    reconciliations: PostgresReconciliations
    money_to_watch: PostgresMoneyToWatch
    checkpoints: Checkpoints
    sums: PostgresSums
    stored_rows: PostgresStoredRows
    tags: PostgresTags
    sending: SendingHold
    dead_letters: JetStreamDeadLetters
    stream: JetStreamPublisher
    limiter: RateLimiter
    #: None without a collector of spans.
    tracer: Tracer | None = None

    async def close(self) -> None:
        """Finish pending statements, then close the connections to Redis and PostgreSQL."""
        await self.store.drain()
        await self.inbox.drain()
        await self.limiter.close()
        await self.database.close()
        if self.tracer is not None:
            await self.tracer.close()


def build_adapters(
    config: Config,
    metrics: Metrics,
    current: Callable[[], Config] | None = None,
    on_refused: Callable[[], None] | None = None,
    tracer: Tracer | None = None,
    clock: BusinessClock | None = None,
) -> Adapters:
    """Build every adapter, unconnected.

    `current` returns the configuration with the secrets in force. `on_refused` is called when
    PostgreSQL rejects our password: the vault may have a newer one. Production refuses a `clock`.
    """
    clock = _refused_in_production(clock, config) if clock else SystemClock()
    database = Database(database_settings(config), on_refused, clock)
    rules = payment_rules(config)

    def observe_batch(statement: str, size: int) -> None:
        metrics.batch_size.labels(statement).observe(size)

    changes, leases = PolledChanges(config.grpc.max_watches), PostgresLeases(database)
    store = PostgresStore(
        database,
        config.environment,
        rules,
        observe_batch,
        lambda payment: metrics.payments.labels(payment.method, payment.status.value.lower()).inc(),
        lambda refund: metrics.refunds.labels(refund.status.value.lower()).inc(),
        changes.note,
    )
    inbox = PostgresInbox(database, observe_batch)
    outbox = PostgresOutbox(database, changes.wake)
    receipts, money_to_watch = PostgresReceipts(database), PostgresMoneyToWatch(database)
    stream = build_stream(
        config, current, lambda outcome: metrics.nats_renewals.labels(outcome).inc()
    )
    return Adapters(
        clock=clock,
        database=database,
        rules=rules,
        store=store,
        changes=changes,
        payment_lists=PostgresPaymentLists(database, store),
        accounts=PostgresAccounts(database),
        histories=PostgresHistories(database),
        personal_data=PostgresPersonalData(database),
        inbox=inbox,
        outbox=outbox,
        receipts=receipts,
        leases=leases,
        reconciliations=PostgresReconciliations(database),
        money_to_watch=money_to_watch,
        checkpoints=_build_checkpoints(config, metrics, database, leases, clock, current),
        sums=PostgresSums(database, outbox, inbox, receipts, money_to_watch),
        stored_rows=PostgresStoredRows(database),
        tags=PostgresTags(database),
        sending=SendingHold(PostgresRestores(database)),
        dead_letters=JetStreamDeadLetters(stream, config.nats.stream),
        stream=stream,
        limiter=RateLimiter(
            rate=config.grpc.rate_per_client,
            burst=config.grpc.rate_burst,
            redis=_build_redis(config, current or (lambda: config)),
        ),
        tracer=tracer,
    )


def _refused_in_production(clock: BusinessClock, config: Config) -> BusinessClock:
    if config.in_production:
        what = "a test clock is refused in production: it would expire payments that can be paid"
        raise ConfigError([Problem(key="environment", where="payd dev --clock", what=what)])
    return clock


def _build_checkpoints(
    config: Config,
    metrics: Metrics,
    database: Database,
    leases: PostgresLeases,
    clock: BusinessClock,
    current: Callable[[], Config] | None,
) -> Checkpoints:
    return Checkpoints(
        chain=PostgresAuditChain(database),
        leases=leases,
        clock=clock,
        key=lambda: audit_key((current or (lambda: config))()),
        interval=timedelta(seconds=config.audit.checkpoint_interval_s),
        on_signed=lambda signed: metrics.audit_checkpoint_at.set(signed.time.timestamp()),
    )


def build_tracer(config: Config) -> Tracer | None:
    """Build what exports spans; None without a collector. Imports OpenTelemetry only for one."""
    if config.tracing.endpoint is None:
        return None
    from payd.adapters.open_telemetry import OtelTracer

    return OtelTracer(config.tracing.endpoint, config.tracing.service_name, config.environment)


def audit_key(config: Config) -> SigningKey | None:
    """The key that signs checkpoints and exports; None without one, or if a vault's is no key."""
    if config.audit.signing_key is None:
        return None
    seed = config.audit.signing_key.reveal()
    register_secret(seed)
    try:
        return SigningKey(seed)
    except KeyRefused as error:
        _log.error("audit_key_refused", error=str(error))
        return None


def payment_rules(config: Config) -> Rules:
    """The configured time limits for closing a payment."""
    return Rules(
        late_window=timedelta(seconds=config.payments.late_window_s),
        not_attempted_limit=timedelta(seconds=config.payments.creating_timeout_s),
    )


def build_stream(
    config: Config,
    current: Callable[[], Config] | None = None,
    on_renewal: Callable[[str], None] = lambda outcome: None,
) -> JetStreamPublisher:
    """Build the event publisher, unconnected; `current` as in `build_adapters`."""
    nats = config.nats
    return JetStreamPublisher(
        nats.servers,
        stream=nats.stream,
        create_stream=nats.create_stream,
        limits=_stream_limits(config),
        publish_timeout_s=nats.publish_timeout_s,
        connect_timeout_s=nats.connect_timeout_s,
        identity=_nats_identity(config, current),
        tls=_nats_tls(config),
        on_renewal=on_renewal,
    )


def build_stream_setup(config: Config) -> StreamSetup:
    """Build the task that creates the event and dead-letter streams, unconnected."""
    limits = _stream_limits(config)
    return StreamSetup(
        servers=config.nats.servers,
        streams=(stream_config(config.nats.stream, limits), dead_letter_config(limits.replicas)),
        identity=_nats_identity(config),
        tls=_nats_tls(config),
        timeout_s=config.nats.connect_timeout_s,
    )


def _stream_limits(config: Config) -> StreamLimits:
    nats = config.nats
    return StreamLimits(
        replicas=nats.stream_replicas,
        max_age_s=nats.stream_max_age_days * 86_400,
        max_bytes=nats.stream_max_bytes,
    )


def _nats_identity(config: Config, current: Callable[[], Config] | None = None) -> NatsIdentity:
    nats = config.nats

    def signing_seed() -> str | None:
        seed = (current() if current else config).nats.account_signing_seed
        if seed is None:
            return None
        register_secret(seed.reveal())
        return seed.reveal()

    return NatsIdentity(
        signing_seed=signing_seed,
        account=nats.account,
        is_scoped=nats.account_key_is_scoped,
        ttl=timedelta(seconds=nats.identity_ttl_s),
        credentials_file=nats.credentials_file,
    )


def _nats_tls(config: Config) -> ssl.SSLContext | None:
    ca = config.nats.tls_ca_file
    return ssl.create_default_context(cafile=ca) if ca else None


def _build_redis(config: Config, current: Callable[[], Config]) -> Redis | None:
    """Build the connection to Redis, unconnected; None when no Redis is configured."""
    if config.redis.addr is None:
        return None
    from payd.adapters.redis_server import RedisServer

    def password() -> str | None:
        secret = current().redis.password
        if secret is None:
            return None
        register_secret(secret.reveal())
        return secret.reveal()

    return RedisServer(config.redis.addr, password)


def build_vault(config: Config, metrics: Metrics) -> Vault | None:
    """Build the Vault client; None when no vault is configured."""
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
    """Address, credentials, TLS and timeouts of the PostgreSQL connection."""
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
    )


def _database_tls(config: Config) -> ssl.SSLContext | str:
    """An ssl context for the modes that verify a certificate, else libpq's mode word.

    asyncpg would read ~/.postgresql/root.crt for the word `verify-full` and ignore the system's
    certificate authorities (asyncpg.connect_utils). A context without a file trusts those.
    """
    mode = config.database.ssl_mode
    if not mode.startswith("verify"):
        return mode
    context = ssl.create_default_context(cafile=config.database.ssl_root_cert_file)
    context.check_hostname = mode == "verify-full"
    return context
