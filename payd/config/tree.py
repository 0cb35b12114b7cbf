"""The configuration tree: every section and setting with default, bounds, variable, meaning."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import attrs
from pydantic import AfterValidator, Field, PrivateAttr

from payd.config.connections import Database, Nats, Redis, Vault
from payd.config.problems import ConfigError, Problem
from payd.config.section import HOST, CommonName, HostName, OperatorName, Section, setting
from payd.domain.quote_token import KEY_LENGTH_MIN
from payd.telemetry import Secret
from payd.transport.console.passwords import entries_of


class Log(Section):
    """Log level and format."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Lowest severity that is logged.", env="LOG_LEVEL"
    )
    format: Literal["auto", "json", "console"] = setting(
        "auto", "Log format; auto means console on a terminal, JSON elsewhere."
    )


class Tracing(Section):
    """Spans for OpenTelemetry; the extra `otel` has its SDK.

    The SDK reads its other variables by itself: OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER,
    OTEL_RESOURCE_ATTRIBUTES and the like.
    """

    endpoint: str | None = setting(
        None,
        "Base URL of a collector that takes OTLP over HTTP, such as http://localhost:4318; spans go"
        " to its path v1/traces. Without it nothing is traced.",
        env="OTEL_EXPORTER_OTLP_ENDPOINT",
        pattern=r"^https?://[^\s@/]+(/[^\s@?#]*)?$",
        form="http:// or https:// with a host, without a password",
    )
    service_name: str = setting(
        "payd", "Name of the service in the spans.", env="OTEL_SERVICE_NAME", max_length=100
    )


@attrs.frozen(kw_only=True)
class TlsFiles:
    """The PEM files of a mutual-TLS server."""

    cert: Path
    key: Path
    ca: Path


class Grpc(Section):
    """gRPC server for the main app, over mutual TLS only."""

    host: str = setting(
        "127.0.0.1", "Address to listen on.", pattern=HOST, form="a host name or an address"
    )
    port: int = setting(50051, "gRPC port; 0 picks a free one.", env="GRPC_PORT", ge=0, le=65535)
    tls_cert_file: Path | None = setting(
        None, "PEM file with the server certificate chain.", env="GRPC_TLS_CERT_FILE"
    )
    tls_key_file: Path | None = setting(
        None, "PEM file with the server's private key.", env="GRPC_TLS_KEY_FILE"
    )
    tls_ca_file: Path | None = setting(
        None, "PEM file with the CA of client certificates.", env="GRPC_TLS_CA_FILE"
    )
    allowed_cns: tuple[CommonName, ...] = setting(
        ("main-app",),
        "Common names of client certificates that may call.",
        env="GRPC_ALLOWED_CNS",
        min_length=1,
        max_length=1000,
    )
    operator_cns: tuple[OperatorName, ...] = setting(
        (),
        "Common names of operators' certificates: they may call everything, for example approve"
        " refunds and resolve attention.",
        env="GRPC_OPERATOR_CNS",
        max_length=1000,
    )
    max_in_flight: int = setting(512, "Maximum number of concurrent calls.", ge=1, le=100_000)
    max_watches: int = setting(
        2000, "Maximum number of payments being watched (WatchPayment).", ge=0, le=100_000
    )
    max_message_bytes: int = setting(
        1024 * 1024, "Maximum bytes of a request.", ge=1024, le=64 * 1024 * 1024
    )
    max_header_bytes: int = setting(
        16 * 1024, "Maximum bytes of a call's metadata.", ge=4096, le=1024 * 1024
    )
    max_connections: int = setting(256, "Maximum number of connections.", ge=1, le=65_536)
    max_connections_per_client: int = setting(
        64, "Maximum number of connections per common name.", ge=1, le=65_536
    )
    max_handshakes: int = setting(
        64,
        "Maximum number of unfinished TLS handshakes; beyond it the oldest is closed.",
        ge=1,
        le=65_536,
    )
    handshake_timeout_s: float = setting(5.0, "Seconds to wait for a TLS handshake.", gt=0, le=60)
    preface_timeout_s: float = setting(5.0, "Seconds to wait for the HTTP/2 preface.", gt=0, le=60)
    message_timeout_s: float = setting(
        10.0,
        "Seconds to wait for a request message, and for the client to read the response.",
        gt=0,
        le=600,
    )
    idle_timeout_s: float = setting(
        300.0, "Seconds after which a connection without calls is closed.", gt=0, le=86_400
    )
    max_connection_age_s: float = setting(
        3600.0,
        "Seconds after which a client is asked to reconnect (GOAWAY); its calls finish first.",
        gt=0,
        le=604_800,
    )
    max_resets: int = setting(
        100, "Maximum number of stream resets per connection in 30 s.", ge=1, le=100_000
    )
    rate_per_client: int = setting(
        1000, "Calls per second per common name; 0 means no limit.", ge=0, le=1_000_000
    )
    rate_burst: int = setting(
        2000, "Calls allowed in a burst beyond that rate.", ge=1, le=1_000_000
    )
    tls_check_interval_s: float = setting(
        5.0, "Seconds between checks for changed certificate files.", gt=0, le=3600
    )
    drain_timeout_s: float = setting(25.0, "Seconds to finish open calls at a stop.", ge=0, le=600)

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
                what=f"missing: gRPC needs mutual TLS; set grpc.{name} or GRPC_{name.upper()}",
            )
            for name in ("tls_cert_file", "tls_key_file", "tls_ca_file")
            if getattr(self, name) is None
        )


def _are_long_keys(keys: tuple[Secret, ...] | None) -> tuple[Secret, ...] | None:
    for key in keys or ():
        _is_long_key(key)
    return keys


def _is_long_key(key: Secret | None) -> Secret | None:
    if key is not None and len(key.reveal()) < KEY_LENGTH_MIN:
        raise ValueError(f"must have at least {KEY_LENGTH_MIN} characters: `openssl rand -hex 32`")
    return key


class Http(Section):
    """HTTP server for health, payment pages, methods and webhooks, behind a TLS proxy."""

    host: str = setting(
        "127.0.0.1", "Address to listen on.", pattern=HOST, form="a host name or an address"
    )
    port: int = setting(8085, "HTTP port; 0 picks a free one.", env="HTTP_PORT", ge=0, le=65535)
    max_body_bytes: int = setting(
        256 * 1024, "Maximum bytes of a request body.", ge=1024, le=16 * 1024 * 1024
    )
    max_connections: int = setting(512, "Maximum number of connections.", ge=1, le=65_536)
    request_timeout_s: float = setting(15.0, "Seconds to receive a whole request.", gt=0, le=600)
    public_url: str | None = setting(
        None,
        "URL under which customers reach this port, such as https://pay.example.com; without it"
        " there are no payment pages.",
        pattern=r"^https?://[A-Za-z0-9.\-\[\]:]{1,255}/?$",
        form="https://HOST, without a path",
    )
    shop_name: str | None = setting(
        None,
        "Name on payment pages and receipts, of the shop that is paid; without it they name none.",
        pattern=r"^[^\x00-\x1f]{1,80}$",
        form="a name of at most 80 characters",
    )
    page_key: Annotated[tuple[Secret, ...] | None, AfterValidator(_are_long_keys)] = setting(
        None,
        "Key of the links to payment pages, the same for all daemons. With two keys the first makes"
        " links, and both open them.",
    )
    page_key_file: Path | None = setting(None, "File with that key; two lines are two keys.")
    max_live_pages: int = setting(
        256,
        "Maximum number of payment pages with live status; further ones ask every few seconds.",
        ge=0,
        le=65_536,
    )


def _are_operators(lines: tuple[Secret, ...] | None) -> tuple[Secret, ...] | None:
    entries_of(line.reveal() for line in lines or ())
    return lines


class Console(Section):
    """Web pages for operators, on a listener of their own that no public proxy leads to."""

    enabled: bool = setting(False, "Serve the console.")
    host: str = setting(
        "127.0.0.1",
        "Address to listen on: a loopback address, unless trusted_network is on.",
        pattern=HOST,
        form="a host name or an address",
    )
    port: int = setting(8086, "Port of the console; 0 picks a free one.", ge=0, le=65535)
    users: Annotated[tuple[Secret, ...] | None, AfterValidator(_are_operators)] = setting(
        None, "Operators who may log in, a line of `payd console-user NAME` each."
    )
    users_file: Path | None = setting(None, "File with those lines.")
    proxy_user_header: str | None = setting(
        None,
        "Header in which a proxy names the operator that it has logged in, such as"
        " X-Forwarded-User; needs proxy_secret.",
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$",
        form="the name of a header",
    )
    proxy_secret: Annotated[Secret | None, AfterValidator(_is_long_key)] = setting(
        None, "Secret by which that proxy proves itself, in the header X-Console-Secret."
    )
    proxy_secret_file: Path | None = setting(None, "File with that secret: `openssl rand -hex 32`.")
    allowed_hosts: tuple[HostName, ...] = setting(
        (),
        "Further host names under which browsers reach the console, such as that of a proxy.",
        max_length=20,
    )
    session_idle_s: float = setting(
        1800.0, "Seconds without a request after which a session ends.", ge=60, le=86_400
    )
    session_max_s: float = setting(
        43_200.0, "Seconds after which a session ends at the latest.", ge=60, le=604_800
    )


class Metrics(Section):
    """Port for Prometheus."""

    host: str = setting(
        "127.0.0.1", "Address to listen on.", pattern=HOST, form="a host name or an address"
    )
    port: int = setting(
        9086, "Metrics port; 0 picks a free one.", env="METRICS_PORT", ge=0, le=65535
    )


class Pricing(Section):
    """The price list."""

    file: Path = setting(
        Path("pricing.yaml"),
        "Price file; by default pricing.yaml beside payd.yaml.",
        env="PRICING_FILE",
    )


class Payments(Section):
    """Quotes, and time limits of payments."""

    quote_ttl_s: int = setting(900, "Seconds for which a quote's price is valid.", ge=1, le=86_400)
    quote_key: Annotated[tuple[Secret, ...] | None, AfterValidator(_are_long_keys)] = setting(
        None,
        "Key that signs quotes, the same for all daemons; without it quotes are indicative. With"
        " two keys the first signs, and both are accepted.",
    )
    quote_key_file: Path | None = setting(None, "File with that key; two lines are two keys.")
    late_window_s: int = setting(
        86_400,
        "Seconds after a payment closed during which money still completes it.",
        ge=0,
        le=2_592_000,
    )
    creating_timeout_s: int = setting(
        600,
        "Seconds after which a payment that never reached its provider fails.",
        ge=10,
        le=86_400,
    )
    await_answer_timeout_s: float = setting(
        5.0,
        "Seconds for which a repeated InitiatePayment waits for the first response.",
        ge=0,
        le=30,
    )


class Refunds(Section):
    """Refunds that need a second person."""

    approval_from: int | None = setting(
        None,
        "Minor units from which on a refund waits for approval; leave it out for never.",
        ge=0,
    )


class Recovery(Section):
    """Expiry, status checks of open payments, event scans and reconciliation."""

    interval_s: float = setting(5.0, "Seconds between passes that find nothing.", gt=0, le=3600)
    batch_size: int = setting(50, "Maximum number of payments per pass.", ge=1, le=1000)
    lease_s: float = setting(
        60.0, "Seconds after which a claimed payment can be claimed again.", ge=5, le=3600
    )
    scan_interval_s: float = setting(
        600.0,
        "Seconds between scans of a provider's event list; `payd restored` needs more than 60.",
        gt=0,
        le=86_400,
    )
    reconcile_interval_s: float = setting(
        86_400.0, "Seconds between reconciliations with a provider.", gt=0, le=604_800
    )
    reconcile_window_s: float = setting(
        172_800.0, "Seconds that a reconciliation looks back.", ge=60, le=2_592_000
    )


def _is_signing_key(key: Secret | None) -> Secret | None:
    if key is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", key.reveal()):
        raise ValueError("must be 64 hexadecimal digits: `openssl rand -hex 32`")
    return key


class Audit(Section):
    """Signatures over the audit trail."""

    signing_key: Annotated[Secret | None, AfterValidator(_is_signing_key)] = setting(
        None,
        "Ed25519 key that signs checkpoints and exports of the audit trail, the same for all"
        " daemons; `payd audit public-key` shows the other half.",
    )
    signing_key_file: Path | None = setting(None, "File with that key: `openssl rand -hex 32`.")
    checkpoint_interval_s: float = setting(
        3600.0, "Seconds between two signed checkpoints.", gt=0, le=86_400
    )


class Inbox(Section):
    """Stored evidence: webhooks and provider reports."""

    raw_retention_days: int = setting(
        30,
        "Days for which the raw body of a webhook is kept; the evidence itself stays.",
        ge=1,
        le=3650,
    )


class Outbox(Section):
    """Events waiting to be published."""

    poll_interval_s: float = setting(
        1.0, "Seconds between polls without a notification.", gt=0, le=60
    )
    lease_s: float = setting(
        30.0, "Seconds after which a claimed event can be claimed again.", ge=5, le=3600
    )
    retention_days: int = setting(
        30, "Days for which published events are kept for `payd events republish`.", ge=30, le=3650
    )


class Provider(Section):
    """One provider. payd checks these two settings; the plugin validates all others."""

    enabled: bool = setting(False, "Load this provider.", env="NAME_ENABLED")
    allow_in_production: bool = setting(
        False,
        "Let a provider made for development run in production.",
        env="NAME_ALLOW_IN_PRODUCTION",
    )
    #: Values from the file, or text from the environment. May contain credentials.
    settings: Annotated[Mapping[str, object], AfterValidator(MappingProxyType)] = Field(
        default_factory=dict, repr=False
    )
    #: Names of `settings` whose value is unparsed text from the environment.
    from_environment: frozenset[str] = frozenset()
    #: Setting → `FILE:LINE` or `environment NAME`.
    origins: Annotated[Mapping[str, str], AfterValidator(MappingProxyType)] = Field(
        default_factory=dict, repr=False
    )


class Providers(Section):
    """The payment providers."""

    failure_mode: Literal["strict", "degraded"] = setting(
        "degraded",
        "A provider with a defect stops the start (strict) or only its methods (degraded).",
        production="strict",
    )
    named: Annotated[Mapping[str, Provider], AfterValidator(MappingProxyType)] = Field(
        default_factory=dict
    )

    def enabled(self) -> Mapping[str, Provider]:
        """The enabled providers by name, in the order of the file."""
        return {name: provider for name, provider in self.named.items() if provider.enabled}


class Config(Section):
    """The whole configuration."""

    environment: Literal["development", "test", "staging", "production"] = setting(
        "development", "Deployment environment.", env="ENVIRONMENT"
    )
    trusted_network: bool = setting(
        False,
        "Allow remote PostgreSQL and NATS without TLS in production; only safe on a private"
        " network.",
    )
    share_ports: bool = setting(
        False,
        "Let several payd of the same user listen on the same gRPC and HTTP ports (SO_REUSEPORT).",
    )
    crash_at: str | None = setting(
        None,
        "Crash point for fault-injection tests: kill the daemon there, at the Nth pass with NAME:N;"
        " refused in production.",
        env="PAYD_CRASH_AT",
        pattern=r"^[a-z][a-z0-9_.-]*(:[1-9][0-9]{0,8})?$",
        form="NAME or NAME:N",
    )
    log: Log = Log()
    tracing: Tracing = Tracing()
    database: Database = Database()
    redis: Redis = Redis()
    nats: Nats = Nats()
    grpc: Grpc = Grpc()
    http: Http = Http()
    console: Console = Console()
    metrics: Metrics = Metrics()
    pricing: Pricing = Pricing()
    payments: Payments = Payments()
    refunds: Refunds = Refunds()
    recovery: Recovery = Recovery()
    audit: Audit = Audit()
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
        """Whether the stricter rules of production apply."""
        return self.environment == "production"

    def origin(self, key: str) -> str:
        """Where a setting's value came from."""
        return self._origins.get(key, "default")

    def in_vault(self, name: str) -> tuple[Secret, ...]:
        """The vault's values of a name, newest first; empty without a value or a vault."""
        return self._vault.get(name, ())
