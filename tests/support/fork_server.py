"""Fork server: it imports payd, its wheels and their libraries once, and forks for each request.

`python fork_server.py FD` serves the Unix socket FD until it is closed. A request is JSON
(`arguments` as the interpreter takes them, `environment`, `folder`) with four file descriptors:
stdin, stdout, stderr and a pipe, where the server writes the exit status. The response is the
process id. Nothing but imports has run before a fork: no thread, no event loop, no connection.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

_PACKAGES = (
    "payd",
    "payd_client",
    "mock_provider",
    "stripe_provider",
    "tempo_provider",
    "main_app",
)
#: What libraries import only when they are first used.
_LAZY = ("encodings.idna", "hypercorn.trio.run", "redis.asyncio")
#: Programs, what imports pytest, and what imports numpy, which starts threads.
_NOT_IMPORTED = {"__main__", "pytest_plugin", "testing", "keccak_search"}
_EXAMPLES = str(Path(__file__).parents[2] / "examples")
_LONGEST_REQUEST = 1 << 20
_STANDARD_STREAMS = 3


def import_all() -> None:
    """Import every module that a daemon, a command or the example application may import."""
    recursion_limit = sys.getrecursionlimit()
    sys.path.append(_EXAMPLES)
    for name in _PACKAGES:
        folder = Path(str(importlib.import_module(name).__file__)).parent
        for file in folder.rglob("*.py"):
            parts = file.relative_to(folder).with_suffix("").parts
            if not _NOT_IMPORTED.intersection(parts):
                importlib.import_module(".".join((name, *parts)).removesuffix(".__init__"))
    for name in _LAZY:
        importlib.import_module(name)
    sys.path.remove(_EXAMPLES)
    sys.setrecursionlimit(recursion_limit)


def next_request() -> list[str]:
    """Serve until the socket is closed; return, in each fork, its arguments."""
    control = socket.socket(fileno=int(sys.argv[1]))
    # pidfd → the process, and where its exit status goes.
    running: dict[int, tuple[int, int]] = {}
    while True:
        readable, _, _ = select.select([control.fileno(), *running], [], [])
        for pidfd in running.keys() & set(readable):
            pid, status = running.pop(pidfd)
            # Nobody may read it.
            with contextlib.suppress(BrokenPipeError):
                os.write(status, str(os.waitpid(pid, 0)[1]).encode())
            _close(status, pidfd)
        if control.fileno() not in readable:
            continue
        message, fds, _, _ = socket.recv_fds(control, _LONGEST_REQUEST, _STANDARD_STREAMS + 1)
        if not message:
            sys.exit()
        threads = len(list(Path("/proc/self/task").iterdir()))
        assert threads == 1, f"an import has started {threads - 1} threads"
        if (pid := os.fork()) == 0:
            control.close()
            _take_streams(fds)
            _close(*fds, *running, *(status for _, status in running.values()))
            return _adopt(json.loads(message))
        running[os.pidfd_open(pid)] = pid, fds.pop()
        _close(*fds)
        control.send(str(pid).encode())


def _take_streams(fds: list[int]) -> None:
    for number, fd in enumerate(fds[:_STANDARD_STREAMS]):
        os.dup2(fd, number)


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def _adopt(request: dict[str, Any]) -> list[str]:
    """Take over the folder and the environment of the request; return its arguments."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(":"))
    importlib.invalidate_caches()
    return list(request["arguments"])


def run(arguments: list[str]) -> None:
    """Run `-m MODULE …` or `SCRIPT …` as the interpreter would."""
    first, *others = arguments
    if first == "-m":
        sys.argv = others
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(first).parent))
        runpy.run_path(first, run_name="__main__")


class Ending:
    """The end of a fork, after its threads and `atexit` functions, without freeing its objects.

    Freeing them writes to all memory that the forks share: a tenth of a second of CPU.
    """

    def __init__(self) -> None:
        self._code = 1

    def note(self, code: object) -> None:
        """Keep the argument of `sys.exit`."""
        self._code = code if isinstance(code, int) else int(code is not None)

    def end(self) -> None:
        """Report what was left unfinished, as the interpreter would, and exit."""
        gc.collect()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self._code)


def main() -> None:
    """Import, serve, and run what is asked for in each fork."""
    ending = Ending()
    # The first function that is registered is the last to run.
    atexit.register(ending.end)
    # Ctrl-C is for the forks; the server ends with its socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Its own folder is no place to import from.
    del sys.path[0]
    import_all()
    # The collector would write to every object, too.
    gc.collect()
    gc.freeze()
    try:
        run(next_request())
        ending.note(None)
    except SystemExit as exit_:
        ending.note(exit_.code)
        raise


if __name__ == "__main__":
    main()
