"""`payd dev`: servers, certificates, schema, daemon, and dev.json when all of it is ready."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
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
from payd.config import DEFAULT_FILE, SETTINGS, Config, installed_providers, load_config
from payd.daemon.builders import database_settings
from payd.daemon.reload import open_reloads
from payd.dev.cards import cards, mock_methods
from payd.dev.chain import chain
from payd.dev.example import example
from payd.dev.pki import ALLOWED_CNS, ensure_pki
from payd.dev.ports import HOST, choose_ports
from payd.dev.postgres import Postgres, postgres
from payd.dev.servers import answers, nats_command, running, valkey_command
from payd.dev.state import StateDir
from payd.nursery import Addresses
from payd.shipped import shipped

Progress = Callable[[str], None]


@attrs.frozen(kw_only=True)
class Servers:
    """What runs beside the daemon, as URLs."""

    postgres: str
    nats: str
    redis: str


async def run_dev(
    state: StateDir,
    port_base: int | None,
    stop: trio.Event,
    *,
    progress: Progress,
    tell: Progress,
    ready: Callable[[Mapping[str, str]], None],
    with_example: bool = False,
) -> None:
    """Everything, until `stop`; `ready` hears what dev.json says, `tell` what is left out."""
    ports = choose_ports(state.last_ports(), port_base)
    progress("certificates")
    ensure_pki(state.pki, datetime.now(UTC))
    async with (
        _servers(state, ports, progress) as (database, servers),
        cards(state, ports, os.environ) as who_takes_cards,
        chain(state, ports, os.environ, progress, tell) as local_chain,
        _example(state, ports, database, servers, progress, with_example) as announced,
    ):
        state.keep_ports(ports)
        environ = {
            **_environment(state, ports, database, servers),
            **who_takes_cards.environment,
            **local_chain.environment,
        }
        environ = {"MOCK_METHODS": mock_methods(environ)} | environ
        config = load_config(environ, None)
        progress("schema")
        await _migrate(config, progress)

        def started(addresses: Addresses) -> None:
            document = attrs.asdict(addresses) | attrs.asdict(servers)
            document |= {**who_takes_cards.announced, **local_chain.announced, **announced}
            state.announce(document, _settings(environ))
            ready(document)

        progress("payd")
        async with open_reloads(partial(load_config, environ, None)) as reloads:
            await nursery.run(config, stop, reloads=reloads, started=started)


@asynccontextmanager
async def _servers(
    state: StateDir, ports: Mapping[str, int], progress: Progress
) -> AsyncIterator[tuple[Postgres, Servers]]:
    """Started one after the other, so that a failure is told by its name."""
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
    """What dev.json says of it."""
    if not is_wanted:
        yield {}
        return
    progress("the example")
    async with example(state, ports, database, servers.nats, servers.redis) as url:
        yield {"example": url}


async def _migrate(config: Config, progress: Progress) -> None:
    async with bridge.open_loop(lambda message, error: None):
        database = Database(database_settings(config))
        run = partial(migrate, database, lambda line: progress(f"schema {line}"), post=True)
        await bridge.aio(run)


def _environment(
    state: StateDir, ports: Mapping[str, int], database: Postgres, servers: Servers
) -> dict[str, str]:
    """What the daemon would find in its environment; what was set by hand stands."""
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
        "HTTP_PORT": str(ports["http"]),
        "METRICS_PORT": str(ports["metrics"]),
        "MOCK_ENABLED": "true",
        # Long enough to see the payment PENDING.
        "MOCK_DELAY_MS": "1000",
        "MOCK_STATE_FILE": str(state.data / "mock.sqlite3"),
    }
    # An installed wheel, away from a checkout, has the file and prices that ship with it.
    here = DEFAULT_FILE if DEFAULT_FILE.exists() else shipped("config") / "payd.yaml"
    ours["PAYD_CONFIG"] = str(here.absolute())
    chosen = {name: value for name, value in os.environ.items() if name not in _FIXED}
    return ours | chosen


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The daemon's settings, for payd's own commands in another shell and working directory."""
    prefixes = ("PAYD_", *(f"{name.upper()}_" for name in installed_providers()))
    own = {name for setting in SETTINGS for name in (setting.env, f"{setting.env}_FILE")}
    return {
        name: str(Path(value).absolute()) if _is_file(name) and value else value
        for name, value in environ.items()
        if name.startswith(prefixes) or name in own
    }


def _is_file(name: str) -> bool:
    """Whether the variable's value is a path, which is relative to the working directory."""
    return name == "PAYD_CONFIG" or name.endswith("_FILE")


#: `payd dev` decides these, whatever the shell says: they belong to its own servers.
_FIXED = frozenset(
    {
        "ENVIRONMENT",
        *(f"DB_{name}" for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME", "SSL_MODE")),
        *("DB_PASSWORD_FILE", "REDIS_ADDR", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE", "NATS_URL"),
        *(f"GRPC_{name}" for name in ("PORT", "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")),
        *("HTTP_PORT", "METRICS_PORT"),
    }
)
