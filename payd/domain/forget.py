"""Forget a customer: what may go, what is erased from a payment, and what a repeated request says.

What the law wants kept stays: ids, amounts, times, items, the references of the provider, the ids
and transactions of receipts, and who did what.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import UUID

import attrs

from payd.domain.attention import AttentionRecord
from payd.domain.dispute import DisputeStatus
from payd.domain.errors import CustomerHasOpenPayments
from payd.domain.outcome import Failure
from payd.domain.payment import LineItem, Payment
from payd.domain.refund import Refund
from payd.domain.request import InitiateRequest, Item, RefundRequest

#: `request_hash` of what was forgotten: the hash of a request with an e-mail could be guessed.
FORGOTTEN_HASH = b""

_OPEN_DISPUTES = (DisputeStatus.INQUIRY, DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW)


@attrs.frozen(kw_only=True)
class RetainedEvent:
    """A published event, which the stream keeps until its own age limit."""

    event_id: UUID
    payment_id: UUID
    subject: str
    publish_time: datetime


@attrs.frozen(kw_only=True)
class Forgotten:
    """What was erased, or would be."""

    payments: int
    #: Table → rows with personal values.
    erased: Mapping[str, int]
    #: The newest events that the stream keeps.
    retained: tuple[RetainedEvent, ...]
    #: Reports that name the customer and wait to be settled: forget again afterwards.
    waiting_reports: int


def why_open(payment: Payment) -> Iterator[str]:
    """What still needs the customer's data, in words; nothing if the payment may be forgotten."""
    if payment.status.is_open:
        yield f"payment {payment.id} is {payment.status.value}"
    for refund in payment.refunds:
        if refund.status.is_open:
            yield f"refund {refund.id} of payment {payment.id} is {refund.status.value}"
    for dispute in payment.disputes:
        if dispute.status in _OPEN_DISPUTES:
            yield f"dispute {dispute.id} of payment {payment.id} is {dispute.status.value}"


def refuse_open(reasons: list[str]) -> None:
    """Raise CustomerHasOpenPayments if there is any reason."""
    if reasons:
        more = f", and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        raise CustomerHasOpenPayments(
            f"{'; '.join(reasons[:3])}{more}: wait for the end, or cancel, then forget again",
            open=str(len(reasons)),
        )


def forgotten(payment: Payment) -> Payment:
    """The payment without personal values. Raises CustomerHasOpenPayments."""
    refuse_open(list(why_open(payment)))
    return attrs.evolve(
        payment,
        request_hash=FORGOTTEN_HASH,
        return_url="",
        cancel_url="",
        metadata={},
        parameters={},
        next_action=None,
        failure=_bare_failure(payment.failure),
        attention_records=tuple(map(_bare_record, payment.attention_records)),
        refunds=tuple(map(_bare_refund, payment.refunds)),
    )


def is_forgotten(payment: Payment) -> bool:
    """Whether the payment's personal values were erased."""
    return payment.request_hash == FORGOTTEN_HASH


def is_repeated(payment: Payment, request: InitiateRequest) -> bool:
    """Whether a request with the payment's key asks for this payment.

    Of a forgotten one only what was kept can be compared.
    """
    if not is_forgotten(payment):
        return payment.request_hash == request.fingerprint()
    return (
        payment.customer.id == request.customer.id
        and payment.method == request.method
        and tuple(map(_item, payment.items)) == request.items
        and payment.subscription_ids == request.subscription_ids
        and (payment.crypto.currency if payment.crypto else "") == request.crypto_currency
        and request.currency_code in ("", payment.amount.currency_code)
    )


def is_refund_repeated(payment: Payment, refund: Refund, request: RefundRequest) -> bool:
    """As `is_repeated`, for a request with the key of a refund."""
    if refund.request_hash != FORGOTTEN_HASH:
        return refund.request_hash == request.fingerprint()
    return payment.id == request.payment_id


def _item(item: LineItem) -> Item:
    return Item(
        chain_profile_id=item.chain_profile_id,
        node_type=item.node_type,
        duration=item.duration,
    )


def _bare_failure(failure: Failure | None) -> Failure | None:
    return failure and attrs.evolve(failure, message="")


def _bare_record(record: AttentionRecord) -> AttentionRecord:
    return attrs.evolve(record, note="")


def _bare_refund(refund: Refund) -> Refund:
    return attrs.evolve(
        refund,
        request_hash=FORGOTTEN_HASH,
        destination="",
        reason="",
        next_action=None,
        failure=_bare_failure(refund.failure),
    )
