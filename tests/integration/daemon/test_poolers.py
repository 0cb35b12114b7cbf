"""payd behind a real PgBouncer: session pooling works, transaction pooling is refused."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from support.absent import NO_PGBOUNCER, do_without
from support.daemon import Place
from support.waiting import PATIENCE_S, succeeds, wait_until

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.leases import PostgresLeases
from payd.dev.ports import any_free
from payd.domain.errors import StoreUnavailable

Mode = Literal["session", "transaction"]


@pytest.fixture
def behind_pgbouncer(place: Place) -> Iterator[Callable[[Mode], Database]]:
    """The place's database through a pooler of its own, with PgBouncer's own defaults."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        do_without(NO_PGBOUNCER)
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="payd-pgbouncer-") as name:

        def start(mode: Mode) -> Database:
            folder, port, url = Path(name), any_free(), urlsplit(place.database)
            (folder / "users").write_text(f'"{url.username}" "{url.password}"\n')
            (folder / "ini").write_text(
                f"[databases]\n* = host=127.0.0.1 port={url.port}\n"
                f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
                f"auth_type = scram-sha-256\nauth_file = {folder}/users\npool_mode = {mode}\n"
            )
            account = pwd.getpwnam("nobody")
            for file in (folder, *folder.iterdir()):
                os.chown(file, account.pw_uid, account.pw_gid)
            # It refuses root.
            started.append(subprocess.Popen([program, "-q", "-u", "nobody", str(folder / "ini")]))
            _until_it_listens(port)
            return Database(
                DatabaseSettings(
                    host="127.0.0.1",
                    port=port,
                    user=str(url.username),
                    password=str(url.password),
                    name=url.path.removeprefix("/"),
                    tls="disable",
                    statement_timeout_ms=1234,
                )
            )

        yield start
        for process in started:
            process.kill()
            process.wait()


def _until_it_listens(port: int) -> None:
    def connect() -> None:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()

    wait_until(succeeds(connect, OSError), f"port {port} accepts connections")


def test_in_session_pooling_the_time_limits_hold_and_a_lease_has_one_holder(
    behind_pgbouncer: Callable[[Mode], Database],
) -> None:
    database = behind_pgbouncer("session")

    async def use() -> None:
        session = await database.connect()
        assert await session.fetchval("SHOW statement_timeout") == "1234ms"
        await session.close()
        await database.ping()

        leases = PostgresLeases(database)
        held = await leases.acquire("chain")
        assert held is not None
        assert await leases.acquire("chain") is None
        await held.release()
        # PgBouncer gives the session back once the server has forgotten the lock.
        async with asyncio.timeout(PATIENCE_S):
            # PgBouncer offers no event to wait for.
            while (again := await leases.acquire("chain")) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await again.release()
        await database.close()

    asyncio.run(use())


def test_transaction_pooling_is_refused_and_named(
    behind_pgbouncer: Callable[[Mode], Database],
) -> None:
    """Two holders would have one lease, and its lock would outlive both."""
    database = behind_pgbouncer("transaction")

    async def use() -> None:
        for use_it in (
            database.ping,
            database.connect,
            lambda: PostgresLeases(database).acquire("x"),
        ):
            with pytest.raises(StoreUnavailable, match="use session pooling"):
                await use_it()
        await database.close()

    asyncio.run(use())
