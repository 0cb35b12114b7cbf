"""Values that a person types: amounts, pairs and times."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any

import click

_SPAN = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Span(click.ParamType[timedelta]):
    """Parameter type: a span such as `90s`, `31m` or `1d12h`."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the sum of the parts."""
        if isinstance(value, timedelta):
            return value
        parts = _SPAN.findall(value)
        if not parts or _SPAN.sub("", value):
            self.fail(f"{value!r} is not a span like 90s, 31m, 24h or 1d12h", param, ctx)
        try:
            return sum((timedelta(**{_UNITS[u]: int(n)}) for n, u in parts), timedelta(0))
        except OverflowError:
            self.fail(f"{value!r} is too long", param, ctx)


class Time(click.ParamType[datetime]):
    """Parameter type: `today`, a span before now such as `10m` or `30d`, or an ISO 8601 time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return an aware datetime. A time without a zone, and the begin of today, are local."""
        if isinstance(value, datetime):
            return value
        now = datetime.now(UTC)
        try:
            if match := _SPAN.fullmatch(value):
                return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
            if value == "today":
                return datetime.combine(now.astimezone().date(), time.min).astimezone(UTC)
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a span like 10m, 24h, 30d or an ISO time", param, ctx)


def minor_units(text: str, currency: str, option: str) -> int:
    """Parse an amount exactly, such as 12.50 USD as 1250. Raises click.BadParameter."""
    from payd.domain.decimals import parse_units
    from payd.domain.money import currency_exponent

    digits = currency_exponent(currency)
    try:
        return parse_units(text, digits)
    except ValueError:
        example = f"12.{'5' * digits}" if digits else "12"
        raise click.BadParameter(
            f"{text!r} is not an amount in {currency}, such as {example}", param_hint=option
        ) from None


def pair(text: str) -> tuple[str, str]:
    """Parse a pair of the metadata. Raises click.BadParameter."""
    key, separator, value = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--metadata")
    return key, value
