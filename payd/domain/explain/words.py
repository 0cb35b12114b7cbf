"""How amounts, times and names are written in an explanation: whole, and in units of a currency."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from payd.domain.decimals import format_units
from payd.domain.money import currency_exponent
from payd.domain.payment import Payment


def money(payment: Payment, amount: int) -> str:
    """An amount in the unit of what is due: `149.00 USD`, `149.000000 USDC`."""
    return f"{_number(payment, amount)} {_unit(payment)}"


def price_of(payment: Payment) -> str:
    """The price in its currency, also where tokens are due: `149.00 USD`."""
    code = payment.amount.currency_code
    return f"{format_units(payment.amount.minor_units, currency_exponent(code))} {code}"


def of_due(payment: Payment, amount: int) -> str:
    """A part of what is due: `50.00 of 149.00 USD`."""
    return f"{_number(payment, amount)} of {money(payment, payment.due)}"


def in_asset(
    payment: Payment, asset: str, amount: int, tokens: Mapping[str, tuple[str, int]] | None = None
) -> str:
    """An amount in any asset; of a token that is not among `tokens`, in its base units."""
    code, decimals = (tokens or {}).get(asset.lower(), ("", 0))
    if code:
        return f"{format_units(amount, decimals)} {code}"
    if payment.is_asset(asset):
        return money(payment, amount)
    if re.fullmatch("[A-Z]{3}", asset):
        return f"{format_units(amount, currency_exponent(asset))} {asset}"
    return f"{amount} base units of {asset}"


def minor_units(payment: Payment, amount: int) -> str:
    """An amount as `payd refund --amount` takes it, in the payment's currency, rounded down."""
    code = payment.amount.currency_code
    units = payment.crypto.minor_units(amount, code) if payment.crypto else amount
    return format_units(units, currency_exponent(code))


def when(time: datetime) -> str:
    """A time: `2026-11-23 12:30:00 UTC`."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def memo_in_words(memo: str) -> str:
    """A memo (0x-hex) as a person types it, then as hex; only hex where it is no text."""
    try:
        text = bytes.fromhex(memo.removeprefix("0x")).decode("ascii").strip("\0 ")
    except ValueError:
        return memo
    return f"{text} ({memo})" if text and text.isprintable() else memo


def listing(words: Iterable[str]) -> str:
    """Words in a sentence: `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def sentence(text: str) -> str:
    """A text of another as the end of a sentence, without its own full stop."""
    return text.strip().rstrip(".")


def fact(payment: Payment, text: str) -> str:
    """What stands behind a reason for attention, with its amounts in currency units."""
    for pattern, written in _FACTS:
        if found := re.fullmatch(pattern, text, re.DOTALL):
            if isinstance(written, str):
                return _filled(written, payment, found)
            return written(payment, found)
    return text


#: A template, or what writes the sentence.
_Written = str | Callable[[Payment, "re.Match[str]"], str]


def _filled(template: str, payment: Payment, found: "re.Match[str]") -> str:
    """Fill a template: `{0}` is the first group as text, `{0m}` as an amount."""
    for number, group in enumerate(found.groups()):
        template = template.replace(f"{{{number}}}", group)
        if group.isdigit():
            template = template.replace(f"{{{number}m}}", money(payment, int(group)))
    return template


def _object(payment: Payment) -> str:
    return payment.provider_reference or f"the object at {payment.provider}"


def _asked(payment: Payment, found: "re.Match[str]") -> str:
    amount, asset = found.groups()
    return f"{_object(payment)} asks for {in_asset(payment, asset, int(amount))}"


def _asked_in(payment: Payment, found: "re.Match[str]") -> str:
    return f"{_object(payment)} asks for {found[1]}"


def _brought(payment: Payment, found: "re.Match[str]") -> str:
    amount, asset = found.groups()
    return f"{_object(payment)} brought {in_asset(payment, asset, int(amount))}"


def _counts_as(payment: Payment, found: "re.Match[str]") -> str:
    return f"{_object(payment)} counts as paid with {money(payment, int(found[1]))}"


def _overdue(payment: Payment, found: "re.Match[str]") -> str:
    return f"the time to pay ended at {when(payment.expire_time)}"


def _refund(payment: Payment, found: "re.Match[str]") -> str:
    """A refund by its id, or by the provider's; with its amount, and why it failed."""
    for refund in payment.refunds:
        if found[1] in (str(refund.id), refund.provider_reference):
            why = f": {sentence(refund.failure.message)}" if refund.failure else ""
            return f"refund {found[1]} of {money(payment, refund.amount)}{why}"
    return found[0]


#: Patterns of the facts that `decide` and what it calls put behind a reason.
_FACTS: tuple[tuple[str, _Written], ...] = (
    (r"(\d+) of (\d+) confirmed", "{0m} is confirmed and {1m} is due"),
    (r"(\d+) of (\d+) taken back", "{0m} was taken back of {1m} that was paid"),
    (r"(\d+) of (\d+) sent for refund (\S+)", "{0m} was sent for refund {2} of {1m}"),
    (r"(\d+) received", "{0m} was received"),
    (r"(\d+) refunded", "{0m} was refunded"),
    (r"paid with (\d+)", _counts_as),
    (r"asks for (\d+) (\S+)", _asked),
    (r"asks for (\S+)", _asked_in),
    (r"brought (\d+) (\S+)", _brought),
    (r"open after its expiry", _overdue),
    (r"refund (\S+)", _refund),
    (r"paid (\d+) times", "it was paid {0} times"),
    (
        r"refund (.+) of (\d+) and of (\d+)",
        "refund {0} is reported of {1m} and of {2m}; the larger amount counts",
    ),
    (
        r"refund (.+) of (\d+) for refund (\S+)",
        "{0} of {1m} is reported for refund {2}, which does not fit",
    ),
    (r"object (.+)", "a second object {0} exists at the provider"),
    (r"create", "the request to create it was never answered"),
    (r"reported", "the provider reported it"),
)


def _unit(payment: Payment) -> str:
    return payment.crypto.currency if payment.crypto else payment.amount.currency_code


def _number(payment: Payment, amount: int) -> str:
    terms = payment.crypto
    digits = terms.decimals if terms else currency_exponent(payment.amount.currency_code)
    return format_units(amount, digits)
