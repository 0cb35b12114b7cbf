"""Servers, databases and daemons of one run, and the CPU that each of them spends."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import attrs
import psutil

from bench import null_provider
from bench.cpu import Spent, measured_cpu
from bench.started import wait_for_line
from bench.stored import read_indexes, store_payments
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.migrate import migrate
from payd.config import load_config
from payd.daemon.builders import database_settings
from payd.dev.pki import ensure_pki
from payd.dev.ports import HOST, choose_ports
from payd.dev.postgres import Postgres, create_database, postgres
from payd.dev.servers import answers, nats_command, running
from payd.dev.state import StateDir

ROOT = Path(__file__).parents[1]
#: Signs the webhooks of both providers.
WEBHOOK_SECRET = "whsec_bench"
_READY_S = 60
#: From so many payments on, a database's size tells what one takes.
_MANY = 100_000
_NO_STATUS_CHECKS = "UPDATE payments SET next_look_time = NULL WHERE next_look_time IS NOT NULL"


@attrs.frozen(kw_only=True)
class Daemon:
    """A running `payd serve`."""

    process: psutil.Process
    grpc: str
    http: str
    ready_s: float

    def rss_mib(self) -> float:
        """Resident memory in MiB."""
        return round(self.process.memory_info().rss / 2**20, 1)


@attrs.frozen(kw_only=True)
class Place:
    """One database with payd's schema, and the environment of a daemon on it."""

    url: str
    environ: Mapping[str, str]
    #: Payments that were in it from the start.
    stored: int = 0

    @property
    def nats(self) -> str:
        """URL of NATS."""
        return self.environ["NATS_URL"]


#: Runs `payd serve` on a place, with more settings, until the end of the block.
RunPayd = Callable[[Mapping[str, str]], AbstractContextManager[Daemon]]


@attrs.frozen(kw_only=True)
class Stage:
    """PostgreSQL and NATS, which all measurements of a run share."""

    state: StateDir
    server: Postgres
    nats_pid: int
    nats_port: int
    #: The payd to measure: this one, or another checkout.
    code: Path
    site: Path

    @property
    def pki(self) -> Path:
        """Folder of the certificates."""
        return self.state.pki

    def of(self, code: Path) -> "Stage":
        """Return the same servers, with the payd of another checkout."""
        return attrs.evolve(self, code=code)

    def place(self, name: str, stored: int = 0) -> Place:
        """Create a database with the schema and stored payments, or bring a kept one up to date."""
        environ = self._environment(name)
        place = Place(url=self.server.url(name), environ=environ, stored=stored)
        if not is_complete(self.state, name):
            create_database(self.server, name)
            _migrate(environ)
            asyncio.run(store_payments(self.superuser_url(place), stored))
            _mark(self.state, name).touch()
        else:
            _migrate(environ)
        asyncio.run(read_indexes(self.superuser_url(place)))
        return place

    def superuser_url(self, place: Place) -> str:
        """URL of a place's database as the superuser."""
        return place.url.replace("payd:", "postgres:", 1)

    def bytes_per_payment(self, place: Place) -> float:
        """Bytes on disk per stored payment; 0 where the empty tables would be most of it."""
        if place.stored < _MANY:
            return 0
        size = asyncio.run(_fetch(place.url, "SELECT pg_database_size(current_database())"))
        return float(round(size / place.stored))

    def forget_open_payments(self, place: Place) -> None:
        """Cancel the status checks of payments that a measurement left open.

        Otherwise they become due minutes later, and the next daemon would make them.
        """
        asyncio.run(_execute(place.url, _NO_STATUS_CHECKS))

    def cpu(self, *servers: psutil.Process) -> AbstractContextManager[Spent]:
        """Measure the CPU time of a block, by process tree."""
        return measured_cpu(
            {
                "server": [process.pid for process in servers],
                "postgres": [self.server.server.pid],
                "nats": [self.nats_pid],
            }
        )

    @contextmanager
    def payd(self, environ: Mapping[str, str]) -> Iterator[Daemon]:
        """Run `payd serve` with every check on; its log goes to a file, as with systemd."""
        began = time.perf_counter()
        command = [sys.executable, "-m", "payd", "serve"]
        with (
            tempfile.NamedTemporaryFile() as log,
            subprocess.Popen(command, env=environ, stderr=log, cwd=self.code) as process,
        ):
            try:
                started = wait_for_line(Path(log.name), "daemon_started", _READY_S)
                yield Daemon(
                    process=psutil.Process(process.pid),
                    grpc=started["grpc"],
                    http=started["http"],
                    ready_s=round(time.perf_counter() - began, 2),
                )
            finally:
                process.send_signal(signal.SIGTERM)

    @contextmanager
    def peer(self, url: str) -> Iterator[tuple[psutil.Process, str]]:
        """Run the grpc.aio peer on a database; its process and address."""
        command = [sys.executable, "-m", "bench.peer", url, str(self.pki)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout
            port = process.stdout.readline().strip()
            try:
                yield psutil.Process(process.pid), f"{HOST}:{port}"
            finally:
                process.send_signal(signal.SIGTERM)

    def _python_path(self) -> str:
        """The checkout's own code and wheels come before those that are installed."""
        code = self.code
        return os.pathsep.join(map(str, (code, code / "client", code / "plugins", self.site)))

    def _environment(self, database: str) -> dict[str, str]:
        pki = self.pki
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": self._python_path(),
            "ENVIRONMENT": "test",
            "DB_HOST": HOST,
            "DB_PORT": str(self.server.port),
            "DB_PASSWORD": self.server.password,
            "DB_NAME": database,
            "DB_SSL_MODE": "disable",
            "NATS_URL": f"nats://{HOST}:{self.nats_port}",
            "GRPC_PORT": "0",
            # The load is one client, and its rate is what is measured.
            "PAYD_GRPC_RATE_PER_CLIENT": "0",
            "HTTP_PORT": "0",
            "METRICS_PORT": "0",
            "GRPC_TLS_CERT_FILE": str(pki / "server.crt"),
            "GRPC_TLS_KEY_FILE": str(pki / "server.key"),
            "GRPC_TLS_CA_FILE": str(pki / "ca.crt"),
        }

    def mock(self, place: Place) -> dict[str, str]:
        """Environment of a daemon with the mock provider."""
        return {
            **place.environ,
            "MOCK_ENABLED": "true",
            "MOCK_DELAY_MS": "0",
            "MOCK_STATE_FILE": str(self.state.data / "mock.sqlite3"),
        }

    def null(self, place: Place) -> dict[str, str]:
        """Environment of a daemon with the null provider."""
        return {
            **place.environ,
            "NULL_ENABLED": "true",
            "NULL_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }


@asynccontextmanager
async def open_stage(
    state: StateDir, code: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Stage]:
    """Start PostgreSQL and NATS, and stop them at the end of the block."""
    ensure_pki(state.pki, datetime.now(UTC))
    ports = choose_ports({}, None).chosen
    command = nats_command(state, ports["nats"])
    with tempfile.TemporaryDirectory(prefix="payd-bench-site-") as site:
        null_provider.install(Path(site))
        async with (
            postgres(state, ports["postgres"], settings) as server,
            running(state, command, partial(answers, ports["nats"])) as nats,
        ):
            yield Stage(
                state=state,
                server=server,
                nats_pid=nats.pid,
                nats_port=ports["nats"],
                code=code,
                site=Path(site),
            )


def is_complete(state: StateDir, name: str) -> bool:
    """Whether an earlier run has stored all payments of this database."""
    return _mark(state, name).exists()


def _mark(state: StateDir, name: str) -> Path:
    """A file that is written last, so that a run after an interrupted one begins again."""
    return state.data / f"{name}.complete"


def _migrate(environ: Mapping[str, str]) -> None:
    config = load_config(environ, None)
    asyncio.run(migrate(Database(database_settings(config)), lambda name: None))


async def _fetch(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
