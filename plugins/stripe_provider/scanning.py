"""The cursor of an event scan. Pure: parse a cursor to a time window, and write it back.

A cursor is the second from which everything is to be read; within a window it also names the
window's end and the oldest event that was read of it.
"""

from datetime import datetime, timedelta
from typing import Any

import attrs

#: How far back the very first scan begins.
FIRST = timedelta(hours=24)
#: Overlap of consecutive windows, because Stripe guarantees no order of events.
OVERLAP = timedelta(hours=1)
#: Tolerance for Stripe's clock being ahead of ours.
_AHEAD_S = 60


@attrs.frozen(kw_only=True)
class Window:
    """The events created from `start` to `end`, in Unix seconds, newest first."""

    start: int
    end: int
    #: Id of the oldest event read so far; None before the first.
    last_id: str | None = None

    def query(self) -> dict[str, Any]:
        """The request's filter parameters."""
        created = {"gte": self.start, "lte": self.end + _AHEAD_S}
        more = {} if self.last_id is None else {"starting_after": self.last_id}
        return {"created": created, **more}

    def after(self, event_id: str) -> "Window":
        """The window's remainder after this event."""
        return attrs.evolve(self, last_id=event_id)

    def cursor(self) -> str:
        """Cursor to continue within this window."""
        return f"{self.start}-{self.end}-{self.last_id}"

    def end_cursor(self) -> str:
        """Cursor to continue after this window; it never moves back."""
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
