"""GET /: payments and money by day, what needs a person, and the health of payd."""

from collections.abc import Mapping
from functools import partial

from payd_client import TrailState
from quart import Response
from quart_trio import QuartTrio

from payd.domain.overview import ROWS_COUNTED_MAX
from payd.transport.console.charts import HEIGHT, WIDTH, money_charts, payments_chart, shares
from payd.transport.console.live import SPANS, WAITING_MAX, overview_mark, span_wanted
from payd.transport.console.refund_lines import WAITING
from payd.transport.console.texts import texts
from payd.transport.console.visits import Visits, caller


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the route."""

    @app.get("/")
    async def overview() -> Response:
        return await visits.answered(partial(_overview, visits))


async def _overview(visits: Visits) -> Response:
    days = span_wanted()
    found = await visits.calls.overview(days, caller=caller())
    waiting = await visits.calls.list_refunds(
        statuses=WAITING, page_size=WAITING_MAX, caller=caller()
    )
    return visits.page(
        "overview.html",
        overview=found,
        mark=overview_mark(found, waiting.refunds),
        waiting=visits.refund_lines(waiting.refunds),
        has_more_waiting=bool(waiting.next_page_token),
        trail=trail_counts(found.trail),
        days=days,
        spans=SPANS,
        charts=[payments_chart(found, days), *money_charts(found, days)],
        methods=shares(found.sums, lambda one: one.method),
        statuses=shares(found.sums, lambda one: one.status.value),
        width=WIDTH,
        height=HEIGHT,
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
