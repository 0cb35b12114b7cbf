"""GET /payments/{id}: everything that is known about one payment, its raw rows at /raw."""

import json
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from payd_client import ReceiptFilter, StoredTable
from quart import Response
from quart_trio import QuartTrio

from payd.transport.console.actions import offered
from payd.transport.console.live import EVENTS
from payd.transport.console.reason_lines import reason_lines
from payd.transport.console.visits import Visits, caller

_RECEIPTS_MAX = 100


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the routes."""

    @app.get("/payments/<payment_id>")
    async def payment(payment_id: str) -> Response:
        return await visits.answered(partial(_payment, visits, payment_id))

    @app.get(f"/payments/<payment_id>{EVENTS}")
    async def payment_events(payment_id: str) -> Response:
        return await visits.answered(partial(_events, visits, payment_id))

    @app.get("/payments/<payment_id>/raw")
    async def raw_rows(payment_id: str) -> Response:
        return await visits.answered(partial(_raw_rows, visits, payment_id))


async def _payment(visits: Visits, payment_id: str) -> Response:
    calls, by = visits.calls, caller()
    payment = await calls.get(payment_id, caller=by)
    explanation = await calls.explain(payment_id, caller=by)
    wanted = ReceiptFilter(payment_id=payment_id)
    receipts = []
    async for one in calls.list_receipts(wanted, page_size=_RECEIPTS_MAX, caller=by):
        receipts.append(one)
        if len(receipts) == _RECEIPTS_MAX:
            break
    return visits.page(
        "payment.html",
        payment=payment,
        explanation=explanation,
        receipts=receipts,
        actions=offered(payment),
        refunds=visits.refund_lines(payment.refunds),
        reasons=reason_lines(payment),
    )


async def _events(visits: Visits, payment_id: str) -> Response:
    if visits.live.payments.is_full:
        return visits.page("notice.html", 503, name="slow")
    payment = await visits.calls.get(payment_id, caller=caller())
    return visits.live.payment(UUID(str(payment.id)))


async def _raw_rows(visits: Visits, payment_id: str) -> Response:
    """Show the rows on a page of their own: they may be many, and few people want them."""
    tables = await visits.calls.stored_rows(payment_id, caller=caller())
    return visits.page("raw.html", payment_id=payment_id, raw=_raw(tables))


def _raw(tables: Sequence[StoredTable]) -> list[tuple[StoredTable, str]]:
    """Each table with its rows as a person reads JSON."""
    return [
        (one, json.dumps([dict(row) for row in one.rows], indent=2, ensure_ascii=False))
        for one in tables
    ]
