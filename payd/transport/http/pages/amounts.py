"""Amounts as a customer reads them: exact, with at least two decimals, and their unit."""

from payd.domain.decimals import format_units
from payd.domain.money import currency_exponent
from payd.domain.payment import Payment

_DECIMALS_MIN = 2


def plain(units: int, decimals: int) -> str:
    """A token's amount as a wallet takes it: 74500000 with 6 decimals is `74.50`."""
    whole, _, fraction = format_units(units, decimals).partition(".")
    shortest = min(_DECIMALS_MIN, decimals)
    fraction = fraction.rstrip("0").ljust(shortest, "0")
    return f"{whole}.{fraction}" if fraction else whole


def unit_of(payment: Payment) -> str:
    """Name of the unit of `due`: a token or a currency."""
    return payment.crypto.currency if payment.crypto else payment.amount.currency_code


def written_units(payment: Payment, units: int) -> str:
    """An amount in the unit of `due`, for people: `1,234.50 USDC`."""
    if payment.crypto:
        text = plain(units, payment.crypto.decimals)
    else:
        text = format_units(units, currency_exponent(payment.amount.currency_code))
    whole, point, fraction = text.partition(".")
    return f"{int(whole):,}{point}{fraction} {unit_of(payment)}"
