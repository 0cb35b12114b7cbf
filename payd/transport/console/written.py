"""Amounts and times as an operator reads them: exact, never shortened, with their unit."""

from datetime import datetime, timedelta

from payd_client import Money, Payment, Receipt, Refund

from payd.domain.actors import CONSOLE
from payd.domain.decimals import format_units
from payd.domain.money import currency_exponent
from payd.transport.console.texts import texts

#: Name, seconds of it, and how many of it make the next larger one.
_UNITS = (("d", 86_400, 10**9), ("h", 3600, 24), ("min", 60, 60), ("s", 1, 60))


def money(amount: Money) -> str:
    """An amount with its currency: `149.00 USD`."""
    digits = currency_exponent(amount.currency_code)
    return f"{format_units(amount.minor_units, digits)} {amount.currency_code}"


def tokens(units: int, decimals: int, currency: str) -> str:
    """An amount of a token: `149.000000 USDC`."""
    return f"{format_units(units, decimals)} {currency}"


def written_units(payment: Payment, units: int) -> str:
    """An amount in the unit of what is due of a payment."""
    crypto = payment.crypto
    if crypto is None:
        return money(Money(currency_code=payment.amount.currency_code, minor_units=units))
    return tokens(units, crypto.decimals, crypto.currency)


def received(payment: Payment) -> str:
    """The received amount, exact for tokens."""
    crypto = payment.crypto
    if crypto is None:
        return money(payment.received)
    return tokens(crypto.received_base_units, crypto.decimals, crypto.currency)


def due(payment: Payment) -> str:
    """The amount to pay, exact for tokens."""
    crypto = payment.crypto
    if crypto is None:
        return money(payment.amount)
    exact = tokens(crypto.due_base_units, crypto.decimals, crypto.currency)
    return f"{money(payment.amount)} ({exact})"


def refund_amount(refund: Refund) -> str:
    """A refund's amount, exact for tokens."""
    crypto = refund.crypto
    if crypto is None:
        return money(refund.amount)
    return tokens(crypto.amount_base_units, crypto.decimals, crypto.currency)


def receipt_amount(receipt: Receipt) -> str:
    """A receipt's amount; of an unknown token in base units."""
    if not receipt.currency:
        return f"{receipt.amount_base_units} base units of {receipt.asset}"
    return tokens(receipt.amount_base_units, receipt.decimals, receipt.currency)


def actor(name: str) -> str:
    """An actor of the audit trail in words: `operator alice, in the console`."""
    t = texts()
    kind, _, who = name.partition(":")
    place, _, person = who.partition("/")
    if kind == "operator" and place == CONSOLE and person:
        return t["actor.console"].format(name=person)
    if who and f"actor.{kind}" in t:
        return t[f"actor.{kind}"].format(name=who)
    return t.get(f"actor.{name}", name)


def field(name: str) -> str:
    """A changed field in words; those of one refund or dispute name it."""
    return texts().get(f"change.{name}", name.replace("_", " "))


def span(length: timedelta) -> str:
    """A length of time, in its two largest units: `3 d 4 h`."""
    seconds = max(0, round(length.total_seconds()))
    parts = [
        f"{seconds // unit % most} {name}"
        for name, unit, most in _UNITS
        if seconds // unit % most or (name == "s" and seconds < 1)
    ]
    return " ".join(parts[:2])


def when(time: datetime | None) -> str:
    """A time in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC") if time else ""
