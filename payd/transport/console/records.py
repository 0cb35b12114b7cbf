"""The other lists: receipts, reconciliations, dead letters; and the configuration."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from urllib.parse import quote, urlencode

from payd_client import DeadLetter, PaydClientError, Receipt, ReceiptFilter, Setting
from quart import Response, request
from quart_trio import QuartTrio

from payd.transport.console.live import EVENTS, mark_of
from payd.transport.console.own_calls import Visitor
from payd.transport.console.texts import texts
from payd.transport.console.visits import Visits, caller, see_other, status_of
from payd.transport.console.written import span, when

T = TypeVar("T")

#: Source of a setting that nothing sets.
_DEFAULT = "default"

_RECORDS_MAX = 100
_SEQUENCE_DIGITS_MAX = 18
#: A body that is longer is cut on the page; `payd events dead-letters` shows all of it.
_BODY_LENGTH_MAX = 20_000


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the routes."""

    @app.get("/receipts")
    async def receipts() -> Response:
        return await visits.answered(partial(_receipts, visits))

    @app.get(f"/receipts{EVENTS}")
    async def receipt_events() -> Response:
        everything, provider = _receipts_wanted()
        look = partial(_look_at_receipts, visits, caller(), everything, provider)
        return visits.live.changes(("receipts", everything, provider), look)

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
    everything, provider = _receipts_wanted()
    found = await _newest_receipts(visits, caller(), everything, provider)
    asked = {"all": "1" if everything else "", "provider": provider}
    return visits.page(
        "receipts.html",
        receipts=found,
        everything=everything,
        provider=provider,
        most=_RECORDS_MAX,
        events=urlencode({**asked, "after": _receipts_mark(found)}),
    )


def _receipts_wanted() -> tuple[bool, str]:
    """Return whether all receipts are wanted, and of which provider."""
    return request.args.get("all") == "1", request.args.get("provider", "").strip()


async def _look_at_receipts(visits: Visits, by: Visitor, everything: bool, provider: str) -> str:
    return _receipts_mark(await _newest_receipts(visits, by, everything, provider))


async def _newest_receipts(
    visits: Visits, by: Visitor, everything: bool, provider: str
) -> list[Receipt]:
    wanted = ReceiptFilter(unmatched=not everything, provider=provider)
    return await _first(visits.calls.list_receipts(wanted, page_size=_RECORDS_MAX, caller=by))


def _receipts_mark(found: Sequence[Receipt]) -> str:
    return mark_of([(one.provider, one.id, one.state, one.payment_id) for one in found])


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
    letters = [(one, letter_facts(one), _body(one)) for one in await _first(listed)]
    return visits.page("dead_letters.html", letters=letters, most=_RECORDS_MAX)


async def _replay(visits: Visits, sequence: str) -> Response:
    if not (sequence.isascii() and sequence.isdecimal() and len(sequence) <= _SEQUENCE_DIGITS_MAX):
        return visits.page("notice.html", 404, name="missing")
    listed = visits.calls.list_dead_letters(sequence=max(1, int(sequence)), caller=caller())
    found = await _first(listed)
    if not found:
        return visits.page("notice.html", 404, name="no_letter")
    [letter], error = found, None
    if request.method == "POST":
        try:
            replayed = await visits.calls.replay_dead_letters([letter.sequence], caller=caller())
        except PaydClientError as refused:
            error = refused
        else:
            if not replayed:
                return visits.page("notice.html", 404, name="no_letter")
            return see_other("/dead-letters?done=replay")
    return visits.page(
        "replay.html",
        200 if error is None else status_of(error),
        letter=letter,
        facts=letter_facts(letter),
        body=_body(letter),
        error=error,
    )


def letter_facts(letter: DeadLetter) -> list[tuple[str, str]]:
    """What a person looks at before a dead letter goes back. The page links its payment."""
    t, age = texts(), datetime.now(UTC) - letter.time
    return [
        (t["event"], letter.event_id),
        (t["dead_letter.reason"], letter.reason),
        (t["dead_letter.time"], when(letter.time)),
        (t["age"], span(age)),
        (t["deliveries"], str(letter.deliveries)),
        (t["size"], t["bytes"].format(count=len(letter.data))),
    ]


def _body(letter: DeadLetter) -> str:
    return letter.data[:_BODY_LENGTH_MAX].decode("utf-8", "replace")


async def _configuration(visits: Visits) -> Response:
    found = await visits.calls.configuration(caller=caller())
    groups: defaultdict[str, list[Setting]] = defaultdict(list)
    for one in found.settings:
        groups[one.key.partition(".")[0]].append(one)
    return visits.page(
        "configuration.html",
        configuration=found,
        changed=[one for one in found.settings if one.source != _DEFAULT],
        groups=sorted(groups.items()),
    )


async def _first(listed: AsyncGenerator[T, None]) -> list[T]:
    found: list[T] = []
    async with aclosing(listed) as elements:
        async for one in elements:
            found.append(one)
            if len(found) == _RECORDS_MAX:
                break
    return found
