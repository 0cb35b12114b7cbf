"""End or go on quietly where nobody reads a command's output: `payd … | head`, `payd … >&-`.

Other programs end by SIGPIPE without a word. Python ignores that signal, because it would also end
a process whose network connection is closed, and raises BrokenPipeError instead.
"""

import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn


def open_missing_streams() -> None:
    """Discard what is written to a stdout or stderr that the shell has closed (`>&-`).

    Python sets a closed one to None, and libraries call its methods.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # It stays open until the process ends.
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115


def is_closed_pipe(error: BaseException) -> bool:
    """Whether the error comes from writing to stdout, whose reader has closed it.

    A library may have made another exception of it, or put it into a group.
    """
    return any(isinstance(one, BrokenPipeError) for one in _origins(error)) and _is_closed()


def end_by_sigpipe() -> NoReturn:
    """End this process as if SIGPIPE were not ignored: a shell says exit code 141."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    # Only if a parent process has blocked the signal.
    os._exit(128 + signal.SIGPIPE)


def _origins(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it, each once."""
    todo, seen = [error], set[int]()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        parts = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        todo += [found for found in (*parts, one.__cause__, one.__context__) if found]


def _is_closed() -> bool:
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        # Not a file, such as in a test.
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))
