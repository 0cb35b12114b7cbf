"""What the client takes and gives: proto ⇄ frozen values."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import attrs
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from payd.domain.decide import EventType
from payd.domain.evidence import CryptoTransfer, NextAction, Redirect
from payd.domain.money import Money, TokenTerms
from payd.domain.payment import Failure, LineItem, Status
from payd.domain.request import InitiateRequest, Item, QuoteRequest
from payd_client.proto import payment_pb2 as pb

_PREFIX = "PAYMENT_STATUS_"


@attrs.frozen(kw_only=True)
class Caller:
    """Who asks, on whose behalf: kept in payd's audit trail."""

    #: Echoed in errors and events; made when not given.
    request_id: str = attrs.field(factory=lambda: uuid4().hex)
    #: Of the main app, such as `user:42`.
    actor: str = ""
    #: The customer's address.
    ip: str = ""
    #: W3C trace context: goes on into the events.
    traceparent: str = ""

    def metadata(self) -> dict[str, str]:
        """For gRPC."""
        named = {
            "x-request-id": self.request_id,
            "x-actor": self.actor,
            "x-forwarded-for": self.ip,
            "traceparent": self.traceparent,
        }
        return {name: value for name, value in named.items() if value}


@attrs.frozen(kw_only=True)
class Quote:
    """What items cost now; nothing is kept of it."""

    items: tuple[LineItem, ...]
    total: Money
    method: str
    #: Set when the method takes tokens.
    crypto: TokenTerms | None
    pricing_version: str
    expire_time: datetime
    #: As it came.
    message: pb.Quote = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Crypto:
    """Exact token amounts, in base units."""

    currency: str
    #: 0x-hex.
    token_address: str
    decimals: int
    due_base_units: int
    received_base_units: int
    confirmed_base_units: int


@attrs.frozen(kw_only=True)
class Payment:
    """A payment, as payd told it."""

    id: UUID
    status: Status
    method: str
    provider: str
    amount: Money
    customer_id: str
    idempotency_key: str
    items: tuple[LineItem, ...]
    subscription_ids: tuple[str, ...]
    #: What the customer has to do; None once there is nothing.
    next_action: NextAction | None
    provider_reference: str
    #: For tokens: the floor in minor units. `crypto` is exact.
    received: Money
    refunded: Money
    crypto: Crypto | None
    #: Reasons for a person to look.
    attention: tuple[str, ...]
    failure: Failure | None
    #: Completed by money that came after closing.
    late: bool
    pricing_version: str
    metadata: Mapping[str, str]
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    complete_time: datetime | None
    #: As it came, with whatever this version of the client does not know.
    message: pb.Payment = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened to a payment, and the whole payment as it stood then."""

    #: The same for every delivery of this event: what to remember, to do it once.
    id: UUID
    type: EventType
    payment: Payment
    previous_status: Status
    #: For payment.canceled: `canceled` or `expired`.
    reason: str
    #: Of the call that caused it.
    request_id: str
    traceparent: str
    time: datetime
    #: How often it has been delivered, this time included.
    delivery: int


def quote_message(request: QuoteRequest) -> pb.GetQuoteRequest:
    """For GetQuote."""
    return pb.GetQuoteRequest(
        items=[_item_message(item) for item in request.items],
        method=request.method,
        crypto_currency=request.crypto_currency,
    )


def initiate_message(request: InitiateRequest) -> pb.InitiatePaymentRequest:
    """For InitiatePayment."""
    return pb.InitiatePaymentRequest(
        idempotency_key=request.idempotency_key,
        customer=pb.Customer(**attrs.asdict(request.customer)),
        items=[_item_message(item) for item in request.items],
        method=request.method,
        crypto_currency=request.crypto_currency,
        subscription_ids=request.subscription_ids,
        return_url=request.return_url,
        cancel_url=request.cancel_url,
        metadata=dict(request.metadata),
    )


def quote_of(message: pb.Quote) -> Quote:
    """What GetQuote answered."""
    crypto = None
    if message.HasField("crypto"):
        crypto = TokenTerms(
            currency=message.crypto.currency,
            chain_id=message.crypto.chain_id,
            token_address=message.crypto.token_address,
            decimals=message.crypto.decimals,
            due_base_units=int(message.crypto.amount_base_units),
        )
    return Quote(
        items=tuple(map(_line_item, message.items)),
        total=_money(message.total),
        method=message.method,
        crypto=crypto,
        pricing_version=message.pricing_version,
        expire_time=_time(message.expire_time),
        message=message,
    )


def payment_of(message: pb.Payment) -> Payment:
    """What the other calls answered, and what every event holds."""
    return Payment(
        id=UUID(message.id),
        status=Status(pb.PaymentStatus.Name(message.status).removeprefix(_PREFIX)),
        method=message.method,
        provider=message.provider,
        amount=_money(message.amount),
        customer_id=message.customer_id,
        idempotency_key=message.idempotency_key,
        items=tuple(map(_line_item, message.items)),
        subscription_ids=tuple(message.subscription_ids),
        next_action=_next_action(message.next_action),
        provider_reference=message.provider_reference,
        received=_money(message.received),
        refunded=_money(message.refunded),
        crypto=_crypto(message.crypto) if message.HasField("crypto") else None,
        attention=tuple(message.attention),
        failure=_failure(message.failure) if message.HasField("failure") else None,
        late=message.late,
        pricing_version=message.pricing_version,
        metadata=dict(message.metadata),
        create_time=_time(message.create_time),
        update_time=_time(message.update_time),
        expire_time=_time(message.expire_time),
        complete_time=_time(message.complete_time) if message.HasField("complete_time") else None,
        message=message,
    )


def event_of(data: bytes, headers: Mapping[str, str], *, delivery: int) -> Event:
    """An event as it lies in the stream. Raises ValueError for what is none."""
    body = json.loads(data)
    if not isinstance(body, dict):
        raise ValueError("an event that is no object")
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
            delivery=delivery,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an event without {error}") from None


def _event_time(headers: Mapping[str, str], message: pb.Payment) -> datetime:
    if "ce-time" in headers:
        return datetime.fromisoformat(headers["ce-time"])
    return _time(message.update_time)


def _item_message(item: Item) -> pb.Item:
    return pb.Item(
        chain_profile_id=item.chain_profile_id, node_type=item.node_type, duration=item.duration
    )


def _line_item(message: Any) -> LineItem:
    return LineItem(
        chain_profile_id=message.chain_profile_id,
        node_type=message.node_type,
        duration=message.duration,
        unit_price=_money(message.unit_price),
    )


def _money(message: Any) -> Money:
    return Money(currency_code=message.currency_code, minor_units=message.minor_units)


def _failure(message: Any) -> Failure:
    return Failure(code=message.code, message=message.message)


def _crypto(message: Any) -> Crypto:
    return Crypto(
        currency=message.currency,
        token_address=message.token_address,
        decimals=message.decimals,
        due_base_units=int(message.due_base_units),
        received_base_units=int(message.received_base_units),
        confirmed_base_units=int(message.confirmed_base_units),
    )


def _next_action(message: Any) -> NextAction | None:
    match message.WhichOneof("kind"):
        case "redirect":
            return Redirect(url=message.redirect.url)
        case "crypto_transfer":
            transfer = message.crypto_transfer
            return CryptoTransfer(
                currency=transfer.currency,
                chain_id=transfer.chain_id,
                token_address=transfer.token_address,
                receiver_address=transfer.receiver_address,
                amount_base_units=int(transfer.amount_base_units),
                decimals=transfer.decimals,
                memo=transfer.memo,
                calldata=transfer.calldata,
                payment_uri=transfer.payment_uri,
            )
    return None


def _time(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)
