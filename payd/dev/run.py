"""`payd dev`: start servers, companions and the daemon; write dev.json when all are ready."""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import attrs
import trio

from payd import nursery
from payd.adapters import bridge
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.migrate import migrate
from payd.config import (
    DEFAULT_FILE,
    SETTINGS,
    Config,
    installed_providers,
    load_config,
    load_prices,
)
from payd.daemon.builders import database_settings
from payd.daemon.preflight import described_plugins, offered_methods
from payd.daemon.reload import open_reloads
from payd.dev.clock import ClockRefused, MovableClock, setting_in
from payd.dev.clock_server import serving_clock
from payd.dev.companion_context import DevSession
from payd.dev.companions import Added, open_companions
from payd.dev.example import example
from payd.dev.example_commands import example_commands
from payd.dev.pki import ALLOWED_CNS, OPERATOR_CNS, ensure_pki
from payd.dev.ports import HOST, choose_ports
from payd.dev.postgres import Postgres, postgres
from payd.dev.servers import answers, nats_command, running, valkey_command
from payd.dev.state import StateDir
from payd.nursery import Addresses
from payd.shipped import shipped
from payd.transport.console.passwords import new_entry

Progress = Callable[[str], None]

#: The operator of `payd dev`; the password is a secret of the state directory.
CONSOLE_USER = "dev"
_CONSOLE_PASSWORD = "console_password"  # noqa: S105 - the name of a file
#: With one of these the shell names the operators.
_OPERATORS = frozenset({"PAYD_CONSOLE_USERS", "PAYD_CONSOLE_USERS_FILE"})


@attrs.frozen(kw_only=True)
class Servers:
    """The URLs of the servers beside the daemon."""

    postgres: str
    nats: str
    redis: str


@attrs.frozen(kw_only=True)
class Terminal:
    """How `payd dev` speaks to the person in front of it."""

    #: Shows what is being started.
    progress: Progress
    #: Shows a line that stays.
    report: Progress
    #: Arguments of payd → the command line that a person types for this `payd dev`.
    command: Callable[[str], str]
    #: Receives the content of dev.json and commands to try, once everything is ready.
    ready: Callable[[Mapping[str, str], Sequence[str]], None]


async def run_dev(
    state: StateDir,
    port_base: int | None,
    stop: trio.Event,
    terminal: Terminal,
    *,
    with_example: bool = False,
    with_clock: bool = False,
) -> None:
    """Run everything until `stop`. Raises ClockRefused, for one."""
    clock = _clock(state, is_wanted=with_clock)
    ports = choose_ports(state.last_ports(), port_base)
    progress = terminal.progress
    progress("certificates")
    ensure_pki(state.pki, datetime.now(UTC))
    session = DevSession(state=state, ports=ports, command=terminal.command, clock=clock)
    async with (
        open_servers(state, ports.chosen, progress) as (database, servers),
        open_companions(
            session,
            daemon_environment(state, ports.chosen, database, servers),
            progress,
            terminal.report,
        ) as added,
        _example(state, ports.chosen, database, servers, progress, with_example) as example_entry,
        serving_clock(
            clock, ports, database_settings(load_config(added.environment, None))
        ) as clock_entry,
    ):
        state.keep_ports(ports.chosen)
        config = load_config(added.environment, None)
        progress("schema")
        await update_schema(config, progress)

        def started(addresses: Addresses) -> None:
            document = attrs.asdict(addresses, filter=lambda _, value: bool(value))
            document |= attrs.asdict(servers)
            document |= _console_entries(state, addresses)
            document |= {**added.announced, **_for_payd(added), **example_entry, **clock_entry}
            document |= {
                "operator_cert": str(state.pki / "operator.crt"),
                "operator_key": str(state.pki / "operator.key"),
            }
            state.announce(document, command_settings(added.environment))
            terminal.ready(document, _examples(config, added.banner, terminal.command))

        progress("payd")
        async with open_reloads(partial(load_config, added.environment, None)) as reloads:
            await nursery.run(config, stop, clock=clock, reloads=reloads, started=started)


def _clock(state: StateDir, *, is_wanted: bool) -> MovableClock | None:
    """The test clock, where it is wanted. Raises ClockRefused where only one fits the data."""
    file = state.data / "clock.json"
    if is_wanted and os.environ.get("ENVIRONMENT") == "production":
        raise ClockRefused("--clock is refused in production: unset ENVIRONMENT for payd dev")
    if is_wanted:
        return MovableClock(file)
    if setting_in(file).is_moved:
        raise ClockRefused(
            f"`payd clock` has moved the time of the data in {state.path}: start with --clock,"
            " or with --ephemeral for other data"
        )
    return None


def _examples(
    config: Config, banner: Sequence[str], command: Callable[[str], str]
) -> Sequence[str]:
    """Commands that make a first payment."""
    methods = offered_methods(described_plugins(config))
    return example_commands(banner, methods, load_prices(config.pricing.file), command)


def _console_entries(state: StateDir, addresses: Addresses) -> dict[str, str]:
    """Where the console is, and the login that `payd dev` has made for it."""
    if not addresses.console:
        return {}
    place = {"console": f"http://{addresses.console}"}
    if _OPERATORS & os.environ.keys():
        return place
    password = state.secret(_CONSOLE_PASSWORD)
    return {**place, "console_user": CONSOLE_USER, "console_password": password}


def _for_payd(added: Added) -> dict[str, str]:
    """What `payd pay` reads from dev.json."""
    entries = {"shop": added.shop, "wallet_command": added.wallet_command}
    return {key: value for key, value in entries.items() if value}


@asynccontextmanager
async def open_servers(
    state: StateDir, ports: Mapping[str, int], progress: Progress
) -> AsyncIterator[tuple[Postgres, Servers]]:
    """Start one server after the other, so that an error names the server that failed."""
    progress("PostgreSQL")
    async with postgres(state, ports["postgres"]) as database:
        progress("NATS")
        nats = nats_command(state, ports["nats"])
        async with running(state, nats, partial(answers, ports["nats"])):
            progress("Valkey")
            valkey = valkey_command(ports["redis"])
            async with running(state, valkey, partial(answers, ports["redis"])):
                yield (
                    database,
                    Servers(
                        postgres=database.url(),
                        nats=f"nats://{HOST}:{ports['nats']}",
                        redis=f"redis://{HOST}:{ports['redis']}/0",
                    ),
                )


@asynccontextmanager
async def _example(
    state: StateDir,
    ports: Mapping[str, int],
    database: Postgres,
    servers: Servers,
    progress: Progress,
    is_wanted: bool,
) -> AsyncIterator[Mapping[str, str]]:
    """Run the example where it is wanted, and give its entry of dev.json."""
    if not is_wanted:
        yield {}
        return
    progress("the example")
    async with example(state, ports, database, servers.nats, servers.redis) as url:
        yield {"example": url}


async def update_schema(config: Config, progress: Progress, *, post: bool = True) -> None:
    """Run the migrations; those that no older version may meet only with `post`."""
    async with bridge.open_loop(lambda message, error: None):
        database = Database(database_settings(config))
        run = partial(migrate, database, lambda line: progress(f"schema {line}"), post=post)
        await bridge.aio(run)


def daemon_environment(
    state: StateDir, ports: Mapping[str, int], database: Postgres, servers: Servers
) -> dict[str, str]:
    """Return the daemon's environment. Variables of the shell win, except for `FIXED`."""
    pki = state.pki
    ours = {
        "ENVIRONMENT": "development",
        "DB_HOST": HOST,
        "DB_PORT": str(database.port),
        "DB_USER": "payd",
        "DB_PASSWORD": database.password,
        "DB_NAME": "payd",
        "DB_SSL_MODE": "disable",
        "REDIS_ADDR": f"{HOST}:{ports['redis']}",
        "NATS_URL": servers.nats,
        "GRPC_PORT": str(ports["grpc"]),
        "GRPC_TLS_CERT_FILE": str(pki / "server.crt"),
        "GRPC_TLS_KEY_FILE": str(pki / "server.key"),
        "GRPC_TLS_CA_FILE": str(pki / "ca.crt"),
        "GRPC_ALLOWED_CNS": ",".join(ALLOWED_CNS),
        "GRPC_OPERATOR_CNS": ",".join(OPERATOR_CNS),
        "HTTP_PORT": str(ports["http"]),
        "METRICS_PORT": str(ports["metrics"]),
        "PAYD_HTTP_PUBLIC_URL": f"http://{HOST}:{ports['http']}",
        "PAYD_HTTP_SHOP_NAME": "Node shop",
    }
    if "PAYD_PAYMENTS_QUOTE_KEY_FILE" not in os.environ:
        ours["PAYD_PAYMENTS_QUOTE_KEY"] = state.secret("quote_key")
    if "PAYD_AUDIT_SIGNING_KEY_FILE" not in os.environ:
        ours["PAYD_AUDIT_SIGNING_KEY"] = state.secret("audit_signing_key", 32)
    if "PAYD_HTTP_PAGE_KEY_FILE" not in os.environ:
        ours["PAYD_HTTP_PAGE_KEY"] = state.secret("page_key")
    ours["PAYD_CONSOLE_ENABLED"] = "true"
    ours["PAYD_CONSOLE_PORT"] = str(ports["console"])
    if not _OPERATORS & os.environ.keys():
        ours["PAYD_CONSOLE_USERS"] = new_entry(CONSOLE_USER, state.secret(_CONSOLE_PASSWORD))
    # Outside a checkout, use the configuration and prices that ship with the installed wheel.
    here = DEFAULT_FILE if DEFAULT_FILE.exists() else shipped("config") / "payd.yaml"
    ours["PAYD_CONFIG"] = str(here.absolute())
    chosen = {name: value for name, value in os.environ.items() if name not in FIXED}
    return ours | chosen


def command_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the daemon's settings, for payd commands in other shells and working directories."""
    prefixes = ("PAYD_", *(f"{name.upper()}_" for name in installed_providers()))
    own = {name for setting in SETTINGS for name in (setting.env, f"{setting.env}_FILE")}
    return {
        name: str(Path(value).absolute()) if _is_file(name) and value else value
        for name, value in environ.items()
        if name.startswith(prefixes) or name in own
    }


def _is_file(name: str) -> bool:
    """Whether the value is a path, which would be relative to the working directory."""
    return name == "PAYD_CONFIG" or name.endswith("_FILE")


#: `payd dev` always sets these: they are the addresses of its own servers.
FIXED = frozenset(
    {
        "ENVIRONMENT",
        *(f"DB_{name}" for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME", "SSL_MODE")),
        *("DB_PASSWORD_FILE", "REDIS_ADDR", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE", "NATS_URL"),
        *(f"GRPC_{name}" for name in ("PORT", "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")),
        *("HTTP_PORT", "METRICS_PORT"),
    }
)
