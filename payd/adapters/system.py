"""The machine's own clock, ids and crash points: what tests replace by their own."""

import os
import signal
from datetime import UTC, datetime
from uuid import UUID, uuid4

#: Every place where a fault-injection run may kill the daemon.
CRASH_POINTS = frozenset(
    {
        "initiate.before_insert",
        "initiate.after_insert",
        "initiate.after_provider",
        "initiate.before_answer",
        "cancel.after_wish",
        "cancel.after_provider",
        "intake.before_inbox",
        "intake.after_inbox",
        "settle.before_commit",
        "settle.after_commit",
        "publish.before_publish",
        "publish.after_ack",
        "publish.after_mark",
    }
)


class SystemClock:
    """The port Clock."""

    def now(self) -> datetime:
        """UTC."""
        return datetime.now(UTC)


class RandomIds:
    """The port Ids."""

    def new(self) -> UUID:
        """A random UUID."""
        return uuid4()


class CrashAt:
    """The port CrashPoints: dies at a chosen point, as by a power cut."""

    def __init__(self, spec: str | None) -> None:
        """`spec` is NAME or NAME:N (the Nth time); None never dies. Raises ValueError."""
        name, _, count = (spec or "").partition(":")
        if name and name not in CRASH_POINTS:
            raise ValueError(
                f"no such crash point: {name}; known: {', '.join(sorted(CRASH_POINTS))}"
            )
        self._name = name
        self._left = int(count or 1)

    def reach(self, name: str) -> None:
        """See the port."""
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
