"""Open reasons for attention: what each means, what to do, and the amount that is wrong."""

from datetime import datetime

import attrs
from payd_client import Money, Payment

from payd.transport.console.texts import texts
from payd.transport.console.written import money, tokens

#: Reasons about an amount.
_AMOUNTS = frozenset({"UNDERPAID", "OVERPAID", "DUPLICATE_PAYMENT", "AMOUNT_MISMATCH"})


@attrs.frozen(kw_only=True)
class ReasonLine:
    """One open reason."""

    reason: str
    since: datetime
    #: One sentence or two for an operator.
    means: str
    #: By how much the money differs from what is due; empty where no amount is the matter.
    difference: str


def reason_lines(payment: Payment) -> tuple[ReasonLine, ...]:
    """Return the open reasons of a payment, in its own order."""
    return tuple(
        ReasonLine(
            reason=one.reason,
            since=one.since,
            means=reason_means(one.reason),
            difference=_difference(payment) if one.reason in _AMOUNTS else "",
        )
        for one in payment.attention_records
        if one.resolved_time is None
    )


def reason_means(reason: str) -> str:
    """Return the sentence of a reason; empty for one that a newer payd has added."""
    return texts().get(f"reason.{reason}", "")


def _difference(payment: Payment) -> str:
    """By how much more or less was received than is due; exact for tokens, empty if it is equal."""
    crypto = payment.crypto
    if crypto is not None:
        units = crypto.received_base_units - crypto.due_base_units
        amount = tokens(abs(units), crypto.decimals, crypto.currency)
    else:
        units = payment.received.minor_units - payment.amount.minor_units
        currency = payment.amount.currency_code
        amount = money(Money(currency_code=currency, minor_units=abs(units)))
    if not units:
        return ""
    return texts()["difference.less" if units < 0 else "difference.more"].format(amount=amount)
