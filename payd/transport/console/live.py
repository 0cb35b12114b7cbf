"""Server-sent events that have an open page load itself again; they carry nothing but a mark.

A payment's page waits for its next version, as the page of its customer does. The pages of many
payments have no such event: the server looks every few seconds, and sends one when the answer
differs. A browser keeps few connections to a host, so a page that is hidden closes its own.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from uuid import UUID

import attrs
import trio
from payd_client import Overview, PaydClientError, Payment, PaymentClient, PaymentFilter, Refund
from quart import Response, g, request
from quart_trio import QuartTrio

from payd.transport.console.own_calls import Visitor
from payd.transport.console.refund_lines import WAITING
from payd.transport.console.visits import Visits, caller
from payd.transport.http.pages.live import STREAM_S, LivePages

#: Requests that are no use of a session: the browser makes them by itself.
EVENTS = "/events"
_LOOK_S = 3.0
#: Streams at a time for which the server looks.
LOOKING_MAX = 20
_RECONNECT_MS = 2000
_MARK_LENGTH_MAX = 64
_DIGITS_MAX = 9
#: Payments of the queue of attention that its page shows.
QUEUE_MAX = 200
#: Spans of the overview to choose from, in days.
SPANS = (7, 30, 92)
#: Refunds that the overview shows.
WAITING_MAX = 10


@attrs.define(eq=False, kw_only=True)
class Live:
    """The streams of this listener, up to a limit of their own."""

    payments: LivePages
    #: Set when the listener stops: no stream may delay it.
    stopping: trio.Event
    #: Streams of the overview and the queue: each of them makes the server look again and again.
    _looking: int = attrs.field(default=0, init=False)

    def add_to(self, app: QuartTrio, visits: Visits) -> None:
        """Register the routes."""

        @app.get(f"/payments/<payment_id>{EVENTS}")
        async def payment_events(payment_id: str) -> Response:
            return await visits.answered(partial(self._payment, visits, payment_id))

        @app.get(f"/overview{EVENTS}")
        async def overview_events() -> Response:
            look = partial(_look_at_overview, visits, caller(), span_wanted())
            return _stream(self.changes(look, _mark_of_browser(), g.still_valid))

        @app.get(f"/attention{EVENTS}")
        async def attention_events() -> Response:
            look = partial(_look_at_queue, visits, caller(), request.args.get("reason", ""))
            return _stream(self.changes(look, _mark_of_browser(), g.still_valid))

    async def _payment(self, visits: Visits, payment_id: str) -> Response:
        if self.payments.is_full:
            return visits.page("notice.html", 503, name="slow")
        payment = await visits.calls.get(payment_id, caller=caller())
        known = _mark_of_browser()
        is_number = known.isascii() and known.isdecimal() and len(known) <= _DIGITS_MAX
        version = int(known) if is_number else 0
        return _stream(self.payments.events(UUID(str(payment.id)), version, g.still_valid))

    async def changes(
        self, look: Callable[[], Awaitable[str]], known: str, still_valid: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """Send the mark of each look that differs from the one before, for a while.

        It ends when the session does.
        """
        yield f"retry: {_RECONNECT_MS}\n\n".encode()
        if self._looking >= LOOKING_MAX:
            # The page asks by itself.
            return
        self._looking += 1
        try:
            end = trio.current_time() + STREAM_S
            while not self.stopping.is_set() and trio.current_time() < end and still_valid():
                mark = await look()
                if mark != known:
                    known = mark
                    yield f"id: {mark}\nevent: change\ndata: {mark}\n\n".encode()
                with trio.move_on_after(_LOOK_S):
                    await self.stopping.wait()
        except PaydClientError:
            # The browser connects again, and loads the page, which says what is wrong.
            return
        finally:
            self._looking -= 1


async def _look_at_overview(visits: Visits, by: Visitor, days: int) -> str:
    found = await visits.calls.overview(days, caller=by)
    waiting = await visits.calls.list_refunds(statuses=WAITING, page_size=WAITING_MAX, caller=by)
    return overview_mark(found, waiting.refunds)


async def _look_at_queue(visits: Visits, by: Visitor, reason: str) -> str:
    return queue_mark(await queue(visits.calls, by, reason))


async def queue(calls: PaymentClient, by: Visitor, reason: str) -> Sequence[Payment]:
    """Return the payments of the queue, and one more than a page shows if there are more."""
    wanted = PaymentFilter(attention=(reason,)) if reason else PaymentFilter()
    found = []
    async with aclosing(calls.list_attention(wanted, page_size=QUEUE_MAX, caller=by)) as listed:
        async for payment in listed:
            found.append(payment)
            if len(found) > QUEUE_MAX:
                break
    return found


def span_wanted() -> int:
    """Return the span of the overview in days, as the address has it."""
    wanted = request.args.get("days", "")
    return next((span for span in SPANS if str(span) == wanted), SPANS[0])


def overview_mark(overview: Overview, waiting: Iterable[Refund]) -> str:
    """Return a mark that differs when the overview shows something else than ages and times."""
    backlog, trail = overview.backlog, overview.trail
    return _mark(
        overview.sums,
        [(one.reason, one.payments) for one in overview.attention],
        [(one.name, one.ok) for one in overview.checks],
        [(one.name, one.restarts, one.failures) for one in overview.loops],
        (backlog.events, backlog.reports, backlog.unmatched_receipts),
        (trail.checkpoint, trail.unsigned_rows, trail.unchained_rows),
        [(one.id, one.status) for one in waiting],
    )


def queue_mark(payments: Iterable[Payment]) -> str:
    """Return a mark that differs when the queue shows something else."""
    return _mark([(one.id, one.version) for one in payments])


def _mark(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _mark_of_browser() -> str:
    known = request.headers.get("last-event-id") or request.args.get("after", "")
    return known[:_MARK_LENGTH_MAX]


def _stream(events: AsyncIterator[bytes]) -> Response:
    response = Response(events, content_type="text/event-stream")
    # The stream ends by itself.
    response.timeout = None
    return response
