"""Decimal amounts and whole units: converted exactly, or refused. No floats."""

import re
from decimal import Decimal

from payd.domain.text import BASE_UNITS_MAX

#: Most digits before and after the point; 2**256 has 78.
_DIGITS_MAX = 80
_AMOUNT = re.compile(rf"([0-9]{{1,{_DIGITS_MAX}}})(?:\.([0-9]{{1,{_DIGITS_MAX}}}))?")


def parse_units(amount: str | int | Decimal, decimals: int) -> int:
    """Convert a decimal amount to units of its last decimal: `"149.00"` with 2 is 14900.

    Zeros beyond the last decimal are accepted. Text is plain: no sign, blank, exponent or separator
    of thousands. Read JSON numbers with `json.loads(body, parse_float=Decimal)`.

    Raises ValueError for anything that is not exactly so many units, from 0 to 2**256 - 1, and
    TypeError for a float, which is not exact.
    """
    if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
        raise TypeError(f"an amount is text, an integer or a Decimal, not a {_kind(amount)}")
    found = _AMOUNT.fullmatch(_plain(amount))
    if found is None:
        raise ValueError(f"{str(amount)[:_DIGITS_MAX]!r} is not an amount")
    fraction = (found[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise ValueError(f"{str(amount)[:_DIGITS_MAX]!r} has more than {decimals} decimals")
    units = int(found[1] + fraction.ljust(decimals, "0"))
    if units > BASE_UNITS_MAX:
        raise ValueError(f"{str(amount)[:_DIGITS_MAX]!r} is too large for an amount")
    return units


def format_units(units: int, decimals: int) -> str:
    """Write units of the last decimal as a decimal amount: 14900 with 2 is `"149.00"`."""
    whole, rest = divmod(abs(units), 10**decimals)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{rest:0{decimals}d}" if decimals else f"{sign}{whole}"


def rescale_units(units: int, decimals: int, to: int) -> int:
    """Convert units of one number of decimals to units of another; both may be any.

    Raises ValueError when the result is not a whole number.
    """
    if to >= decimals:
        return int(units * 10 ** (to - decimals))
    result, rest = divmod(units, 10 ** (decimals - to))
    if rest:
        raise ValueError(f"{format_units(units, decimals)} has more than {to} decimals")
    return int(result)


def _plain(amount: str | int | Decimal) -> str:
    """The amount without an exponent; text as it is."""
    if isinstance(amount, Decimal):
        # Before it is written out: an exponent may stand for millions of digits.
        fits = amount.is_finite() and abs(amount.adjusted()) <= _DIGITS_MAX
        return format(amount, "f") if fits else str(amount)
    return amount if isinstance(amount, str) else str(amount)


def _kind(value: object) -> str:
    return type(value).__name__
