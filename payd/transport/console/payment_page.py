"""GET /payments/{id}: everything that is known about one payment."""

import json
from collections.abc import Sequence
from functools import partial

from payd_client import ReceiptFilter, StoredTable
from quart import Response
from quart_trio import QuartTrio

from payd.transport.console.actions import offered
from payd.transport.console.reason_lines import reason_lines
from payd.transport.console.visits import Visits, caller

_RECEIPTS_MAX = 100


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the route."""

    @app.get("/payments/<payment_id>")
    async def payment(payment_id: str) -> Response:
        return await visits.answered(partial(_payment, visits, payment_id))


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
        raw=_raw(await calls.stored_rows(payment_id, caller=by)),
    )


def _raw(tables: Sequence[StoredTable]) -> list[tuple[StoredTable, str]]:
    """Each table with its rows as a person reads JSON."""
    return [
        (one, json.dumps([dict(row) for row in one.rows], indent=2, ensure_ascii=False))
        for one in tables
    ]
