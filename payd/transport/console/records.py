"""The other lists: receipts, reconciliations, dead letters; and the configuration."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import TypeVar
from urllib.parse import quote, urlencode

from payd_client import PaydClientError, ReceiptFilter
from quart import Response, request
from quart_trio import QuartTrio

from payd.transport.console.visits import Visits, caller, see_other, status_of

T = TypeVar("T")

_RECORDS_MAX = 100
_SEQUENCE_DIGITS_MAX = 18
#: A body that is longer is cut on the page; `payd events dead-letters` shows all of it.
_BODY_LENGTH_MAX = 20_000


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the routes."""

    @app.get("/receipts")
    async def receipts() -> Response:
        return await visits.answered(partial(_receipts, visits))

    @app.get("/attach")
    async def attach() -> Response:
        return _attach()

    @app.get("/reconciliations")
    async def reconciliations() -> Response:
        return await visits.answered(partial(_reconciliations, visits))

    @app.get("/dead-letters")
    async def dead_letters() -> Response:
        return await visits.answered(partial(_dead_letters, visits))

    @app.route("/dead-letters/<sequence>/replay", methods=["GET", "POST"])
    async def replay(sequence: str) -> Response:
        return await visits.answered(partial(_replay, visits, sequence))

    @app.get("/configuration")
    async def configuration() -> Response:
        return await visits.answered(partial(_configuration, visits))


async def _receipts(visits: Visits) -> Response:
    everything, provider = request.args.get("all") == "1", request.args.get("provider", "").strip()
    wanted = ReceiptFilter(unmatched=not everything, provider=provider)
    listed = visits.calls.list_receipts(wanted, page_size=_RECORDS_MAX, caller=caller())
    return visits.page(
        "receipts.html",
        receipts=await _first(listed),
        everything=everything,
        provider=provider,
        most=_RECORDS_MAX,
    )


def _attach() -> Response:
    """Lead to the page that attaches a receipt to a payment."""
    query = {name: request.args.get(name, "").strip() for name in ("payment", "receipt")}
    return see_other(f"/payments/{quote(query['payment'], safe='')}/attach?{urlencode(query)}")


async def _reconciliations(visits: Visits) -> Response:
    listed = visits.calls.list_reconciliations(page_size=_RECORDS_MAX, caller=caller())
    return visits.page(
        "reconciliations.html", reconciliations=await _first(listed), most=_RECORDS_MAX
    )


async def _dead_letters(visits: Visits) -> Response:
    listed = visits.calls.list_dead_letters(page_size=_RECORDS_MAX, caller=caller())
    letters = [
        (one, one.data[:_BODY_LENGTH_MAX].decode("utf-8", "replace"))
        for one in await _first(listed)
    ]
    return visits.page("dead_letters.html", letters=letters, most=_RECORDS_MAX)


async def _replay(visits: Visits, sequence: str) -> Response:
    if not (sequence.isascii() and sequence.isdecimal() and len(sequence) <= _SEQUENCE_DIGITS_MAX):
        return visits.page("notice.html", 404, name="missing")
    error = None
    if request.method == "POST":
        try:
            await visits.calls.replay_dead_letters([int(sequence)], caller=caller())
            return see_other("/dead-letters?done=replay")
        except PaydClientError as refused:
            error = refused
    status = 200 if error is None else status_of(error)
    return visits.page("replay.html", status, sequence=sequence, error=error)


async def _configuration(visits: Visits) -> Response:
    found = await visits.calls.configuration(caller=caller())
    return visits.page("configuration.html", configuration=found)


async def _first(listed: AsyncGenerator[T, None]) -> list[T]:
    found: list[T] = []
    async with aclosing(listed) as elements:
        async for one in elements:
            found.append(one)
            if len(found) == _RECORDS_MAX:
                break
    return found
