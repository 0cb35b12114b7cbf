"""GET /: payments and money by day, what needs a person, and the health of payd."""

from functools import partial

from quart import Response, request
from quart_trio import QuartTrio

from payd.transport.console.charts import HEIGHT, WIDTH, money_charts, payments_chart, shares
from payd.transport.console.visits import Visits, caller

#: Spans to choose from, in days.
_SPANS = (7, 30, 92)


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the route."""

    @app.get("/")
    async def overview() -> Response:
        return await visits.answered(partial(_overview, visits))


async def _overview(visits: Visits) -> Response:
    wanted = request.args.get("days", "")
    days = next((span for span in _SPANS if str(span) == wanted), _SPANS[0])
    found = await visits.calls.overview(days, caller=caller())
    return visits.page(
        "overview.html",
        overview=found,
        days=days,
        spans=_SPANS,
        charts=[payments_chart(found, days), *money_charts(found, days)],
        methods=shares(found.sums, lambda one: one.method),
        statuses=shares(found.sums, lambda one: one.status.value),
        width=WIDTH,
        height=HEIGHT,
    )
