"""GET /: payments and money by day, what needs a person, and the health of payd."""

from collections.abc import Iterable, Mapping
from functools import partial

from payd_client import Overview, Refund, TrailState
from quart import Response, request
from quart_trio import QuartTrio

from payd.domain.overview import ROWS_COUNTED_MAX
from payd.transport.console.charts import HEIGHT, WIDTH, money_charts, payments_chart, shares
from payd.transport.console.live import EVENTS, mark_of
from payd.transport.console.own_calls import Visitor
from payd.transport.console.refund_lines import WAITING
from payd.transport.console.texts import texts
from payd.transport.console.visits import Visits, caller

#: Spans to choose from, in days.
_SPANS = (7, 30, 92)
#: Refunds that the page shows.
_WAITING_MAX = 10


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the routes."""

    @app.get("/")
    async def overview() -> Response:
        return await visits.answered(partial(_overview, visits))

    @app.get(f"/overview{EVENTS}")
    async def overview_events() -> Response:
        days = _span_wanted()
        look = partial(_look, visits, caller(), days)
        return visits.live.changes(("overview", days), look)


async def _overview(visits: Visits) -> Response:
    days, by = _span_wanted(), caller()
    found = await visits.calls.overview(days, caller=by)
    waiting = await visits.calls.list_refunds(statuses=WAITING, page_size=_WAITING_MAX, caller=by)
    return visits.page(
        "overview.html",
        overview=found,
        mark=overview_mark(found, waiting.refunds),
        waiting=visits.refund_lines(waiting.refunds),
        has_more_waiting=bool(waiting.next_page_token),
        trail=trail_counts(found.trail),
        days=days,
        spans=_SPANS,
        charts=[payments_chart(found, days), *money_charts(found, days)],
        methods=shares(found.sums, lambda one: one.method),
        statuses=shares(found.sums, lambda one: one.status.value),
        width=WIDTH,
        height=HEIGHT,
    )


async def _look(visits: Visits, by: Visitor, days: int) -> str:
    found = await visits.calls.overview(days, caller=by)
    waiting = await visits.calls.list_refunds(statuses=WAITING, page_size=_WAITING_MAX, caller=by)
    return overview_mark(found, waiting.refunds)


def _span_wanted() -> int:
    """Return the span in days, as the address has it."""
    wanted = request.args.get("days", "")
    return next((span for span in _SPANS if str(span) == wanted), _SPANS[0])


def overview_mark(overview: Overview, waiting: Iterable[Refund]) -> str:
    """Return a mark that differs when the overview has news.

    Ages, times and counters that run while nothing happens are none: they would have each page load
    again at each look.
    """
    backlog = overview.backlog
    return mark_of(
        overview.sums,
        [(one.reason, one.payments) for one in overview.attention],
        [(one.name, one.ok) for one in overview.checks],
        [one.name for one in overview.loops if one.restarts or one.failures],
        # They move with every payment: whether they are twice as many matters.
        (backlog.events.bit_length(), backlog.reports.bit_length(), backlog.unmatched_receipts),
        [(one.id, one.status) for one in waiting],
    )


def trail_counts(trail: TrailState) -> Mapping[str, str]:
    """What the counts of the audit trail say: where counting ended, there may be more."""
    t = texts()

    def counted(count: int, rows: int) -> str:
        return t["trail.more"].format(count=count) if rows >= ROWS_COUNTED_MAX else str(count)

    rows, unchained = trail.unsigned_rows, trail.unchained_rows
    return {
        "unsigned": t["trail.rows"].format(
            rows=counted(rows, rows), payments=counted(trail.unsigned_payments, rows)
        ),
        "unchained": counted(unchained, unchained) if unchained else "",
    }
