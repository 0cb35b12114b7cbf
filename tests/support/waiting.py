"""Polling: look again until a condition is true, with a deadline that a loaded machine meets."""

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Process(Protocol):
    """A process that may end before the condition is true."""

    returncode: Any

    def poll(self) -> int | None:
        """Return its exit code if it has ended."""


#: Nothing needs all of it on a quiet machine; a loaded one may.
PATIENCE_S = 180.0
INTERVAL_S = 0.05
#: Between two calls of a command of payd's.
COMMAND_INTERVAL_S = 0.2


def wait_until(
    look: Callable[[], T],
    what: str | Callable[[], object] = "see the condition",
    *,
    timeout_s: float = PATIENCE_S,
    interval_s: float = INTERVAL_S,
    process: "Process | None" = None,
) -> T:
    """Return the first result of `look` that is true.

    Fail with `what`, which may be computed at that moment (a log, say), when the time is over or
    when `process` has ended: its end is noticed at once, not after the whole time.
    """

    def reason() -> object:
        return what if isinstance(what, str) else what()

    until = time.monotonic() + timeout_s
    while not (found := look()):
        if process is not None:
            assert process.poll() is None, f"ended with {process.returncode}: {reason()}"
        assert time.monotonic() < until, f"waited {timeout_s:g} s in vain: {reason()}"
        time.sleep(interval_s)
    return found


def succeeds(attempt: Callable[[], object], *errors: type[Exception]) -> Callable[[], bool]:
    """A condition for `wait_until`: `attempt` raises none of `errors`."""

    def is_so() -> bool:
        try:
            attempt()
        except errors:
            return False
        return True

    return is_so
