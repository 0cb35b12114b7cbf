"""Domain values → protobuf messages, for gRPC answers and the bodies of events."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from payd_client.proto import payment_pb2 as pb

from payd.domain.money import MINOR_UNITS_MAX, Money, TokenTerms
from payd.domain.next_action import CryptoTransfer, NextAction, Redirect, Show, ShowKind
from payd.domain.payment import LineItem, Payment, Status
from payd.domain.request import QuoteAnswer

_STATUS: dict[Status, Any] = {
    status: pb.PaymentStatus.Value(f"PAYMENT_STATUS_{status.value}") for status in Status
}

_SHOW_KIND: dict[ShowKind, Any] = {
    kind: pb.ShowKind.Value(f"SHOW_KIND_{kind.value}") for kind in ShowKind
}


def payment_message(payment: Payment) -> pb.Payment:
    """Build the message of a payment. A payment that is not open has no `next_action`."""
    currency = payment.amount.currency_code
    message = pb.Payment(
        id=str(payment.id),
        status=_STATUS[payment.status],
        method=payment.method,
        provider=payment.provider,
        amount=_money(payment.amount),
        customer_id=payment.customer.id,
        idempotency_key=payment.idempotency_key,
        items=[_item(item) for item in payment.items],
        subscription_ids=payment.subscription_ids,
        provider_reference=payment.provider_reference or "",
        received=_fact(payment.received, payment.crypto, currency),
        refunded=_fact(payment.refunded, payment.crypto, currency),
        attention=sorted(reason.value for reason in payment.attention),
        late=payment.late,
        pricing_version=payment.pricing_version,
        metadata=payment.metadata,
        create_time=_time(payment.create_time),
        update_time=_time(payment.update_time),
        expire_time=_time(payment.expire_time),
        version=payment.version,
    )
    if payment.next_action is not None and payment.status.is_open:
        message.next_action.CopyFrom(_next_action(payment.next_action))
    if payment.crypto is not None:
        message.crypto.CopyFrom(_crypto_facts(payment, payment.crypto))
    if payment.failure is not None:
        message.failure.CopyFrom(
            pb.Failure(code=payment.failure.code, message=payment.failure.message)
        )
    if payment.complete_time is not None:
        message.complete_time.CopyFrom(_time(payment.complete_time))
    return message


def quote_message(quote: QuoteAnswer) -> pb.Quote:
    """Build the message of a quote."""
    message = pb.Quote(
        items=[_item(item) for item in quote.items],
        total=_money(quote.total),
        method=quote.method,
        pricing_version=quote.pricing_version,
        expire_time=_time(quote.expire_time),
        quote_token=quote.quote_token,
        indicative=not quote.quote_token,
    )
    if quote.crypto is not None:
        terms = quote.crypto
        message.crypto.CopyFrom(
            pb.QuoteCrypto(
                currency=terms.currency,
                chain_id=terms.chain_id,
                token_address=terms.token_address,
                decimals=terms.decimals,
                amount_base_units=str(terms.due_base_units),
            )
        )
    return message


def event_body(
    payment: Payment,
    *,
    event_id: UUID,
    event_type: str,
    previous_status: Status,
    reason: str,
    request_id: str,
) -> bytes:
    """Build the body of an event: the payment as JSON with the proto's names, and more fields."""
    body = MessageToDict(
        payment_message(payment),
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    body |= {
        "event_id": str(event_id),
        "event_type": event_type,
        "previous_status": f"PAYMENT_STATUS_{previous_status.value}",
        "reason": reason,
        "request_id": request_id,
    }
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()


def _money(money: Money) -> pb.Money:
    return pb.Money(currency_code=money.currency_code, minor_units=money.minor_units)


def _fact(amount: int, crypto: TokenTerms | None, currency: str) -> pb.Money:
    minor_units = crypto.minor_units(amount, currency) if crypto else amount
    # Tokens may exceed int64. The exact amount is in `crypto`, and an event must not fail here.
    return pb.Money(currency_code=currency, minor_units=min(minor_units, MINOR_UNITS_MAX))


def _item(item: LineItem) -> pb.PricedItem:
    return pb.PricedItem(
        chain_profile_id=item.chain_profile_id,
        node_type=item.node_type,
        duration=item.duration,
        unit_price=_money(item.unit_price),
    )


def _crypto_facts(payment: Payment, terms: TokenTerms) -> pb.CryptoFacts:
    return pb.CryptoFacts(
        currency=terms.currency,
        token_address=terms.token_address,
        decimals=terms.decimals,
        due_base_units=str(terms.due_base_units),
        received_base_units=str(payment.received),
        confirmed_base_units=str(payment.confirmed),
    )


def _next_action(action: NextAction) -> pb.NextAction:
    match action:
        case Redirect(url=url):
            return pb.NextAction(redirect=pb.Redirect(url=url))
        case CryptoTransfer():
            return pb.NextAction(
                crypto_transfer=pb.CryptoTransfer(
                    currency=action.currency,
                    chain_id=action.chain_id,
                    token_address=action.token_address,
                    receiver_address=action.receiver_address,
                    amount_base_units=str(action.amount_base_units),
                    decimals=action.decimals,
                    memo=action.memo,
                    calldata=action.calldata,
                    payment_uri=action.payment_uri,
                )
            )
        case Show():
            return pb.NextAction(show=_show(action))


def _show(show: Show) -> pb.Show:
    message = pb.Show(
        payload=show.payload,
        kind=_SHOW_KIND[show.kind],
        fields=[
            pb.ShowField(label=field.label, value=field.value, copyable=field.copyable)
            for field in show.fields
        ],
    )
    if show.expire_time is not None:
        message.expire_time.CopyFrom(_time(show.expire_time))
    return message


def _time(time: datetime) -> Timestamp:
    # In integers: a float would lose microseconds.
    return Timestamp(seconds=int(time.timestamp() // 1), nanos=time.microsecond * 1000)
