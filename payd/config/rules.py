"""Rules between settings, and the stricter rules of production."""

import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from payd.config.settings import BY_KEY
from payd.config.tree import Config
from payd.domain.actors import CONSOLE

#: payd's own development provider. The loader checks the same rule for plugins that declare it.
_FOR_DEVELOPMENT = "mock"
#: PostgreSQL's default deadlock_timeout: a session waits this long before it checks for a deadlock.
_DEADLOCK_TIMEOUT_MS = 1000

Wrong = tuple[str, str]


def broken_rules(config: Config) -> Iterator[Wrong]:
    """Key and message of every broken rule."""
    yield from _production(config)
    yield from _tls(config)
    yield from _timeouts(config)
    yield from _ports(config)
    yield from _vault(config)
    yield from _nats(config)
    yield from _pages(config)
    yield from _operators(config)
    yield from _console(config)


def _production(config: Config) -> Iterator[Wrong]:
    if not config.in_production:
        return
    if not config.trusted_network:
        yield from (
            (key, f"{what}, or set PAYD_TRUSTED_NETWORK=true if the network is private")
            for key, what in unencrypted_connections(config)
        )
    if config.crash_at is not None:
        yield "crash_at", "crash points are refused in production; unset PAYD_CRASH_AT"
    provider = config.providers.named.get(_FOR_DEVELOPMENT)
    if provider is not None and provider.enabled and not provider.allow_in_production:
        key = f"providers.{_FOR_DEVELOPMENT}"
        yield (
            f"{key}.enabled",
            f"is refused in production; disable it, or set {key}.allow_in_production",
        )


def unencrypted_connections(config: Config) -> list[Wrong]:
    """Remote connections that may carry payment data and passwords unencrypted.

    Redis is exempt: payd has no TLS to Redis, and sends it only call counts and its password.
    """
    found: list[Wrong] = []
    mode, host = config.database.ssl_mode, config.database.host
    if mode in ("disable", "prefer") and not is_loopback(host):
        what = f"{mode} may connect to {host} unencrypted: set DB_SSL_MODE=verify-full"
        found.append(("database.ssl_mode", what))
    plain = [url for url in map(_parsed, config.nats.servers) if url and url.scheme == "nats"]
    hosts = [url.hostname or "" for url in plain if not is_loopback(url.hostname or "")]
    if hosts:
        what = f"nats:// connects to {', '.join(hosts)} unencrypted: use tls:// in NATS_URL"
        found.append(("nats.url", what))
    return found


def _parsed(server: str) -> SplitResult | None:
    try:
        return urlsplit(server)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: a loopback address, localhost, or a Unix socket's folder."""
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _tls(config: Config) -> Iterator[Wrong]:
    missing = config.grpc.missing_tls()
    # Commands that serve nothing need no certificates. Only some of the three is a mistake.
    if config.in_production or len(missing) in (1, 2):
        yield from ((problem.key, problem.what) for problem in missing)
    for key in ("tls_cert_file", "tls_key_file", "tls_ca_file"):
        yield from _readable(f"grpc.{key}", getattr(config.grpc, key))
    yield from _authorities("database.ssl_root_cert_file", config.database.ssl_root_cert_file)


def _readable(key: str, file: Path | None) -> Iterator[Wrong]:
    if file is None:
        return
    try:
        file.open("rb").close()
    except OSError as error:
        yield key, f"cannot read {file}: {error.strerror}"


def _authorities(key: str, file: Path | None) -> Iterator[Wrong]:
    """A readable file of CA certificates."""
    unreadable = list(_readable(key, file))
    yield from unreadable
    if file is None or unreadable:
        return
    try:
        ssl.create_default_context(cafile=file)
    except ssl.SSLError:
        yield key, f"{file} contains no CA certificate in PEM format"


def _pages(config: Config) -> Iterator[Wrong]:
    http = config.http
    if config.in_production and (http.public_url or "").startswith("http:"):
        yield "http.public_url", "must begin with https:// in production"
    if http.max_live_pages >= http.max_connections:
        yield "http.max_live_pages", "must be less than max_connections: webhooks need some, too"


def _operators(config: Config) -> Iterator[Wrong]:
    """Keep `operator:console/NAME` for the console, also while it is off: rows are kept for years.

    As for payd's other names, letter case does not count.
    """
    for name in config.grpc.operator_cns:
        if name.casefold() == CONSOLE:
            what = f"{name} is the console's own name in the audit trail: rename the certificate"
            yield "grpc.operator_cns", what


def _console(config: Config) -> Iterator[Wrong]:
    console = config.console
    if not console.enabled:
        return
    if not (is_loopback(console.host) or config.trusted_network):
        what = "must be a loopback address: reach it with `ssh -L`, or by a proxy on this machine"
        yield "console.host", f"{what}; or set PAYD_TRUSTED_NETWORK=true in a private network"
    if console.session_idle_s > console.session_max_s:
        yield "console.session_idle_s", "must not be more than session_max_s"


def _timeouts(config: Config) -> Iterator[Wrong]:
    database = config.database
    if database.statement_timeout_ms >= database.command_timeout_s * 1000:
        yield (
            "database.statement_timeout_ms",
            "must be less than command_timeout_s, so that PostgreSQL gives up before payd does",
        )
    if database.lock_timeout_ms <= _DEADLOCK_TIMEOUT_MS:
        why = "the default deadlock_timeout, so that PostgreSQL resolves deadlocks first"
        yield "database.lock_timeout_ms", f"must be more than {_DEADLOCK_TIMEOUT_MS}, {why}"


def _ports(config: Config) -> Iterator[Wrong]:
    taken: dict[int, str] = {}
    for name, port in (
        ("grpc", config.grpc.port),
        ("http", config.http.port),
        ("metrics", config.metrics.port),
        ("console", config.console.port if config.console.enabled else 0),
    ):
        if port and port in taken:
            yield f"{name}.port", f"{port} is also {taken[port]}.port; choose another port"
        taken.setdefault(port, name)


def _vault(config: Config) -> Iterator[Wrong]:
    vault = config.vault
    needed = ("addr", "role_id", "secret_id_path", "secret_path")
    given = [name for name in needed if getattr(vault, name) is not None]
    if given:
        together = ", ".join(BY_KEY[f"vault.{name}"].env for name in needed)
        for name in needed:
            if name not in given:
                yield f"vault.{name}", f"missing: set all of {together}, or none"
    yield from _authorities("vault.tls_ca_file", vault.tls_ca_file)
    plain = vault.addr is not None and vault.addr.startswith("http://")
    host = None
    try:
        url = urlsplit(vault.addr or "")
        host = url.hostname
        bad_port = url.port == 0
    except ValueError:
        bad_port = True
    if bad_port:
        yield "vault.addr", "invalid host or port"
    if plain and config.in_production and not is_loopback(host or ""):
        yield "vault.addr", "http to a remote host is refused in production; use https"


def _nats(config: Config) -> Iterator[Wrong]:
    nats = config.nats
    if nats.credentials_file is not None and nats.account_signing_seed is not None:
        yield "nats.credentials_file", "is set as well as account_signing_seed; remove one"
    yield from _authorities("nats.tls_ca_file", nats.tls_ca_file)
    yield from _readable("nats.credentials_file", nats.credentials_file)
    if nats.account_key_is_scoped and nats.account is None:
        yield "nats.account", "missing: account_key_is_scoped needs the account's public key"
