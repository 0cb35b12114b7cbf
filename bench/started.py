"""Wait for a line in the log of a process that is still writing it."""

import json
import time
from collections.abc import Callable
from pathlib import Path


def wait_for_line(
    log: Path, event: str, seconds: float, sleep: Callable[[float], None] = time.sleep
) -> dict[str, str]:
    """The first JSON line of this event; raises RuntimeError with the log after `seconds`.

    The log is opened anew: a handle shared with the writer would move its position, too.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for line in _whole_lines(log):
            found: dict[str, str] = json.loads(line) if line.startswith("{") else {}
            if found.get("event") == event:
                return found
        sleep(0.01)
    raise RuntimeError(log.read_text())


def _whole_lines(log: Path) -> list[str]:
    """All but the last one while it is being written."""
    text = log.read_text()
    return text[: text.rfind("\n") + 1].splitlines()
