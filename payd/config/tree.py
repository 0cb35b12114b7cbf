"""The frozen tree: every section and setting with its default, bounds, variable and meaning."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import attrs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints

from payd.config.problems import ConfigError, Problem
from payd.domain.actors import is_reserved
from payd.telemetry import Secret


def setting(default: object, description: str, *, env: str = "", **limits: Any) -> Any:
    """Declare one setting. `env` is its variable where it is not PAYD_SECTION_KEY.

    `production` is its default there, where it is another one; `form` says a pattern in words.
    """
    extra = {"env": env, **{key: limits.pop(key, None) for key in ("production", "form")}}
    return Field(default=default, description=description, json_schema_extra=extra, **limits)


class Section(BaseModel):
    """Strict, frozen, and closed: what is not declared is refused."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def _not_reserved(name: str) -> str:
    if is_reserved(name):
        raise ValueError("is one of payd's own names in the audit trail; use another certificate")
    return name


#: A gRPC client's certificate name; X.509 holds at most 64 characters.
CommonName = Annotated[
    str,
    StringConstraints(pattern=r"^[!-~]([ -~]{0,62}[!-~])?$"),
    AfterValidator(_not_reserved),
]
#: A name, an address of either kind, or the folder of PostgreSQL's socket.
_HOST = (
    r"^([A-Za-z0-9_][A-Za-z0-9._-]*|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.%a-z0-9]*\]?|/\S+)$"
)


class Log(Section):
    """What is told, and how."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "The least severe line that is written.", env="LOG_LEVEL"
    )
    format: Literal["auto", "json", "console"] = setting(
        "auto", "How lines look; auto is console on a terminal, else JSON."
    )


class Database(Section):
    """PostgreSQL."""

    host: str = setting(
        "127.0.0.1",
        "Server name or address.",
        env="DB_HOST",
        pattern=_HOST,
        form="a host name or an address",
    )
    port: int = setting(5432, "Server port.", env="DB_PORT", ge=1, le=65535)
    user: str = setting("payd", "Role.", env="DB_USER", min_length=1, max_length=63)
    password: Secret | None = setting(
        None, "Password; from the environment outside production only.", env="DB_PASSWORD"
    )
    password_file: Path | None = setting(
        None, "File that holds the password.", env="DB_PASSWORD_FILE"
    )
    name: str = setting("payd", "Database.", env="DB_NAME", min_length=1, max_length=63)
    ssl_mode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = setting(
        "prefer",
        "TLS, as in libpq; production needs require or verify-full for another host.",
        env="DB_SSL_MODE",
    )
    ssl_root_cert_file: Path | None = setting(
        None, "CA certificates that verify-ca and verify-full trust; the system's when unset."
    )
    pool_size: int = setting(10, "Connections at most.", ge=2, le=200)
    connect_timeout_s: float = setting(5.0, "Wait for a new connection.", gt=0, le=60)
    acquire_timeout_s: float = setting(1.0, "Wait for a free connection.", gt=0, le=60)
    command_timeout_s: float = setting(3.0, "Wait for a statement's answer.", gt=0, le=60)
    statement_timeout_ms: int = setting(
        2500, "The server ends a statement; below command_timeout_s.", ge=100, le=60_000
    )
    lock_timeout_ms: int = setting(
        2000,
        "The server ends a wait for a lock; more than 1000, its usual deadlock_timeout.",
        ge=50,
        le=60_000,
    )
    idle_in_transaction_timeout_ms: int = setting(
        5000, "The server ends a transaction that does nothing.", ge=100, le=60_000
    )


class Redis(Section):
    """For limits that daemons share; without it each daemon limits alone."""

    addr: str | None = setting(
        None,
        "host:port of Redis or Valkey.",
        env="REDIS_ADDR",
        pattern=r"^\S+:\d{1,5}$",
        form="host:port",
    )
    password: Secret | None = setting(
        None, "Password; from the environment outside production only.", env="REDIS_PASSWORD"
    )
    password_file: Path | None = setting(
        None, "File that holds the password.", env="REDIS_PASSWORD_FILE"
    )


class Nats(Section):
    """The stream that consumers read."""

    url: str = setting(
        "nats://127.0.0.1:4222",
        "Servers, separated by commas; production needs tls:// for another host.",
        env="NATS_URL",
        pattern=r"^(nats|tls)://[^\s,]+(,(nats|tls)://[^\s,]+)*$",
        form="nats://host:port or tls://host:port, several with commas and no blanks between",
        # It may hold a password.
        repr=False,
    )
    stream: str = setting(
        "PAYMENTS",
        "JetStream stream.",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        form="1 to 64 of A-Z a-z 0-9 _ -",
    )
    create_stream: bool = setting(
        True,
        "Create the stream when it is missing; otherwise `payd events create-stream` does.",
        production=False,
    )
    stream_replicas: int = setting(
        1, "NATS servers that keep each stream payd creates: 3 in a cluster.", ge=1, le=5
    )
    stream_max_age_days: int = setting(
        30, "Days that a created stream keeps an event.", ge=1, le=3650
    )
    stream_max_bytes: int = setting(
        1024**3,
        "Bytes that a created stream may hold, reserved on the server's disk.",
        ge=1024**2,
        le=1024**5,
    )
    tls_ca_file: Path | None = setting(
        None, "CA certificates of tls:// servers; the system's when unset."
    )
    credentials_file: Path | None = setting(
        None, "A .creds file that somebody else renews; not with a signing seed."
    )
    account_signing_seed: Secret | None = setting(
        None,
        "Seed (SA…) of the account or of one of its signing keys: payd mints its own identity.",
        env="NATS_ACCOUNT_SIGNING_SEED",
    )
    account_signing_seed_file: Path | None = setting(
        None, "File that holds the seed.", env="NATS_ACCOUNT_SIGNING_SEED_FILE"
    )
    account: str | None = setting(
        None,
        "The account's public key (A…), where the seed is one of a signing key.",
        pattern=r"^A[A-Z2-7]{55}$",
        form="the public key of an account, 56 characters from A",
    )
    account_key_is_scoped: bool = setting(
        False, "The signing key carries the permissions, so that the identity must not."
    )
    identity_ttl_s: float = setting(
        3600.0, "A minted identity's life; it is renewed at 70 % of it.", ge=2, le=86_400
    )
    connect_timeout_s: float = setting(5.0, "Wait for a connection.", gt=0, le=60)
    publish_timeout_s: float = setting(5.0, "Wait for the stream's ack.", gt=0, le=60)
    in_flight: int = setting(32, "Publishes under way at most.", ge=1, le=1024)

    @property
    def servers(self) -> list[str]:
        """One URL each."""
        return self.url.split(",")


@attrs.frozen(kw_only=True)
class TlsFiles:
    """What a mutual-TLS server needs, PEM files all."""

    cert: Path
    key: Path
    ca: Path


class Grpc(Section):
    """The main app's door: mutual TLS, no way around it."""

    host: str = setting(
        "127.0.0.1", "Address to listen on.", pattern=_HOST, form="a host name or an address"
    )
    port: int = setting(50051, "Port; 0 takes a free one.", env="GRPC_PORT", ge=0, le=65535)
    tls_cert_file: Path | None = setting(
        None, "Server certificate chain, PEM.", env="GRPC_TLS_CERT_FILE"
    )
    tls_key_file: Path | None = setting(None, "Its private key, PEM.", env="GRPC_TLS_KEY_FILE")
    tls_ca_file: Path | None = setting(
        None, "CA of the clients' certificates, PEM.", env="GRPC_TLS_CA_FILE"
    )
    allowed_cns: tuple[CommonName, ...] = setting(
        ("main-app",),
        "Certificate names that may call.",
        env="GRPC_ALLOWED_CNS",
        min_length=1,
        max_length=1000,
    )
    max_in_flight: int = setting(512, "Calls under way at most.", ge=1, le=100_000)
    max_message_bytes: int = setting(1024 * 1024, "Largest request.", ge=1024, le=64 * 1024 * 1024)
    max_header_bytes: int = setting(
        16 * 1024, "Largest metadata of a call.", ge=4096, le=1024 * 1024
    )
    max_connections: int = setting(256, "Connections at most.", ge=1, le=65_536)
    max_connections_per_client: int = setting(
        64, "Connections of one certificate name at most.", ge=1, le=65_536
    )
    max_handshakes: int = setting(
        64, "Connections not through TLS yet; beyond it the oldest is cut.", ge=1, le=65_536
    )
    handshake_timeout_s: float = setting(5.0, "Wait for a TLS handshake.", gt=0, le=60)
    preface_timeout_s: float = setting(5.0, "Wait for HTTP/2 to begin.", gt=0, le=60)
    message_timeout_s: float = setting(
        10.0, "Wait for a call's message, and for its answer to be taken.", gt=0, le=600
    )
    idle_timeout_s: float = setting(
        300.0, "A connection without calls is closed after.", gt=0, le=86_400
    )
    max_connection_age_s: float = setting(
        3600.0, "A connection is asked to come again after; its calls end first.", gt=0, le=604_800
    )
    max_resets: int = setting(
        100, "Streams of a connection that may be reset in 30 s.", ge=1, le=100_000
    )
    rate_per_client: int = setting(
        1000, "Calls a second of one certificate name; 0 does not limit.", ge=0, le=1_000_000
    )
    rate_burst: int = setting(2000, "Calls at once beyond that rate.", ge=1, le=1_000_000)
    tls_check_interval_s: float = setting(
        5.0, "Look for changed certificates this often.", gt=0, le=3600
    )
    drain_timeout_s: float = setting(25.0, "Wait for calls under way at a stop.", ge=0, le=600)

    def tls_files(self) -> TlsFiles:
        """The three files a server needs. Raises ConfigError that names those not set."""
        if self.tls_cert_file and self.tls_key_file and self.tls_ca_file:
            return TlsFiles(cert=self.tls_cert_file, key=self.tls_key_file, ca=self.tls_ca_file)
        raise ConfigError(self.missing_tls())

    def missing_tls(self) -> tuple[Problem, ...]:
        """One problem for each of the three files that is not set."""
        return tuple(
            Problem(
                key=f"grpc.{name}",
                where="not set",
                what=f"needed: gRPC is served over mutual TLS only; set it or GRPC_{name.upper()}",
            )
            for name in ("tls_cert_file", "tls_key_file", "tls_ca_file")
            if getattr(self, name) is None
        )


class Http(Section):
    """Health, payment methods, webhooks: plain HTTP behind the TLS proxy."""

    host: str = setting(
        "127.0.0.1", "Address to listen on.", pattern=_HOST, form="a host name or an address"
    )
    port: int = setting(8085, "Port; 0 takes a free one.", env="HTTP_PORT", ge=0, le=65535)
    max_body_bytes: int = setting(256 * 1024, "Largest webhook.", ge=1024, le=16 * 1024 * 1024)
    max_connections: int = setting(512, "Connections at most.", ge=1, le=65_536)
    request_timeout_s: float = setting(15.0, "Wait for a request's end.", gt=0, le=600)


class Metrics(Section):
    """Prometheus."""

    host: str = setting(
        "127.0.0.1", "Address to listen on.", pattern=_HOST, form="a host name or an address"
    )
    port: int = setting(9086, "Port; 0 takes a free one.", env="METRICS_PORT", ge=0, le=65535)


class Pricing(Section):
    """The price list."""

    file: Path = setting(
        Path("pricing.yaml"), "Price file; beside payd.yaml unless set.", env="PRICING_FILE"
    )


class Payments(Section):
    """How long things may take."""

    quote_ttl_s: int = setting(900, "A quote's price is promised for.", ge=1, le=86_400)
    late_window_s: int = setting(
        86_400, "Money this long after closing still completes a payment.", ge=0, le=2_592_000
    )
    creating_timeout_s: int = setting(
        600, "A payment whose provider was provably never asked fails after.", ge=10, le=86_400
    )
    await_answer_timeout_s: float = setting(
        5.0, "A repeated Initiate waits for the first one's answer.", ge=0, le=30
    )


class Recovery(Section):
    """Expiry, and looking again at what stays open."""

    interval_s: float = setting(5.0, "Between two passes that found nothing.", gt=0, le=3600)
    batch_size: int = setting(50, "Payments per pass.", ge=1, le=1000)
    lease_s: float = setting(60.0, "A claimed payment is left alone for.", ge=5, le=3600)
    scan_interval_s: float = setting(
        600.0, "Between two readings of a provider's own list of events.", gt=0, le=86_400
    )
    reconcile_interval_s: float = setting(
        86_400.0, "Between two comparisons of all objects and payments.", gt=0, le=604_800
    )
    reconcile_window_s: float = setting(
        172_800.0, "How far back a comparison goes.", ge=60, le=2_592_000
    )


class Inbox(Section):
    """Evidence, stored before it is believed."""

    raw_retention_days: int = setting(
        30, "The bytes of a webhook are kept for; what evidence needs of it stays.", ge=1, le=3650
    )


class Outbox(Section):
    """Events that were decided and not yet published."""

    poll_interval_s: float = setting(1.0, "Look without a wake-up.", gt=0, le=60)
    lease_s: float = setting(30.0, "A claimed event is left alone for.", ge=5, le=3600)
    retention_days: int = setting(
        30, "Published events are kept for `payd events republish`.", ge=30, le=3650
    )


class Vault(Section):
    """Secrets from Vault or OpenBao, by AppRole. Where it holds one, no file is needed."""

    addr: str | None = setting(
        None,
        "Vault's URL.",
        env="VAULT_ADDR",
        pattern=r"^https?://\S+$",
        form="an http or https URL",
    )
    role_id: str | None = setting(None, "AppRole.", env="VAULT_ROLE_ID", min_length=1)
    secret_id_path: Path | None = setting(
        None, "File with the AppRole's secret id.", env="VAULT_SECRET_ID_PATH"
    )
    tls_ca_file: Path | None = setting(
        None, "CA of Vault's certificate; the system's when unset.", env="VAULT_TLS_CA_FILE"
    )
    secret_path: str | None = setting(
        None,
        "Where payd's secrets are: the mount of a KV version 2 engine, then the path.",
        env="VAULT_SECRET_PATH",
        pattern=r"^[^/\s]+(/[^/\s]+)+$",
        form="MOUNT/PATH, such as secret/payd",
    )
    approle_mount: str = setting(
        "approle",
        "Where AppRole is mounted.",
        pattern=r"^[^/\s]+(/[^/\s]+)*$",
        form="a path without blanks",
    )
    timeout_s: float = setting(5.0, "Wait for one answer.", gt=0, le=60)
    read_interval_s: float = setting(
        60.0, "Between two readings: a rotated secret takes effect within.", gt=0, le=86_400
    )


class Provider(Section):
    """One provider. payd knows two of its settings; the rest are the plugin's own to check."""

    enabled: bool = setting(False, "Load this provider.", env="NAME_ENABLED")
    allow_in_production: bool = setting(
        False,
        "Let a provider made for development run in production.",
        env="NAME_ALLOW_IN_PRODUCTION",
    )
    #: As written in the file, or text where the environment gave it. May hold credentials.
    settings: Annotated[Mapping[str, object], AfterValidator(MappingProxyType)] = Field(
        default_factory=dict, repr=False
    )
    #: Those of `settings` that are text from the environment, still to be parsed.
    from_environment: frozenset[str] = frozenset()
    #: Setting → `FILE:LINE` or `environment NAME`.
    origins: Annotated[Mapping[str, str], AfterValidator(MappingProxyType)] = Field(
        default_factory=dict, repr=False
    )


class Providers(Section):
    """Who can take money."""

    failure_mode: Literal["strict", "degraded"] = setting(
        "degraded",
        "A provider that cannot start stops the daemon (strict) or is left out (degraded).",
        production="strict",
    )
    named: Annotated[Mapping[str, Provider], AfterValidator(MappingProxyType)] = Field(
        default_factory=dict
    )

    def enabled(self) -> Mapping[str, Provider]:
        """Those to load, by name, in the file's order."""
        return {name: provider for name, provider in self.named.items() if provider.enabled}


class Config(Section):
    """What was asked."""

    environment: Literal["development", "test", "staging", "production"] = setting(
        "development", "What kind of place this is.", env="ENVIRONMENT"
    )
    trusted_network: bool = setting(
        False,
        "In production, allow PostgreSQL and NATS on other hosts without TLS: nobody else may be on"
        " the network between them and payd.",
    )
    crash_at: str | None = setting(
        None,
        "Crash point NAME or NAME:N, for fault injection; refused in production.",
        env="PAYD_CRASH_AT",
        pattern=r"^[a-z][a-z0-9_.-]*(:[1-9][0-9]{0,8})?$",
        form="NAME or NAME:N",
    )
    log: Log = Log()
    database: Database = Database()
    redis: Redis = Redis()
    nats: Nats = Nats()
    grpc: Grpc = Grpc()
    http: Http = Http()
    metrics: Metrics = Metrics()
    pricing: Pricing = Pricing()
    payments: Payments = Payments()
    recovery: Recovery = Recovery()
    inbox: Inbox = Inbox()
    outbox: Outbox = Outbox()
    vault: Vault = Vault()
    providers: Providers = Providers()

    #: Key → `FILE:LINE`, `environment NAME` or `default`.
    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)
    #: Name in the vault → values, newest first.
    _vault: Mapping[str, tuple[Secret, ...]] = PrivateAttr(default_factory=dict)

    @property
    def in_production(self) -> bool:
        """Whether the rules for real money hold."""
        return self.environment == "production"

    def origin(self, key: str) -> str:
        """Where a setting's value came from."""
        return self._origins.get(key, "default")

    def in_vault(self, name: str) -> tuple[Secret, ...]:
        """What the vault holds under a name, newest first; empty when nothing, or no vault."""
        return self._vault.get(name, ())
