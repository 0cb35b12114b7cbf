"""GET /attention: payments that need a person, each with its open reasons."""

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from functools import partial

from payd_client import Payment, PaymentClient, PaymentFilter
from quart import Response, request
from quart_trio import QuartTrio

from payd.domain.attention import Attention
from payd.transport.console.live import EVENTS, mark_of
from payd.transport.console.own_calls import Visitor
from payd.transport.console.reason_lines import reason_lines
from payd.transport.console.visits import Visits, caller

#: Payments that the page shows.
_QUEUE_MAX = 200


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the routes."""

    @app.get("/attention")
    async def attention() -> Response:
        return await visits.answered(partial(_attention, visits))

    @app.get(f"/attention{EVENTS}")
    async def attention_events() -> Response:
        reason = request.args.get("reason", "")
        look = partial(_look, visits.calls, caller(), reason)
        return visits.live.changes(("attention", reason), look)


async def _attention(visits: Visits) -> Response:
    reason = request.args.get("reason", "")
    found = await _queue(visits.calls, caller(), reason)
    return visits.page(
        "attention.html",
        payments=[(one, reason_lines(one)) for one in found[:_QUEUE_MAX]],
        mark=_mark(found),
        has_more=len(found) > _QUEUE_MAX,
        reason=reason,
        reasons=[one.value for one in Attention],
    )


async def _look(calls: PaymentClient, by: Visitor, reason: str) -> str:
    return _mark(await _queue(calls, by, reason))


async def _queue(calls: PaymentClient, by: Visitor, reason: str) -> Sequence[Payment]:
    """Return the payments of the queue, and one more than the page shows if there are more."""
    wanted = PaymentFilter(attention=(reason,)) if reason else PaymentFilter()
    found = []
    async with aclosing(calls.list_attention(wanted, page_size=_QUEUE_MAX, caller=by)) as listed:
        async for payment in listed:
            found.append(payment)
            if len(found) > _QUEUE_MAX:
                break
    return found


def _mark(payments: Iterable[Payment]) -> str:
    return mark_of([(one.id, one.version) for one in payments])
