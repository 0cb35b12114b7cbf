"""The lists: payments by filter and search, attention, and refunds."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from payd_client import Money, PaymentFilter, RefundStatus, Status
from quart import Response, request
from quart_trio import QuartTrio

from payd.domain.attention import Attention
from payd.domain.decimals import parse_units
from payd.domain.money import currency_exponent
from payd.transport.console.live import QUEUE_MAX, queue, queue_mark
from payd.transport.console.reason_lines import reason_lines
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

    @app.get("/attention")
    async def attention() -> Response:
        return await visits.answered(partial(_attention, visits))

    @app.get("/refunds")
    async def refunds() -> Response:
        return await visits.answered(partial(_refunds, visits))


async def _payments(visits: Visits) -> Response:
    asked = {name: request.args.get(name, "").strip() for name in FILTER_FIELDS}
    values: dict[str, Any] = {
        "asked": asked,
        "statuses": [one.value for one in Status],
        "reasons": [one.value for one in Attention],
        "is_filtered": any(value for name, value in asked.items() if name != "reference"),
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


async def _attention(visits: Visits) -> Response:
    reason = request.args.get("reason", "")
    found = await queue(visits.calls, caller(), reason)
    return visits.page(
        "attention.html",
        payments=[(one, reason_lines(one)) for one in found[:QUEUE_MAX]],
        mark=queue_mark(found),
        has_more=len(found) > QUEUE_MAX,
        reason=reason,
        reasons=[one.value for one in Attention],
    )


async def _refunds(visits: Visits) -> Response:
    chosen = request.args.get("status", "")
    known = {one.value: one for one in RefundStatus}
    page = await visits.calls.list_refunds(
        statuses=(known[chosen],) if chosen in known else (),
        page_size=_PAGE,
        page_token=request.args.get("page", ""),
        caller=caller(),
    )
    following = {"status": chosen, "page": page.next_page_token}
    return visits.page(
        "refunds.html",
        refunds=visits.refund_lines(page.refunds),
        chosen=chosen,
        statuses=list(known),
        next_page=urlencode(following) if page.next_page_token else "",
    )


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
