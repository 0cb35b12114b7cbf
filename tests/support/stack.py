"""Real servers for the tests, in a separate process that takes commands on stdin.

`python stack.py DIR [MIB]` prints one JSON line with the URLs; then each command is answered by one
line: `database NAME [TEMPLATE]` (its URL), `drop DATABASE`, `stop NAME`, `start NAME`, `kill NAME`
(starts again by itself). With MIB the data is on a file system of that size in memory, for which
the process needs a mount namespace of its own.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import trio

from payd import telemetry
from payd.dev.ports import HOST, choose_ports
from payd.dev.postgres import Postgres, binaries, create_database, postgres
from payd.dev.servers import ServerFailed, answers, nats_command, running, valkey_command
from payd.dev.state import StateDir, open_state

#: Where the state directory keeps the servers' data.
_DATA = "data"
#: How the answer to a command begins that could not be carried out.
_FAILED = "failed: "


class Stack:
    """The tests' handle on the servers."""

    def __init__(
        self, process: "subprocess.Popen[str]", urls: dict[str, str], folder: Path, disk_mib: int
    ) -> None:
        self._process = process
        self.nats = urls["nats"]
        self.redis = urls["redis"]
        self._folder = folder
        self._disk_mib = disk_mib
        self._one_at_a_time = threading.Lock()

    @property
    def has_disk(self) -> bool:
        """Whether the servers' data is on a file system that can be filled."""
        return self._disk_mib > 0

    def database(self, name: str, template: str = "template1") -> str:
        """Create an empty database or copy an unused one; return its URL."""
        return self._ask(f"database {name} {template}")

    def drop(self, name: str) -> None:
        """Drop a database, with the connections to it."""
        self._ask(f"drop {name}")

    @contextlib.contextmanager
    def without(self, server: str) -> Iterator[None]:
        """Stop the server until `start`, at the latest until the end of the block."""
        self.stop(server)
        try:
            yield
        finally:
            self.start(server)

    def stop(self, server: str) -> None:
        """Stop it in order."""
        self._ask(f"stop {server}")

    def start(self, server: str) -> None:
        """Start it again with its port and data, if it is stopped."""
        self._ask(f"start {server}")

    def kill(self, server: str) -> None:
        """Kill it as a power cut would; it restarts on its own."""
        self._ask(f"kill {server}")

    def fill_disk(self) -> None:
        """Leave no free block on the file system of `running_stack(…, disk_mib=…)`."""
        self._resize(used_bytes(self._disk))

    def free_disk(self) -> None:
        """Give it its size again."""
        self._resize(self._disk_mib * 2**20)

    def disk_used_mib(self) -> float:
        """How much of it is used."""
        return used_bytes(self._disk) / 2**20

    @property
    def _disk(self) -> Path:
        """The file system, as a process outside its namespace reaches it."""
        return Path(f"/proc/{self._process.pid}/root{self._folder}/{_DATA}")

    def _resize(self, size: int) -> None:
        where = ["nsenter", "--mount", "--target", str(self._process.pid)]
        mount = ["mount", "-o", f"remount,size={size}", f"{self._folder}/{_DATA}"]
        subprocess.run([*where, *mount], check=True, capture_output=True)

    def _ask(self, command: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        with self._one_at_a_time:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline().strip()
        assert answer, f"the servers' process ended at {command!r}"
        if answer.startswith(_FAILED):
            raise ServerFailed(answer)
        return answer


@contextlib.contextmanager
def running_stack(folder: Path, *, disk_mib: int = 0) -> Iterator[Stack]:
    """Run the servers until the end of the block.

    With `disk_mib` their data is on a file system that a test can fill; that needs root.
    """
    # The database's user must be able to enter the folder.
    folder.chmod(0o711)
    argv = [sys.executable, __file__, str(folder)]
    if disk_mib:
        argv = ["unshare", "--mount", *argv, str(disk_mib)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line, "the servers did not start"
        yield Stack(process, json.loads(line), folder, disk_mib)
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def used_bytes(path: Path) -> int:
    """What the file system of the path holds."""
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


async def main(folder: Path, disk_mib: int) -> None:
    """Serve commands until stdin ends."""
    telemetry.configure_logging("warning", "json")
    if disk_mib:
        (folder / _DATA).mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={disk_mib}m,mode=711", "payd-tests"]
        await trio.run_process([*mount, str(folder / _DATA)])
    with open_state(folder, ephemeral=False) as state:
        ports = choose_ports(dict.fromkeys(("postgres", "nats", "redis"), 0), None).chosen
        async with postgres(state, ports["postgres"]) as database, trio.open_nursery() as nursery:
            # The system's cache outlives a killed server, and nobody pulls the plug.
            await _psql(database, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
            switches = {
                "nats": _Switch(partial(_nats, state, ports["nats"])),
                "valkey": _Switch(partial(_valkey, state, ports["redis"])),
            }
            for switch in switches.values():
                await nursery.start(switch.run)
            urls = {
                "nats": f"nats://{HOST}:{ports['nats']}",
                "redis": f"redis://{HOST}:{ports['redis']}/0",
            }
            print(json.dumps(urls), flush=True)  # noqa: T201 - the protocol
            async for command, name in _commands():
                answer = "ok"
                if command == "database":
                    copy, _, template = name.partition(" ")
                    create_database(database, copy, template)
                    answer = database.url(copy)
                elif command == "drop":
                    await _psql(database, f'DROP DATABASE "{name}" WITH (FORCE)')
                elif command == "kill" and name == "postgres":
                    database.server.kill()
                elif command == "kill":
                    switches[name].kill()
                elif command == "stop":
                    await switches[name].stop()
                elif not switches[name].is_on:
                    answer = await _started(nursery, switches[name])
                print(answer, flush=True)  # noqa: T201 - the protocol
            nursery.cancel_scope.cancel()


async def _started(nursery: trio.Nursery, switch: "_Switch") -> str:
    """Start a server; return why it could not be started, as on a full disk."""
    try:
        await nursery.start(switch.run)
    except (OSError, ServerFailed) as error:
        return f"{_FAILED}{error!r}"
    return "ok"


async def _psql(database: Postgres, *statements: str) -> None:
    argv = [str(binaries() / "psql"), "-h", HOST, "-p", str(database.port), "-U", "postgres", "-q"]
    argv += [word for statement in statements for word in ("-c", statement)]
    await trio.run_process(argv, env={"PGPASSWORD": database.password}, capture_stdout=True)


def _nats(state: StateDir, port: int) -> Any:
    return running(state, nats_command(state, port), partial(answers, port))


def _valkey(state: StateDir, port: int) -> Any:
    return running(state, valkey_command(port), partial(answers, port))


class _Switch:
    """A server that can be stopped and started."""

    def __init__(self, opened: Callable[[], Any]) -> None:
        self._opened = opened
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._ended.set()
        self._server: Any = None

    @property
    def is_on(self) -> bool:
        return not self._ended.is_set()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        self._ended = trio.Event()
        try:
            with trio.CancelScope() as self._scope:
                async with self._opened() as self._server:
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        self._scope.cancel()
        await self._ended.wait()

    def kill(self) -> None:
        self._server.kill()


async def _commands() -> AsyncIterator[tuple[str, str]]:
    stream = trio.lowlevel.FdStream(os.dup(0))
    buffer = b""
    async for chunk in stream:
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            command, _, name = line.decode().partition(" ")
            yield command, name


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0)
