"""Currencies: which Stripe takes, how small a charge may be, and how an amount is written."""

ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split()  # noqa: SIM905
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
_LEAST = {"gbp": 30, "dkk": 250, "nok": 300, "sek": 300, "hkd": 400, "mxn": 1000, "huf": 17500}
LARGEST = 99_999_999


def least_charge(currency: str) -> int:
    """What Stripe charges at least, in minor units."""
    return _LEAST.get(currency, 50)


def written(amount: int, currency: str) -> str:
    """For people."""
    digits = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    return f"{amount / 10**digits:,.{digits}f} {currency.upper()}"
