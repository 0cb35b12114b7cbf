"""The system clock, new ids and crash points, which tests replace."""

import asyncio
import os
import signal
import time
from datetime import UTC, datetime
from uuid import UUID

#: Every point at which a fault-injection test may kill the daemon.
CRASH_POINTS = frozenset(
    {
        "initiate.before_insert",
        "initiate.after_insert",
        "initiate.after_provider",
        "initiate.before_answer",
        "cancel.after_wish",
        "cancel.after_provider",
        "refund.before_insert",
        "refund.after_insert",
        "refund.after_provider",
        "refund.before_answer",
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
    """Implements the port BusinessClock."""

    def now(self) -> datetime:
        """The current time in UTC."""
        return datetime.now(UTC)

    async def rest(self, seconds: float) -> None:
        """Wait. Nobody moves this clock."""
        await asyncio.sleep(seconds)


class OrderedIds:
    """Implements the port Ids, with UUIDs of version 7 (RFC 9562, section 5.7).

    They begin with the time, so new rows go to the end of an index. Random ids go all over it: with
    ten million payments each insert reads pages of several indexes from the disk.
    """

    def new(self) -> UUID:
        """Return a UUID of the present millisecond and 74 random bits."""
        milliseconds = time.time_ns() // 1_000_000
        random = int.from_bytes(os.urandom(10))
        version_and_variant = 7 << 76 | 2 << 62
        # The version and the variant take the place of six random bits.
        kept = random & ~(0xF << 76) & ~(0x3 << 62)
        return UUID(int=milliseconds << 80 | kept | version_and_variant)


class CrashAt:
    """Implements the port CrashPoints: kills the process at the chosen point, like a power cut."""

    def __init__(self, spec: str | None) -> None:
        """`spec` is NAME or NAME:N, which dies at the Nth time; None never dies.

        Raises ValueError for an unknown name.
        """
        name, _, count = (spec or "").partition(":")
        if name and name not in CRASH_POINTS:
            raise ValueError(
                f"unknown crash point {name!r}; known are: {', '.join(sorted(CRASH_POINTS))}"
            )
        self._name = name
        self._left = int(count or 1)

    def reach(self, name: str) -> None:
        """Count passes of the chosen point; send SIGKILL to this process at the last one."""
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
