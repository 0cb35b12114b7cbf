"""Settings of the servers that payd connects to: PostgreSQL, Redis, NATS, Vault."""

from pathlib import Path
from typing import Literal

from payd.config.section import HOST, Section, setting
from payd.telemetry import Secret


class Database(Section):
    """Connection to PostgreSQL."""

    host: str = setting(
        "127.0.0.1",
        "PostgreSQL host name or address.",
        env="DB_HOST",
        pattern=HOST,
        form="a host name or an address",
    )
    port: int = setting(5432, "PostgreSQL port.", env="DB_PORT", ge=1, le=65535)
    user: str = setting("payd", "PostgreSQL role.", env="DB_USER", min_length=1, max_length=63)
    password: Secret | None = setting(
        None, "PostgreSQL password; production refuses the variable.", env="DB_PASSWORD"
    )
    password_file: Path | None = setting(
        None, "File with the PostgreSQL password.", env="DB_PASSWORD_FILE"
    )
    name: str = setting("payd", "Database name.", env="DB_NAME", min_length=1, max_length=63)
    ssl_mode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = setting(
        "prefer",
        "TLS mode as in libpq; for a remote host, production needs require or stricter.",
        env="DB_SSL_MODE",
    )
    ssl_root_cert_file: Path | None = setting(
        None, "CA certificates for verify-ca and verify-full; the system's by default."
    )
    pool_size: int = setting(10, "Maximum number of pooled connections.", ge=2, le=200)
    connect_timeout_s: float = setting(5.0, "Seconds to wait for a new connection.", gt=0, le=60)
    acquire_timeout_s: float = setting(
        1.0, "Seconds to wait for a free pooled connection.", gt=0, le=60
    )
    command_timeout_s: float = setting(
        3.0, "Seconds payd waits for the result of a statement.", gt=0, le=60
    )
    statement_timeout_ms: int = setting(
        2500,
        "Milliseconds after which PostgreSQL cancels a statement; less than command_timeout_s.",
        ge=100,
        le=60_000,
    )
    lock_timeout_ms: int = setting(
        2000,
        "Milliseconds after which PostgreSQL cancels a wait for a lock; more than 1000, the default"
        " deadlock_timeout.",
        ge=50,
        le=60_000,
    )
    idle_in_transaction_timeout_ms: int = setting(
        5000, "Milliseconds after which PostgreSQL ends an idle transaction.", ge=100, le=60_000
    )


class Redis(Section):
    """Redis or Valkey, for rate limits shared by several daemons."""

    addr: str | None = setting(
        None,
        "host:port of Redis or Valkey; without it, each daemon limits calls on its own.",
        env="REDIS_ADDR",
        pattern=r"^\S+:\d{1,5}$",
        form="host:port",
    )
    password: Secret | None = setting(
        None, "Redis password; production refuses the variable.", env="REDIS_PASSWORD"
    )
    password_file: Path | None = setting(
        None, "File with the Redis password.", env="REDIS_PASSWORD_FILE"
    )


class Nats(Section):
    """NATS JetStream, where payment events are published."""

    url: str = setting(
        "nats://127.0.0.1:4222",
        "NATS URLs, separated by commas; for a remote host, production needs tls://.",
        env="NATS_URL",
        pattern=r"^(nats|tls)://[^\s,]+(,(nats|tls)://[^\s,]+)*$",
        form="nats://host:port or tls://host:port, several separated by commas without blanks",
        # It may hold a password.
        repr=False,
    )
    stream: str = setting(
        "PAYMENTS",
        "JetStream stream for payment events.",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        form="1 to 64 of A-Z a-z 0-9 _ -",
    )
    create_stream: bool = setting(
        True,
        "Create a missing stream at the start; if false, run `payd events create-stream`.",
        production=False,
    )
    stream_replicas: int = setting(
        1, "Replicas of the streams that payd creates; 3 in a cluster.", ge=1, le=5
    )
    stream_max_age_days: int = setting(
        30, "Days after which a created stream deletes an event.", ge=1, le=3650
    )
    stream_max_bytes: int = setting(
        1024**3,
        "Maximum bytes of a created stream; NATS reserves them on disk.",
        ge=1024**2,
        le=1024**5,
    )
    tls_ca_file: Path | None = setting(
        None, "CA certificates for tls:// servers; the system's by default."
    )
    credentials_file: Path | None = setting(
        None, "NATS .creds file, renewed outside payd; excludes account_signing_seed."
    )
    account_signing_seed: Secret | None = setting(
        None,
        "Seed (SA…) of the account or of one of its signing keys; payd signs its own short-lived"
        " credentials with it.",
        env="NATS_ACCOUNT_SIGNING_SEED",
    )
    account_signing_seed_file: Path | None = setting(
        None, "File with the signing seed.", env="NATS_ACCOUNT_SIGNING_SEED_FILE"
    )
    account: str | None = setting(
        None,
        "Public key (A…) of the account; needed if the seed belongs to a signing key.",
        pattern=r"^A[A-Z2-7]{55}$",
        form="the public key of an account, 56 characters from A",
    )
    account_key_is_scoped: bool = setting(
        False, "Whether the signing key is scoped: NATS then takes the permissions from the key."
    )
    identity_ttl_s: float = setting(
        3600.0,
        "Lifetime in seconds of the credentials that payd signs; renewed after 70 % of it.",
        ge=2,
        le=86_400,
    )
    connect_timeout_s: float = setting(5.0, "Seconds to wait for a connection.", gt=0, le=60)
    publish_timeout_s: float = setting(
        5.0, "Seconds to wait for the stream's acknowledgement.", gt=0, le=60
    )
    in_flight: int = setting(32, "Maximum number of unacknowledged publishes.", ge=1, le=1024)

    @property
    def servers(self) -> list[str]:
        """The URLs as a list."""
        return self.url.split(",")


class Vault(Section):
    """Secrets from Vault or OpenBao by AppRole; a secret found there needs no file."""

    addr: str | None = setting(
        None,
        "Vault URL.",
        env="VAULT_ADDR",
        pattern=r"^https?://\S+$",
        form="an http or https URL",
    )
    role_id: str | None = setting(
        None, "Role id of the AppRole.", env="VAULT_ROLE_ID", min_length=1
    )
    secret_id_path: Path | None = setting(
        None, "File with the secret id of the AppRole.", env="VAULT_SECRET_ID_PATH"
    )
    tls_ca_file: Path | None = setting(
        None, "CA of Vault's certificate; the system's by default.", env="VAULT_TLS_CA_FILE"
    )
    secret_path: str | None = setting(
        None,
        "Path of payd's secrets: mount of a KV version 2 engine, then the path in it.",
        env="VAULT_SECRET_PATH",
        pattern=r"^[^/\s]+(/[^/\s]+)+$",
        form="MOUNT/PATH, such as secret/payd",
    )
    approle_mount: str = setting(
        "approle",
        "Mount path of the AppRole auth method.",
        pattern=r"^[^/\s]+(/[^/\s]+)*$",
        form="a path without blanks",
    )
    timeout_s: float = setting(5.0, "Seconds to wait for a response.", gt=0, le=60)
    read_interval_s: float = setting(
        60.0,
        "Seconds between reads; a rotated secret takes effect within this time.",
        gt=0,
        le=86_400,
    )
