"""Server-sent events that have an open page load itself again; they carry nothing but a mark.

A payment's page waits for its next version, as the page of its customer does. The pages of many
payments have no such event: the server looks every few seconds, once for all streams of the same
page, and sends one when the answer differs. A browser keeps few connections to a host, so a page
that is hidden closes its own.
"""

import hashlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from uuid import UUID

import attrs
import trio
from payd_client import PaydClientError
from quart import Response, g, request

from payd.transport.http.pages.live import STREAM_S, LivePages

#: Requests that are no use of a session: the browser makes them by itself.
EVENTS = "/events"
#: Streams at a time for which the server looks.
LOOKING_MAX = 20
LOOK_S = 3.0
_RECONNECT_MS = 2000
_MARK_LENGTH_MAX = 64
_DIGITS_MAX = 9

#: Reads what a page shows, and returns a mark that differs when it shows something else.
Look = Callable[[], Awaitable[str]]


@attrs.define(eq=False)
class _Shared:
    """The newest look at one page."""

    streams: int = 0
    #: None where payd had no answer.
    mark: str | None = None
    #: When it is too old.
    due: float = -math.inf
    _lock: trio.Lock = attrs.field(factory=trio.Lock)

    async def renewed(self, look: Look) -> str | None:
        """Return the mark; the first stream that finds it too old looks for all."""
        async with self._lock:
            if trio.current_time() >= self.due:
                try:
                    self.mark = await look()
                except PaydClientError:
                    self.mark = None
                self.due = trio.current_time() + LOOK_S
            return self.mark


@attrs.define(eq=False, kw_only=True)
class Live:
    """The streams of this listener, up to a limit of their own."""

    payments: LivePages
    #: Set when the listener stops: no stream may delay it.
    stopping: trio.Event
    #: By page: what it is, and what of its address decides on what it shows.
    _shared: dict[Hashable, _Shared] = attrs.field(factory=dict, init=False)

    def payment(self, payment_id: UUID) -> Response:
        """Stream the newer versions of a payment."""
        known = _mark_of_browser()
        is_number = known.isascii() and known.isdecimal() and len(known) <= _DIGITS_MAX
        version = int(known) if is_number else 0
        return _stream(self.payments.events(payment_id, version, g.still_valid))

    def changes(self, page: Hashable, look: Look) -> Response:
        """Stream the changes of a page. All its streams share one look."""
        return _stream(self._changes(page, look, _mark_of_browser(), g.still_valid))

    async def _changes(
        self, page: Hashable, look: Look, known: str, still_valid: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """Send the mark of each look that differs from the one before, for a while.

        It ends when the session does, or when payd has no answer: the browser connects again, and
        loads the page, which says what is wrong.
        """
        yield f"retry: {_RECONNECT_MS}\n\n".encode()
        if sum(one.streams for one in self._shared.values()) >= LOOKING_MAX:
            # The page asks by itself.
            return
        end = trio.current_time() + STREAM_S
        with self._share(page) as shared:
            while not self.stopping.is_set() and trio.current_time() < end and still_valid():
                mark = await shared.renewed(look)
                if mark is None:
                    return
                if mark != known:
                    known = mark
                    yield f"id: {mark}\nevent: change\ndata: {mark}\n\n".encode()
                with trio.move_on_at(shared.due):
                    await self.stopping.wait()

    @contextmanager
    def _share(self, page: Hashable) -> Iterator[_Shared]:
        shared = self._shared.setdefault(page, _Shared())
        shared.streams += 1
        try:
            yield shared
        finally:
            shared.streams -= 1
            if not shared.streams:
                del self._shared[page]


def mark_of(*parts: object) -> str:
    """Return a short text that differs when one of the parts does."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _mark_of_browser() -> str:
    known = request.headers.get("last-event-id") or request.args.get("after", "")
    return known[:_MARK_LENGTH_MAX]


def _stream(events: AsyncIterator[bytes]) -> Response:
    response = Response(events, content_type="text/event-stream")
    # The stream ends by itself.
    response.timeout = None
    return response
