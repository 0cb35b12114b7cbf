"""Open reasons for attention: what each means, what to do, and the amount that is wrong."""

from datetime import datetime

import attrs
from payd_client import Payment

from payd.transport.console.texts import texts
from payd.transport.console.written import written_units

#: More than is due is final. Money of AMOUNT_MISMATCH never counts towards what is due.
_SURPLUS = frozenset({"OVERPAID", "DUPLICATE_PAYMENT"})


@attrs.frozen(kw_only=True)
class ReasonLine:
    """One open reason."""

    reason: str
    since: datetime
    #: One sentence or two for an operator.
    means: str
    #: How much is missing or too much; empty where no amount is the matter.
    difference: str


def reason_lines(payment: Payment) -> tuple[ReasonLine, ...]:
    """Return the open reasons of a payment, in its own order."""
    return tuple(
        ReasonLine(
            reason=one.reason,
            since=one.since,
            means=reason_means(one.reason),
            difference=_difference(payment, one.reason),
        )
        for one in payment.attention_records
        if one.resolved_time is None
    )


def reason_means(reason: str) -> str:
    """Return the sentence of a reason; empty for one that a newer payd has added."""
    return texts().get(f"reason.{reason}", "")


def _difference(payment: Payment, reason: str) -> str:
    """How much final money is missing, or is left of what is too much; exact for tokens."""
    t, (due, confirmed, left) = texts(), _units(payment)
    if reason == "UNDERPAID" and confirmed < due:
        return t["difference.less"].format(amount=written_units(payment, due - confirmed))
    if reason not in _SURPLUS:
        return ""
    if left <= due:
        return t["difference.none"]
    return t["difference.more"].format(amount=written_units(payment, left - due))


def _units(payment: Payment) -> tuple[int, int, int]:
    """What is due, what of it is final, and what is left to refund, in the unit of what is due."""
    crypto, confirmed, left = payment.crypto, payment.confirmed, payment.left_to_refund
    if crypto is not None:
        rest = crypto.left_to_refund_base_units or 0
        return crypto.due_base_units, crypto.confirmed_base_units, rest
    return (
        payment.amount.minor_units,
        confirmed.minor_units if confirmed is not None else 0,
        left.minor_units if left is not None else 0,
    )
