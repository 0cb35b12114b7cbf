"""Stripe's currencies: their decimals, the amounts that can be charged, and how one is written.

Source: docs.stripe.com/currencies. UGX is left out: sources disagree on its decimals.
"""

from decimal import Decimal

from payd.plugins import format_units

ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905
)
THREE_DECIMAL = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))
_TWO_DECIMAL = (
    "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd "
    "cad cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd "
    "hnl htg huf idr ils inr isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt "
    "mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub "
    "sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah uyu uzs wst xcd "
    "yer zar zmw"
)
KNOWN = frozenset(_TWO_DECIMAL.split()) | ZERO_DECIMAL | THREE_DECIMAL
_LEAST = {
    **dict.fromkeys("usd aud brl cad chf eur inr jpy nzd sgd".split(), 50),  # noqa: SIM905
    **dict.fromkeys(("aed", "myr", "pln", "ron"), 200),
    **dict.fromkeys(("nok", "sek"), 300),
    "czk": 1500,
    "dkk": 250,
    "gbp": 30,
    "hkd": 400,
    "huf": 17500,
    "mxn": 1000,
    "thb": 1000,
}
#: The largest amount: twelve digits.
LARGEST = 999_999_999_999


def decimals(currency: str) -> int:
    """Return the decimals of Stripe's unit of a currency."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def step(currency: str) -> int:
    """Return the number that amounts are multiples of: ISK's two decimals must be 0."""
    return 10 if currency in THREE_DECIMAL else 100 if currency == "isk" else 1


def least_charge(currency: str) -> int:
    """Return the smallest charge; 1 where it depends on the account's settlement currency."""
    return _LEAST.get(currency, 1)


def written(amount: int, currency: str) -> str:
    """Format an amount for people."""
    digits = decimals(currency)
    return f"{Decimal(format_units(amount, digits)):,f} {currency.upper()}"
