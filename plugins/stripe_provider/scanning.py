"""Where a scan of Stripe's events goes on. Pure: a cursor is read into a window, and written back.

A cursor is the second from which everything is to be read; within a window it also names the
window's end and the oldest event that was read of it.
"""

from datetime import datetime, timedelta
from typing import Any

import attrs

#: The first scan ever begins so far back.
FIRST = timedelta(hours=24)
#: So much of what was read is read again: Stripe promises no order.
OVERLAP = timedelta(hours=1)
#: Stripe's clock may be ahead of ours.
_AHEAD_S = 60


@attrs.frozen(kw_only=True)
class Window:
    """The events of [start, end] seconds, from the newest to the oldest."""

    start: int
    end: int
    #: The oldest that was read; None at the beginning.
    last_id: str | None = None

    def query(self) -> dict[str, Any]:
        """What Stripe is asked for."""
        created = {"gte": self.start, "lte": self.end + _AHEAD_S}
        more = {} if self.last_id is None else {"starting_after": self.last_id}
        return {"created": created, **more}

    def after(self, event_id: str) -> "Window":
        """What is left behind this event."""
        return attrs.evolve(self, last_id=event_id)

    def cursor(self) -> str:
        """To go on within this window."""
        return f"{self.start}-{self.end}-{self.last_id}"

    def end_cursor(self) -> str:
        """To go on after it. Never goes back."""
        return str(max(self.start, self.end - int(OVERLAP.total_seconds())))


def window_of(cursor: str | None, now: datetime) -> Window:
    """The window to read next."""
    end = int(now.timestamp())
    if cursor is None:
        return Window(start=end - int(FIRST.total_seconds()), end=end)
    start, _, rest = cursor.partition("-")
    if not rest:
        return Window(start=int(start), end=max(end, int(start)))
    window_end, _, last_id = rest.partition("-")
    return Window(start=int(start), end=int(window_end), last_id=last_id)
