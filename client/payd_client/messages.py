"""Conversion between the client's values and protobuf messages."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs
from google.protobuf.json_format import ParseDict

from payd_client.part_messages import failure_of, money_of, next_action_of, time_of
from payd_client.parts import Money
from payd_client.proto import payment_pb2 as pb
from payd_client.receipt_messages import payment_receipt_of
from payd_client.refund_messages import attention_of, dispute_of, refund_of
from payd_client.refunds import Dispute, Refund
from payd_client.values import (
    CryptoFacts,
    Event,
    EventType,
    InitiateRequest,
    Item,
    Payment,
    PricedItem,
    Quote,
    QuoteCrypto,
    QuoteRequest,
    Status,
)

_PREFIX = "PAYMENT_STATUS_"


def quote_message(request: QuoteRequest) -> pb.GetQuoteRequest:
    """Build the request of GetQuote."""
    return pb.GetQuoteRequest(
        items=[_item_message(item) for item in request.items],
        method=request.method,
        crypto_currency=request.crypto_currency,
        currency_code=request.currency_code,
    )


def initiate_message(request: InitiateRequest) -> pb.InitiatePaymentRequest:
    """Build the request of InitiatePayment."""
    return pb.InitiatePaymentRequest(
        idempotency_key=request.idempotency_key,
        customer=pb.Customer(**attrs.asdict(request.customer)),
        items=[_item_message(item) for item in request.items],
        method=request.method,
        crypto_currency=request.crypto_currency,
        currency_code=request.currency_code,
        subscription_ids=request.subscription_ids,
        return_url=request.return_url,
        cancel_url=request.cancel_url,
        metadata=dict(request.metadata),
        quote_token=request.quote_token,
        expected_total=_money_message(request.expected_total),
    )


def quote_of(message: pb.Quote) -> Quote:
    """Read the answer of GetQuote."""
    return Quote(
        items=tuple(map(_priced_item, message.items)),
        total=money_of(message.total),
        method=message.method,
        crypto=_quote_crypto(message.crypto) if message.HasField("crypto") else None,
        pricing_version=message.pricing_version,
        expire_time=time_of(message.expire_time),
        quote_token=message.quote_token,
        message=message,
    )


def payment_of(message: pb.Payment) -> Payment:
    """Read a payment, from an answer or from an event."""
    return Payment(
        id=UUID(message.id),
        status=Status(pb.PaymentStatus.Name(message.status).removeprefix(_PREFIX)),
        method=message.method,
        provider=message.provider,
        amount=money_of(message.amount),
        customer_id=message.customer_id,
        idempotency_key=message.idempotency_key,
        items=tuple(map(_priced_item, message.items)),
        subscription_ids=tuple(message.subscription_ids),
        next_action=next_action_of(message.next_action),
        provider_reference=message.provider_reference,
        received=money_of(message.received),
        refunded=money_of(message.refunded),
        crypto=_crypto_facts(message.crypto) if message.HasField("crypto") else None,
        attention=tuple(message.attention),
        failure=failure_of(message.failure) if message.HasField("failure") else None,
        late=message.late,
        pricing_version=message.pricing_version,
        metadata=dict(message.metadata),
        create_time=time_of(message.create_time),
        update_time=time_of(message.update_time),
        expire_time=time_of(message.expire_time),
        complete_time=time_of(message.complete_time) if message.HasField("complete_time") else None,
        version=message.version,
        refunds=tuple(map(refund_of, message.refunds)),
        disputes=tuple(map(dispute_of, message.disputes)),
        attention_records=tuple(map(attention_of, message.attention_records)),
        fee=money_of(message.fee) if message.HasField("fee") else None,
        page_url=message.page_url,
        receipts=tuple(map(payment_receipt_of, message.receipts)),
        receipts_total=message.receipts_total if message.HasField("receipts_total") else None,
        confirmed=money_of(message.confirmed) if message.HasField("confirmed") else None,
        left_to_refund=(
            money_of(message.left_to_refund) if message.HasField("left_to_refund") else None
        ),
        message=message,
    )


def event_of(data: bytes, headers: Mapping[str, str], *, delivery: int) -> Event:
    """Parse a message of the stream. Raises ValueError when it is not an event of payd."""
    body = json.loads(data)
    if not isinstance(body, dict):
        raise ValueError("the event is not a JSON object")
    try:
        message = ParseDict(body, pb.Payment(), ignore_unknown_fields=True)
        return Event(
            id=UUID(body["event_id"]),
            type=EventType(body["event_type"]),
            payment=payment_of(message),
            previous_status=Status(str(body["previous_status"]).removeprefix(_PREFIX)),
            reason=str(body.get("reason", "")),
            request_id=str(body.get("request_id", "")),
            traceparent=headers.get("traceparent", ""),
            time=_event_time(headers, message),
            refund=_refund(body),
            dispute=_dispute(body),
            delivery=delivery,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a field of the event is missing or has a wrong type: {error}") from None


def _refund(body: Mapping[str, Any]) -> Refund | None:
    if "refund" not in body:
        return None
    return refund_of(ParseDict(body["refund"], pb.Refund(), ignore_unknown_fields=True))


def _dispute(body: Mapping[str, Any]) -> Dispute | None:
    if "dispute" not in body:
        return None
    return dispute_of(ParseDict(body["dispute"], pb.Dispute(), ignore_unknown_fields=True))


def _event_time(headers: Mapping[str, str], message: pb.Payment) -> datetime:
    if "ce-time" in headers:
        return datetime.fromisoformat(headers["ce-time"])
    return time_of(message.update_time)


def _item_message(item: Item) -> pb.Item:
    return pb.Item(
        chain_profile_id=item.chain_profile_id, node_type=item.node_type, duration=item.duration
    )


def _money_message(money: Money | None) -> pb.Money | None:
    return None if money is None else pb.Money(**attrs.asdict(money))


def _priced_item(message: pb.PricedItem) -> PricedItem:
    return PricedItem(
        chain_profile_id=message.chain_profile_id,
        node_type=message.node_type,
        duration=message.duration,
        unit_price=money_of(message.unit_price),
    )


def _quote_crypto(message: pb.QuoteCrypto) -> QuoteCrypto:
    return QuoteCrypto(
        currency=message.currency,
        chain_id=message.chain_id,
        token_address=message.token_address,
        decimals=message.decimals,
        amount_base_units=int(message.amount_base_units),
    )


def _crypto_facts(message: pb.CryptoFacts) -> CryptoFacts:
    return CryptoFacts(
        currency=message.currency,
        token_address=message.token_address,
        decimals=message.decimals,
        due_base_units=int(message.due_base_units),
        received_base_units=int(message.received_base_units),
        confirmed_base_units=int(message.confirmed_base_units),
        left_to_refund_base_units=int(left)
        if (left := message.left_to_refund_base_units)
        else None,
        receiver_address=message.receiver_address or None,
    )
