"""`payd doctor`: check the daemon and every dependency; print one line each, with the fix."""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from payd.cli import render
from payd.cli.ask_daemon import ClientFiles, Finding, ask_grpc, ask_readiness, host_to_ask
from payd.cli.console_check import console_finding
from payd.cli.operate import checked_prices, price_summary, read_config
from payd.cli.target import find_dev, target_options

if TYPE_CHECKING:
    from payd.providers.state import ProviderState

_TIMEOUT_S = 5.0
#: A certificate that expires within this many days is a finding.
_EXPIRY_WARNING_DAYS = 14
#: Expiry and leases are judged by clocks; a host with NTP is within milliseconds.
_CLOCK_TOLERANCE_S = 2.0
#: Findings that advise to make a key.
_NEED_KEYS = ("payment pages", "audit trail", "console")
#: Intervals without a checkpoint that are a finding.
_LATE_CHECKPOINTS = 3


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@target_options
def doctor(as_json: bool, state_dir: Path | None, **target: Any) -> None:
    """Check every dependency and say how to fix it.

    The check of gRPC health needs the certificate files of a client (--ca, --cert and --key);
    `payd dev` provides them. Exits with 1 when a check fails.
    """
    import trio

    config = read_config(state_dir, with_secrets=False)
    dev = find_dev(state_dir)
    of_dev = f", `payd dev` on {dev}" if dev else ""
    findings = [Finding("configuration", True, f"environment {config.environment}{of_dev}")]
    if config.vault.addr is not None:
        config, found = trio.run(_vault, config)
        findings.append(found)
    findings += _local(config)
    findings.append(pages_finding(config))
    findings.append(console_finding(config))
    findings += _without_effect(config)
    findings += ask_readiness(config)
    findings += trio.run(_remote, config, *_grpc(config, dev, **target))
    if any(finding.what == "Vault" and not finding.ok for finding in findings):
        # Vault may have the keys: advice to add one could replace it.
        findings = [finding for finding in findings if finding.what not in _NEED_KEYS]
    if as_json:
        render.as_json([attrs.asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = click.style("✓", fg="green") if finding.ok else click.style("✗", fg="red")
            click.echo(f"{mark} {finding.what:<14} {finding.detail}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


def _grpc(
    config: Any,
    dev: Path | None,
    target: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
) -> tuple[str, int, ClientFiles | None]:
    """Host and port of the daemon's gRPC server, and the client's files; None without files."""
    host, port = host_to_ask(config.grpc.host), config.grpc.port
    if target:
        host, _, text = target.rpartition(":")
        if not (host and text.isdecimal() and 0 < int(text) < 65536):
            raise click.UsageError(f"{target!r} is not host:port")
        port = int(text)
    pki = dev / "pki" if dev else None
    ca = ca or (pki and pki / "ca.crt")
    cert = cert or (pki and pki / "client.crt")
    key = key or (pki and pki / "client.key")
    files = ClientFiles(ca=ca, cert=cert, key=key) if ca and cert and key else None
    return host, port, files


def _local(config: Any) -> Iterator[Finding]:
    from payd.config import ConfigError

    try:
        prices = checked_prices(config)
        yield Finding("prices", True, price_summary(prices))
    except ConfigError as error:
        yield Finding("prices", False, f"fix {config.pricing.file}: {error}")
    try:
        files = config.grpc.tls_files()
    except ConfigError as error:
        yield Finding("certificates", False, str(error))
    else:
        yield _certificates(files.cert, files.key, files.ca)


def pages_finding(config: Any) -> Finding:
    """Say where payment pages are, or what they need; without them payd works all the same."""
    url, key = config.http.public_url, config.http.page_key
    missing = [] if key else [how_to_add(config, "page_key", "PAYD_HTTP_PAGE_KEY_FILE")]
    if url and key:
        return Finding("payment pages", True, f"at {url}")
    if not url:
        missing.append("set PAYD_HTTP_PUBLIC_URL to the URL under which customers reach HTTP_PORT")
    # A host with a public URL was meant to have pages.
    return Finding("payment pages", not url, f"none: {', and '.join(missing)}")


def _without_effect(config: Any) -> Iterator[Finding]:
    from payd.daemon.without_effect import without_effect

    for problem in without_effect(config):
        yield Finding("without effect", False, f"{problem.key}: {problem.what}")


def how_to_add(config: Any, name: str, variable: str) -> str:
    """Say how this host gets a key, beside its other secrets; never replace one that exists."""
    if config.vault.addr is not None:
        return f'run `vault kv patch {config.vault.secret_path} {name}="$(openssl rand -hex 32)"`'
    password = config.database.password_file
    file = password.parent / name if password else Path("secrets") / name
    if file.exists():
        return f"set {variable}={file}; the file exists, so do not make another key"
    return f"run `(umask 077; openssl rand -hex 32 > {file})` and set {variable}={file}"


def _certificates(cert: Path, key: Path, ca: Path) -> Finding:
    from payd.transport.grpc.tls import CertificateFiles, CertificateRefused, load_certificates

    now = datetime.now(UTC)
    try:
        loaded = load_certificates(CertificateFiles(cert=cert, key=key, ca=ca), now)
    except CertificateRefused as error:
        return Finding("certificates", False, str(error))
    days = (loaded.server_expire_time - now).days
    if days < _EXPIRY_WARNING_DAYS:
        return Finding("certificates", False, f"renew {cert}: it expires in {days} days")
    return Finding("certificates", True, f"valid for {days} days")


async def _vault(config: Any) -> tuple[Any, Finding]:
    """Read the vault; return the configuration with its secrets, and the finding."""
    from payd.config import missing_from_vault, with_vault
    from payd.daemon.builders import build_vault, new_metrics
    from payd.ports import SecretsUnavailable

    vault = build_vault(config, new_metrics())
    where = f"{config.vault.addr}, {config.vault.secret_path}"
    try:
        values = {} if vault is None else await vault.read()
    except SecretsUnavailable as error:
        return config, Finding("Vault", False, f"{where}: {error}; check the VAULT_ variables")
    config = with_vault(config, values)
    if missing := missing_from_vault(config):
        return config, Finding("Vault", False, f"{where}: add the missing {', '.join(missing)}")
    return config, Finding("Vault", True, f"{where} has {', '.join(sorted(values))}")


async def _remote(config: Any, host: str, port: int, files: ClientFiles | None) -> list[Finding]:
    from payd.adapters import bridge

    async with bridge.open_loop(lambda message, error: None):
        found = [await bridge.aio(ask_grpc, host, port, files)]
        found += [await _database(config), await _stream(config), await _redis(config)]
        found += await _clock(config)
        found += await _audit_trail(config)
    return found + await _providers(config)


async def _providers(config: Any) -> list[Finding]:
    """Start every enabled provider with its settings and credentials, and check its health."""
    from payd.config import ConfigError
    from payd.daemon.preflight import enabled_plugins

    try:
        plugins = enabled_plugins(config)
    except ConfigError as error:
        return [Finding("providers", False, str(error))]
    if not plugins:
        return [Finding("providers", False, "none enabled: set STRIPE_ENABLED=true, for example")]
    return [found for plugin in plugins for found in await _provider(config, plugin)]


async def _provider(config: Any, plugin: Any) -> list[Finding]:
    import random

    from payd import telemetry
    from payd.adapters.system import SystemClock
    from payd.providers.loader import FailureMode, open_providers

    what, log = f"provider {plugin.name}", _LastError()
    telemetry.set_level("critical")
    async with open_providers(
        [plugin],
        environment=config.environment,
        clock=SystemClock(),
        failure_mode=FailureMode.DEGRADED,
        log_of=lambda provider: log,
        random=random.random,
    ) as opened:
        findings = [Finding(what, False, str(error)) for error in opened.report.failed]
        for fence in opened.fences:
            await fence.check_health()
            findings.append(health_finding(fence.state(), log.text))
    return findings


def health_finding(state: "ProviderState", said: str) -> Finding:
    """Judge a provider after a check of its health; `said` is the error of its last failed call."""
    from payd import telemetry

    what = f"provider {state.name}"
    if state.healthy:
        methods = ", ".join(state.methods)
        return Finding(what, True, f"version {state.version}, methods {methods}")
    why = telemetry.without_secrets(said or state.last_error or "no response")
    if not state.running:
        return Finding(what, False, f"cannot start: {why}; check its settings and its remote side")
    return Finding(what, False, f"{why}; check its settings and credentials")


class _LastError:
    """A provider's log that keeps the text of the last failed call only."""

    text = ""

    def info(self, event: str, **fields: Any) -> None:
        """Drop the line."""

    def warning(self, event: str, **fields: Any) -> None:
        """Keep why a call failed; drop any other line."""
        if event == "provider_call_failed":
            self.text = str(fields["error"])

    def error(self, event: str, **fields: Any) -> None:
        """Drop the line: what it says is in the provider's state, too."""


async def _database(config: Any) -> Finding:
    from payd.adapters import bridge
    from payd.adapters.postgres.database import Database
    from payd.adapters.postgres.migrate import MigrationError, pending
    from payd.daemon.builders import database_settings
    from payd.domain.errors import StoreUnavailable

    where = f"{config.database.host}:{config.database.port}/{config.database.name}"
    try:
        missing = await bridge.aio(pending, Database(database_settings(config)))
    except (StoreUnavailable, MigrationError) as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        return Finding("PostgreSQL", False, f"{where}: {error}{cause}; check the DB_ variables")
    if missing:
        names = ", ".join(migration.name for migration in missing)
        return Finding("PostgreSQL", False, f"run `payd migrate`: missing {names}")
    return Finding("PostgreSQL", True, where)


async def _clock(config: Any) -> list[Finding]:
    """Compare this host's clock with that of PostgreSQL; nothing if that does not answer."""
    from payd.adapters import bridge
    from payd.adapters.postgres.database import Database
    from payd.daemon.builders import database_settings
    from payd.domain.errors import StoreUnavailable

    database = Database(database_settings(config))
    try:
        # The first statement connects; the second one takes a round trip only.
        await bridge.aio(database.ping)
        asked = datetime.now(UTC)
        theirs = await bridge.aio(database.time)
        answered = datetime.now(UTC)
    except StoreUnavailable:
        return []
    finally:
        await bridge.aio(database.close)
    return [clock_finding(asked, theirs, answered)]


def clock_finding(asked: datetime, theirs: datetime, answered: datetime) -> Finding:
    """Judge a clock that said `theirs` at some moment between `asked` and `answered`."""
    ahead_s = max((asked - theirs).total_seconds(), 0.0) - max(
        (theirs - answered).total_seconds(), 0.0
    )
    if abs(ahead_s) <= _CLOCK_TOLERANCE_S:
        return Finding("clock", True, "agrees with PostgreSQL's")
    side = "ahead of" if ahead_s > 0 else "behind"
    return Finding(
        "clock",
        False,
        f"{abs(ahead_s):.1f} s {side} PostgreSQL's: synchronise both hosts (chronyc tracking)",
    )


async def _audit_trail(config: Any) -> list[Finding]:
    """Look at the newest checkpoint; nothing if PostgreSQL does not answer."""
    from payd.adapters import bridge
    from payd.adapters.postgres.audit_chain import PostgresAuditChain
    from payd.adapters.postgres.database import Database
    from payd.daemon.builders import audit_key, database_settings
    from payd.domain.errors import StoreUnavailable

    if audit_key(config) is None:
        how = how_to_add(config, "audit_signing_key", "PAYD_AUDIT_SIGNING_KEY_FILE")
        return [Finding("audit trail", True, f"is unsigned, for want of a key: {how}")]
    database = Database(database_settings(config))
    try:
        newest = await bridge.aio(PostgresAuditChain(database).newest_checkpoint)
    except StoreUnavailable:
        return []
    finally:
        await bridge.aio(database.close)
    interval = timedelta(seconds=config.audit.checkpoint_interval_s)
    return [audit_finding(newest.time if newest else None, datetime.now(UTC), interval)]


def audit_finding(newest: datetime | None, now: datetime, interval: timedelta) -> Finding:
    """Judge the time of the newest checkpoint; a daemon signs one when it starts."""
    if newest is None:
        return Finding("audit trail", True, "no checkpoint yet: the daemon signs the first one")
    if now - newest > _LATE_CHECKPOINTS * interval:
        what = f"the newest checkpoint is of {newest:%Y-%m-%d %H:%M} UTC: see the daemon's log"
        return Finding("audit trail", False, what)
    return Finding("audit trail", True, f"checkpoint of {newest:%Y-%m-%d %H:%M} UTC")


async def _stream(config: Any) -> Finding:
    import trio

    from payd.adapters import bridge
    from payd.daemon.builders import build_stream

    # Only check: do not create a missing stream.
    read_only = config.model_copy(
        update={"nats": config.nats.model_copy(update={"create_stream": False})}
    )
    stream = build_stream(read_only)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.aio, stream.run)
        state = await _settled(stream.state)
        nursery.cancel_scope.cancel()
    if not state.connected:
        return Finding("NATS", False, "unreachable: check NATS_URL")
    if state.problem:
        hint = "; the daemon will create it" if config.nats.create_stream else ""
        return Finding("NATS", config.nats.create_stream, f"{state.problem}{hint}")
    return Finding("NATS", True, f"stream {config.nats.stream}")


async def _settled(state: Callable[[], Any]) -> Any:
    import trio

    with trio.move_on_after(_TIMEOUT_S):
        while not state().connected:  # noqa: ASYNC110 - the adapter on asyncio has no trio event
            await trio.sleep(0.05)
        # Wait for the round trip that reads the stream's configuration.
        await trio.sleep(0.5)
    return state()


async def _redis(config: Any) -> Finding:
    import trio

    if config.redis.addr is None:
        return Finding("Redis", True, "not configured: each daemon limits calls on its own")
    host, _, port = config.redis.addr.rpartition(":")
    try:
        with trio.fail_after(_TIMEOUT_S):
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await stream.send_all(b"PING\r\n")
                answer = await stream.receive_some(64)
    except (OSError, trio.TooSlowError) as error:
        return Finding("Redis", False, f"{config.redis.addr}: {error!r}; check REDIS_ADDR")
    return Finding("Redis", answer.startswith((b"+PONG", b"-NOAUTH")), config.redis.addr)
