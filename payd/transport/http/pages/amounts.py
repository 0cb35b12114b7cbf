"""Amounts as a customer reads them: exact, with at least two decimals, and their unit."""

from payd.domain.decimals import format_units
from payd.domain.money import currency_exponent
from payd.domain.payment import Payment

_DECIMALS_MIN = 2
_SWAPPED = str.maketrans(".,", ",.")


def plain(units: int, decimals: int) -> str:
    """A token's amount as a wallet takes it: 74500000 with 6 decimals is `74.50`."""
    whole, _, fraction = format_units(units, decimals).partition(".")
    shortest = min(_DECIMALS_MIN, decimals)
    fraction = fraction.rstrip("0").ljust(shortest, "0")
    return f"{whole}.{fraction}" if fraction else whole


def unit_of(payment: Payment) -> str:
    """Name of the unit of `due`: a token or a currency."""
    return payment.crypto.currency if payment.crypto else payment.amount.currency_code


def typed_units(payment: Payment, units: int) -> str:
    """An amount in the unit of `due`, as a person types it: `1234.50`."""
    if payment.crypto:
        return plain(units, payment.crypto.decimals)
    return format_units(units, currency_exponent(payment.amount.currency_code))


def written_units(payment: Payment, units: int) -> str:
    """An amount in the unit of `due`, for people: `1,234.50 USDC`."""
    return f"{_grouped(typed_units(payment, units))} {unit_of(payment)}"


def says_units(text: str, payment: Payment, units: int) -> bool:
    """Whether a text is only this amount, in any writing: `1.234,50`, `USD 1234.50`."""
    unit, typed = unit_of(payment), typed_units(payment, units)
    forms = {typed, _grouped(typed)}
    forms |= {form.translate(_SWAPPED) for form in forms}
    return text.strip().removeprefix(unit).removesuffix(unit).strip() in forms


def _grouped(typed: str) -> str:
    whole, point, fraction = typed.partition(".")
    return f"{int(whole):,}{point}{fraction}"
