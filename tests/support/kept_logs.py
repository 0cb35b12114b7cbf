"""The logs of what runs beside a test, for the report of a test that fails.

The folders and processes of a fixture are gone when the report is read.
"""

import contextlib
from collections.abc import Callable, Iterator

#: Enough for the requests of one test, with what a failure logs.
_CHARACTERS_MAX = 40_000

#: The running ones: name, and what reads the whole log.
_RUNNING: list[tuple[str, Callable[[], str]]] = []


@contextlib.contextmanager
def kept_log(name: str, read: Callable[[], str]) -> Iterator[None]:
    """Until the end of the block, a test that fails prints the end of this log."""
    entry = (name, read)
    _RUNNING.append(entry)
    try:
        yield
    finally:
        _RUNNING.remove(entry)


def running_logs() -> list[tuple[str, str]]:
    """Return title and end of each log that is being written."""
    found = []
    for name, read in _RUNNING:
        with contextlib.suppress(OSError):
            found.append((f"log of {name}", read()[-_CHARACTERS_MAX:]))
    return found
