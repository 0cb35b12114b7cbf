"""Stripe's currencies: the unit of amounts, and the amounts that can be charged. Pure functions.

payd counts in minor units of ISO 4217. Stripe's unit differs for some currencies: ISK has two
decimals there and none in ISO 4217, MGA none there and two in ISO 4217. Amounts are converted
here, where they leave and where they come in, and nowhere else.

Source: docs.stripe.com/currencies ("Zero-decimal currencies", "Special cases", "Three-decimal
currencies", "Minimum and maximum charge amounts").
"""

from payd.plugins import (
    AmountRule,
    InvalidRequest,
    LineItem,
    Money,
    RemoteUnits,
    currency_exponent,
)

_ZERO_DECIMAL = frozenset(
    "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905
)
_THREE_DECIMAL = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))
_TWO_DECIMAL = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF
    CNY COP CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG HUF
    IDR ILS INR ISK JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR
    MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR
    SEK SGD SHP SLE SOS SRD SZL THB TJS TOP TRY TTD TWD TZS UAH USD UYU UZS WST XCD YER ZAR ZMW
    """.split()  # noqa: SIM905
)
#: Currencies that payd can charge in.
KNOWN = _ZERO_DECIMAL | _TWO_DECIMAL | _THREE_DECIMAL
_UNITS = RemoteUnits(
    decimals={
        **dict.fromkeys(_ZERO_DECIMAL, 0),
        **dict.fromkeys(_TWO_DECIMAL, 2),
        **dict.fromkeys(_THREE_DECIMAL, 3),
    }
)
#: Sources disagree on the unit of these: a wrong guess charges 100 times too much or too little.
REFUSED = {
    "UGX": "sources disagree whether Stripe's amounts in UGX have two decimals or none",
}
#: The last digit of a three-decimal amount and the last two of an amount in ISK must be 0.
_STEPS = {**dict.fromkeys(_THREE_DECIMAL, 10), "ISK": 100}
#: Minimum charge in Stripe's units. For other currencies, Stripe converts the amount to the
#: settlement currency of the account and refuses a too small one itself.
_MIN_UNITS = {
    **dict.fromkeys(("USD", "AUD", "BRL", "CAD", "CHF", "EUR", "INR", "JPY", "NZD", "SGD"), 50),
    **dict.fromkeys(("AED", "MYR", "PLN", "RON"), 200),
    **dict.fromkeys(("NOK", "SEK"), 300),
    "CZK": 1500,
    "DKK": 250,
    "GBP": 30,
    "HKD": 400,
    "HUF": 17500,
    "MXN": 1000,
    "THB": 1000,
}
#: Maximum charge: twelve digits. American Express allows nine; Stripe's page refuses such a card.
MAX_UNITS = 999_999_999_999


def refusal_of(currency: str) -> str | None:
    """Return why payd cannot charge in this currency; None if it can."""
    if currency in KNOWN:
        return None
    return REFUSED.get(currency, "not among the currencies that Stripe lists")


def exponent(currency: str) -> int:
    """Decimals of Stripe's unit; ISO 4217's for a currency that payd cannot charge in."""
    return _UNITS.decimals_of(currency)


def step(currency: str) -> int:
    """The number of Stripe's units that every amount must be a multiple of."""
    return _STEPS.get(currency, 1)


def min_units(currency: str) -> int:
    """The minimum charge in Stripe's units."""
    return _MIN_UNITS.get(currency, 1)


def rule_of(currency: str) -> AmountRule:
    """The amounts that can be charged in a currency, in payd's units."""
    shift = currency_exponent(currency) - exponent(currency)
    # If Stripe's unit is coarser, it becomes a step in payd's units; if finer, scaling removes it.
    step_here = max(1, _scaled(step(currency), shift))
    return AmountRule(
        min_minor_units=max(step_here, -_scaled(-min_units(currency), shift)),
        max_minor_units=_scaled(MAX_UNITS, shift),
        step_minor_units=step_here,
    )


def to_stripe(money: Money) -> int:
    """Convert to Stripe's units. Raises InvalidRequest if the result is not a whole number."""
    try:
        return _UNITS.to_remote(money)
    except ValueError as error:
        raise InvalidRequest("items", f"{money.currency_code} at Stripe: {error}") from None


def to_iso(units: int, currency: str, *, round_up: bool = False) -> int:
    """An amount of Stripe in payd's units.

    What payd has charged converts exactly. Anything finer than payd's unit is rounded against the
    merchant: down for money that came, up for money that went.
    """
    shift = currency_exponent(currency) - exponent(currency)
    return -_scaled(-units, shift) if round_up else _scaled(units, shift)


def check_chargeable(items: tuple[LineItem, ...], total: Money) -> None:
    """Raise InvalidRequest for amounts that Stripe would refuse or cannot express."""
    if (refused := refusal_of(total.currency_code)) is not None:
        raise InvalidRequest("items", f"{total.currency_code}: {refused}")
    prices = tuple(item.unit_price for item in items)
    if (wrong := rule_of(total.currency_code).wrong_with(prices, total)) is not None:
        raise InvalidRequest("items", wrong)


def _scaled(units: int, shift: int) -> int:
    """Multiply by ten to the power of `shift`, rounding down."""
    return int(units * 10**shift if shift >= 0 else units // 10**-shift)
