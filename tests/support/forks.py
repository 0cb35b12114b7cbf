"""Python processes without the cost of their imports: forks of this session's fork server.

A `payd serve` that starts takes more than a second of CPU, nearly all of it for imports. A test
sees of a fork what it sees of `subprocess.Popen`. What differs: /proc/PID/cmdline and
/proc/PID/environ are the server's, its parent is the server, and its memory is shared.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from support import fork_server
from support.waiting import PATIENCE_S

_LONGEST_RESPONSE = 32


class ForkServer:
    """The fork server of this session; it starts with the first fork, and ends with the session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None

    def fork(self, request: Mapping[str, Any], fds: Sequence[int]) -> int:
        """Start a process with these file descriptors; return its id."""
        with self._lock:
            if self._control is None:
                self._control = self._start()
            socket.send_fds(self._control, [json.dumps(request).encode()], fds)
            pid = self._control.recv(_LONGEST_RESPONSE)
        assert pid, "the fork server has ended: its error is in the output of this session"
        return int(pid)

    def _start(self) -> socket.socket:
        ours, its_own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_own:
            process = subprocess.Popen(
                [sys.executable, fork_server.__file__, str(its_own.fileno())],
                env={"PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                pass_fds=[its_own.fileno()],
            )
        atexit.register(process.wait)
        atexit.register(ours.close)
        return ours


_SERVER = ForkServer()


class Fork:
    """`subprocess.Popen([sys.executable, *arguments], text=True)` as a fork."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        stdout: IO[Any] | None = None,
        stderr: IO[Any] | None = None,
    ) -> None:
        """Start it. Without `stdout` that is a pipe, and without `stderr` it is the same file."""
        self.args = list(arguments)
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        folder = str(cwd or Path.cwd())
        request = {"arguments": self.args, "environment": dict(env), "folder": folder}
        status, its_status = os.pipe()
        self._status = os.fdopen(status, "rb", buffering=0)
        with contextlib.ExitStack() as its_own:
            its_own.callback(os.close, its_status)
            stdin = its_own.enter_context(Path(os.devnull).open())
            if stdout is None:
                output, its_output = os.pipe()
                self.stdout = os.fdopen(output)
                stdout = its_own.enter_context(os.fdopen(its_output, "w"))
            streams = (stdin, stdout, stderr or stdout)
            self.pid = _SERVER.fork(request, [*(s.fileno() for s in streams), its_status])

    def poll(self) -> int | None:
        """Return its exit code if it has ended."""
        return self._exit_code(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its exit code; raises TimeoutExpired."""
        code = self._exit_code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _exit_code(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout_s)[0]:
            status = self._status.read(_LONGEST_RESPONSE)
            self._status.close()
            assert status, "the fork server ended before this process"
            self.returncode = os.waitstatus_to_exitcode(int(status))
        return self.returncode


#: What tests use of a process is the same of both.
Process = Fork | subprocess.Popen[str]


def start_python(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    fresh: bool = False,
) -> Process:
    """Start `python …` with a pipe for its output: as a fork, or `fresh`, with its own imports.

    Variables that only the interpreter's start reads need a fresh one, too.
    """
    if not (fresh or _is_for_interpreter(env)):
        return Fork(arguments, env=env, cwd=cwd)
    command = [sys.executable, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=env, cwd=cwd, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def run_payd(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `payd …` to its end, as `subprocess.run(…, capture_output=True, text=True)` does."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = Fork(
            ("-m", "payd", *arguments),
            env=os.environ if env is None else env,
            cwd=cwd,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            code = process.wait(PATIENCE_S)
        finally:
            process.kill()
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(process.args, code, stdout.read(), stderr.read())


def _is_for_interpreter(env: Mapping[str, str]) -> bool:
    return any(name.startswith("PYTHON") for name in env.keys() - {"PYTHONPATH"})
