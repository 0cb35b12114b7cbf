"""Real servers: they answer, restart when killed, and never outlive their parent."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import nats
import psutil
import pytest
import redis
import trio

from payd.dev.ports import HOST, any_free
from payd.dev.postgres import create_database, postgres
from payd.dev.servers import (
    Server,
    ServerFailed,
    answers,
    nats_command,
    running,
    valkey_command,
)
from payd.dev.state import StateDir, open_state

T = TypeVar("T")
HELD = Path(__file__).with_name("held_servers.py")
#: What a killed parent's servers may take to be gone; a loaded machine needs some of it.
GONE_WITHIN_S = 5.0


async def test_payd_owns_its_database_and_is_no_superuser(state: StateDir) -> None:
    async with postgres(state, any_free()) as database:
        role = (
            "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = 'payd'"
        )
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'payd'"
        assert await ask(database.url(), role) is False
        assert await ask(database.url(), owner) == "payd"


async def test_postgresql_is_durable_and_speaks_utf_8(state: StateDir) -> None:
    async with postgres(state, any_free()) as database:
        for setting, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "server_encoding": "UTF8",
            "listen_addresses": "127.0.0.1",
        }.items():
            assert await ask(database.url(), f"SHOW {setting}") == value


async def test_a_wrong_password_is_refused(state: StateDir) -> None:
    async with postgres(state, any_free()) as database:
        wrong = database.url().replace(database.password, "wrong")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await ask(wrong, "SELECT 1")


async def test_a_test_gets_an_empty_database_of_its_own(state: StateDir) -> None:
    async with postgres(state, any_free()) as database:
        for _ in ("made", "made anew"):
            create_database(database, "mine")
            await ask(database.url("mine"), "CREATE TABLE t ()")
        with pytest.raises(asyncpg.UndefinedTableError):
            await ask(database.url(), "SELECT FROM t")


async def test_rows_outlive_a_stop(state: StateDir) -> None:
    async with postgres(state, any_free()) as database:
        await ask(database.url(), "CREATE TABLE t AS SELECT 7 AS n")
    async with postgres(state, any_free()) as database:
        assert await ask(database.url(), "SELECT n FROM t") == 7


async def test_a_killed_postgresql_comes_back_with_what_was_committed(state: StateDir) -> None:
    async with postgres(state, any_free()) as database:
        await ask(database.url(), "CREATE TABLE t AS SELECT 7 AS n")
        killed = database.server.pid
        database.server.kill()
        assert await eventually(partial(ask, database.url(), "SELECT n FROM t")) == 7
        assert database.server.pid != killed


async def test_jetstream_keeps_its_messages_when_killed(state: StateDir) -> None:
    port = any_free()
    url = f"nats://{HOST}:{port}"
    async with running(state, nats_command(state, port), partial(answers, port)) as server:
        await in_asyncio(partial(publish, url, b"paid"))
        killed = server.pid
        server.kill()
        assert await eventually(partial(in_asyncio, partial(last_message, url))) == b"paid"
        assert server.pid != killed


async def test_valkey_counts(state: StateDir) -> None:
    port = any_free()
    async with running(state, valkey_command(port), partial(answers, port)):
        with redis.Redis(host=HOST, port=port) as client:
            assert [client.incr("n"), client.incr("n")] == [1, 2]


async def test_a_busy_postgresql_that_is_killed_comes_back_too(state: StateDir) -> None:
    """Its backend runs on for a while, and a new server must not start beside it."""
    count = "SELECT count(*) FROM generate_series(1, 300000000) AS n WHERE n % 7 = 3"
    async with postgres(state, any_free()) as database, trio.open_nursery() as nursery:
        nursery.start_soon(until_cut, database.url(), count)
        running_now = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%300000000%'"
        while await ask(database.url(), running_now) < 2:  # noqa: ASYNC110 - another process
            await trio.sleep(0.05)
        database.server.kill()
        assert await eventually(partial(ask, database.url(), "SELECT 1")) == 1


async def test_a_port_in_use_is_refused_at_once(state: StateDir) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerFailed, match=f"port {port} is taken"), trio.fail_after(5):
            async with running(state, nats_command(state, port), partial(answers, port)):
                pass


async def test_a_server_runs_where_its_pid_cannot_be_written(state: StateDir) -> None:
    """As on a full disk, while it is started again."""
    port = any_free()
    server = Server(valkey_command(port), state.logs / "valkey.log", state.data / "no" / "pid")
    server.start()
    try:
        with trio.fail_after(60):
            while not await answers(port):  # noqa: ASYNC110 - of another process
                await trio.sleep(0.05)
    finally:
        await server.stop()


async def test_nobody_is_left_after_an_orderly_stop(state: StateDir) -> None:
    async with postgres(state, any_free()) as database:
        tree = family([database.server.pid])
        assert len(tree) > 1
    assert not living(tree)


def test_a_killed_parent_takes_its_servers_along_and_can_start_again(folder: Path) -> None:
    for _ in range(2):
        with held(folder) as (parent, started):
            pids: list[int] = started["pids"]
            tree = family(pids)
            assert len(tree) > len(pids)
            asyncio.run(_ask(started["postgres"], "CREATE TABLE IF NOT EXISTS kept ()"))
            parent.kill()
            parent.wait()
            _, left = psutil.wait_procs(tree, timeout=GONE_WITHIN_S)
            assert not left
    with held(folder) as (_, started):
        assert asyncio.run(_ask(started["postgres"], "SELECT count(*) FROM kept")) == 0


def test_servers_outlive_an_idle_worker_thread(folder: Path) -> None:
    """The kernel's death signal follows the thread that forked, and trio's workers are mortal."""
    with held(folder) as (parent, started):
        main_thread = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        assert set(map(str, started["pids"])) <= set(main_thread.read_text().split())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to switch users")
async def test_as_root_postgresql_runs_as_nobody(state: StateDir) -> None:
    async with postgres(state, any_free()) as database:
        assert psutil.Process(database.server.pid).username() == "nobody"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to switch users")
async def test_as_root_a_closed_folder_is_no_obstacle(tmp_path: Path) -> None:
    # Ephemeral, so that what lies outside of the folder goes too.
    with open_state(tmp_path, ephemeral=True) as state:
        state.data.chmod(0o700)
        async with postgres(state, any_free()) as database:
            assert await ask(database.url(), "SELECT 1") == 1
            data = Path(psutil.Process(database.server.pid).cwd())
    assert not data.is_relative_to(state.data)
    assert not data.parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to switch users")
async def test_as_root_a_removed_state_directory_begins_anew(tmp_path: Path) -> None:
    """What lay outside of it belonged to a password that is gone."""
    place = tmp_path / "state"
    for _ in ("first", "anew"):
        with open_state(place, ephemeral=False) as state:
            async with postgres(state, any_free()) as database:
                assert await ask(database.url(), "SELECT 1") == 1
                data = Path(psutil.Process(database.server.pid).cwd())
        shutil.rmtree(place)
    shutil.rmtree(data.parent)


@contextmanager
def held(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    """All servers, in a process of their own."""
    command = [sys.executable, str(HELD), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        tree: list[psutil.Process] = []
        try:
            assert parent.stdout
            line = parent.stdout.readline()
            assert line, "the servers did not start"
            started = json.loads(line)
            tree = family(started["pids"])
            yield parent, started
        finally:
            parent.kill()
            parent.wait()
            _, left = psutil.wait_procs(tree, timeout=GONE_WITHIN_S)
            assert not left


def family(pids: list[int]) -> list[psutil.Process]:
    parents = [psutil.Process(pid) for pid in pids]
    return [*parents, *(child for p in parents for child in p.children(recursive=True))]


def living(tree: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in tree if process.is_running()]


async def in_asyncio(work: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        return await work()

    return await trio.to_thread.run_sync(lambda: asyncio.run(run()))


async def ask(url: str, sql: str) -> Any:
    return await in_asyncio(partial(_ask, url, sql))


async def _ask(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def until_cut(url: str, sql: str) -> None:
    with suppress(OSError, asyncpg.PostgresError):
        await ask(url, sql)


async def eventually(attempt: Callable[[], Awaitable[T]]) -> T:
    """The first success; what is away for now is asked again."""
    until = time.monotonic() + 15
    while True:
        try:
            return await attempt()
        except (OSError, asyncpg.PostgresError, nats.errors.Error):
            assert time.monotonic() < until, "it does not come back"
            await trio.sleep(0.05)


async def publish(url: str, body: bytes) -> None:
    client = await nats.connect(url, allow_reconnect=False)
    try:
        stream = client.jetstream()
        await stream.add_stream(name="KEPT", subjects=["kept"])
        await stream.publish("kept", body)
    finally:
        await client.close()


async def last_message(url: str) -> bytes | None:
    client = await nats.connect(url, allow_reconnect=False, connect_timeout=5)
    try:
        return (await client.jetstream().get_last_msg("KEPT", "kept")).data
    finally:
        await client.close()
