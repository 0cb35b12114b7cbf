"""The lists: payments by filter and search, and refunds."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from payd_client import Money, PaymentFilter, RefundPage, RefundStatus, Status
from quart import Response, request
from quart_trio import QuartTrio

from payd.domain.attention import Attention
from payd.domain.decimals import parse_units
from payd.domain.money import currency_exponent
from payd.transport.console.live import EVENTS, mark_of
from payd.transport.console.own_calls import Visitor
from payd.transport.console.texts import texts
from payd.transport.console.visits import Visits, caller

_PAGE = 50
#: Fields of the filter that are passed on as they are typed.
_PLAIN = ("reference", "customer_id", "email", "subscription_id")
FILTER_FIELDS = (
    *_PLAIN,
    *("status", "method", "provider", "attention", "metadata", "from", "before"),
    *("currency", "least", "most"),
)


def add_to(app: QuartTrio, visits: Visits) -> None:
    """Register the routes."""

    @app.get("/payments")
    async def payments() -> Response:
        return await visits.answered(partial(_payments, visits))

    @app.get("/refunds")
    async def refunds() -> Response:
        return await visits.answered(partial(_refunds, visits))

    @app.get(f"/refunds{EVENTS}")
    async def refund_events() -> Response:
        chosen = request.args.get("status", "")
        look = partial(_look_at_refunds, visits, caller(), chosen)
        return visits.live.changes(("refunds", chosen), look)


async def _payments(visits: Visits) -> Response:
    asked = {name: request.args.get(name, "").strip() for name in FILTER_FIELDS}
    values: dict[str, Any] = {
        "asked": asked,
        "statuses": [one.value for one in Status],
        "reasons": [one.value for one in Attention],
        "filtered": [
            f"{texts()[f'filter.{name}']}: {value}"
            for name, value in asked.items()
            if value and name != "reference"
        ],
    }
    try:
        wanted = payment_filter(asked)
    except ValueError as error:
        return visits.page(
            "payments.html", 400, payments=(), next_page="", problem=str(error), **values
        )
    page = await visits.calls.list_payments_page(
        wanted,
        page_size=_PAGE,
        page_token=request.args.get("page", ""),
        caller=caller(),
    )
    more = {name: value for name, value in asked.items() if value}
    following = urlencode({**more, "page": page.next_page_token}) if page.next_page_token else ""
    return visits.page(
        "payments.html", payments=page.payments, next_page=following, problem="", **values
    )


async def _refunds(visits: Visits) -> Response:
    chosen, token = request.args.get("status", ""), request.args.get("page", "")
    page = await _refund_page(visits, caller(), chosen, token)
    following = {"status": chosen, "page": page.next_page_token}
    return visits.page(
        "refunds.html",
        refunds=visits.refund_lines(page.refunds),
        chosen=chosen,
        statuses=[one.value for one in RefundStatus],
        next_page=urlencode(following) if page.next_page_token else "",
        # Older pages hardly change.
        events="" if token else urlencode({"status": chosen, "after": _refunds_mark(page)}),
    )


async def _look_at_refunds(visits: Visits, by: Visitor, chosen: str) -> str:
    return _refunds_mark(await _refund_page(visits, by, chosen))


async def _refund_page(visits: Visits, by: Visitor, chosen: str, token: str = "") -> RefundPage:
    known = {one.value: one for one in RefundStatus}
    statuses = (known[chosen],) if chosen in known else ()
    return await visits.calls.list_refunds(
        statuses=statuses, page_size=_PAGE, page_token=token, caller=by
    )


def _refunds_mark(page: RefundPage) -> str:
    return mark_of([(one.id, one.update_time) for one in page.refunds], page.next_page_token == "")


def payment_filter(asked: Mapping[str, str]) -> PaymentFilter:
    """Read the fields of the form. Raises ValueError that names the field."""
    currency = asked["currency"].upper()
    key, _, value = asked["metadata"].partition("=")
    if asked["metadata"] and not (key and value):
        raise ValueError("metadata: write KEY=VALUE")
    return PaymentFilter(
        **{name: asked[name] for name in _PLAIN},
        statuses=tuple(Status(name) for name in _known(asked["status"], Status)),
        methods=(asked["method"],) if asked["method"] else (),
        providers=(asked["provider"],) if asked["provider"] else (),
        attention=(asked["attention"],) if asked["attention"] else (),
        metadata=(key, value) if asked["metadata"] else None,
        create_time_from=_day("from", asked["from"]),
        create_time_before=_day_after("before", asked["before"]),
        min_minor_units=_units("least", asked["least"], currency),
        max_minor_units=_units("most", asked["most"], currency),
        currency_code=currency,
    )


def _known(name: str, kind: type[Status]) -> tuple[str, ...]:
    if name and name not in {one.value for one in kind}:
        raise ValueError(f"status: {name} is not one")
    return (name,) if name else ()


def _day(field: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{field}: write a day as YYYY-MM-DD") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _day_after(field: str, text: str) -> datetime | None:
    """The end of a day: the day that is typed belongs to the list."""
    day = _day(field, text)
    if day is not None and day.date() == date.max:
        raise ValueError(f"{field}: is too late")
    return day + timedelta(days=1) if day else None


def _units(field: str, text: str, currency: str) -> int:
    if not text:
        return 0
    if not currency:
        raise ValueError(f"{field}: choose a currency, too")
    try:
        return Money(
            currency_code=currency, minor_units=parse_units(text, currency_exponent(currency))
        ).minor_units
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None
