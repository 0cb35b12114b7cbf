"""Protobuf requests → domain values. An invalid field raises InvalidField with its path."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import UUID

from payd_client.proto import payment_pb2 as pb

from payd.codec.fields import (
    VISIBLE_ASCII,
    a_uuid,
    check_count,
    idempotency_key,
    money,
    text,
    visible,
)
from payd.domain.errors import InvalidField
from payd.domain.payment import Customer
from payd.domain.request import InitiateRequest, Item, QuoteRequest

ITEMS_MAX = 100
SUBSCRIPTIONS_MAX = 100
METADATA_MAX = 20
URL_LENGTH_MAX = 2048
REASON_LENGTH_MAX = 500

_METHOD = re.compile(r"[a-z0-9_-]{1,64}")
_TOKEN = re.compile(r"[A-Z0-9]{0,16}")
_CURRENCY = re.compile(r"([A-Z]{3})?")
_PATTERNS = {
    _METHOD: "is required: 1 to 64 of a-z 0-9 _ -",
    _TOKEN: "must be a symbol such as USDC",
    _CURRENCY: "must be an ISO 4217 code in capitals, such as USD, or empty",
}
#: A plausibility check: the main app has verified its users' addresses.
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")


def quote_request(message: pb.GetQuoteRequest) -> QuoteRequest:
    """Parse the request of GetQuote. Raises InvalidField."""
    return QuoteRequest(
        items=_items(message.items),
        method=_matching("method", message.method, _METHOD),
        crypto_currency=_matching("crypto_currency", message.crypto_currency, _TOKEN),
        currency_code=_matching("currency_code", message.currency_code, _CURRENCY),
    )


def initiate_request(message: pb.InitiatePaymentRequest) -> InitiateRequest:
    """Parse the request of InitiatePayment. Raises InvalidField."""
    return InitiateRequest(
        idempotency_key=idempotency_key(message.idempotency_key),
        customer=_customer(message.customer),
        items=_items(message.items),
        method=_matching("method", message.method, _METHOD),
        crypto_currency=_matching("crypto_currency", message.crypto_currency, _TOKEN),
        currency_code=_matching("currency_code", message.currency_code, _CURRENCY),
        subscription_ids=_subscription_ids(message.subscription_ids),
        return_url=_url("return_url", message.return_url),
        cancel_url=_url("cancel_url", message.cancel_url),
        metadata=_metadata(message.metadata),
        # payd's own text: `open_quote` refuses any other.
        quote_token=message.quote_token,
        expected_total=money("expected_total", message.expected_total)
        if message.HasField("expected_total")
        else None,
    )


def payment_id(value: str) -> UUID:
    """Parse a payment id. Raises InvalidField."""
    return a_uuid("payment_id", value)


def cancel_reason(value: str) -> str:
    """Validate the reason of a cancellation. Raises InvalidField."""
    return text("reason", value, REASON_LENGTH_MAX, required=False)


def _customer(message: pb.Customer) -> Customer:
    email = text("customer.email", message.email, 254, required=False)
    if email and not _EMAIL.fullmatch(email):
        raise InvalidField("customer.email", "is not an email address")
    wallet = message.wallet_address
    return Customer(
        id=visible("customer.id", message.id, 128),
        wallet_address=visible("customer.wallet_address", wallet, 128) if wallet else "",
        email=email,
    )


def _items(messages: Iterable[pb.Item]) -> tuple[Item, ...]:
    items = tuple(
        Item(
            chain_profile_id=text(f"items[{i}].chain_profile_id", item.chain_profile_id, 64),
            node_type=text(f"items[{i}].node_type", item.node_type, 64),
            duration=text(f"items[{i}].duration", item.duration, 64),
        )
        for i, item in enumerate(messages)
    )
    check_count("items", len(items), 1, ITEMS_MAX)
    return items


def _matching(field: str, value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(value):
        raise InvalidField(field, _PATTERNS[pattern])
    return value


def _subscription_ids(values: Iterable[str]) -> tuple[str, ...]:
    ids = tuple(visible(f"subscription_ids[{i}]", value, 128) for i, value in enumerate(values))
    check_count("subscription_ids", len(ids), 0, SUBSCRIPTIONS_MAX)
    return ids


def _metadata(values: Mapping[str, str]) -> dict[str, str]:
    pairs = dict(values)
    check_count("metadata", len(pairs), 0, METADATA_MAX)
    for key, value in pairs.items():
        text("metadata key", key, 64)
        if len(value) > 512 or "\x00" in value:
            raise InvalidField(f"metadata.{key}", "must be at most 512 characters, without NUL")
    return pairs


def _url(field: str, value: str) -> str:
    if not value:
        return ""
    if len(value) > URL_LENGTH_MAX or not VISIBLE_ASCII.fullmatch(value):
        raise InvalidField(field, f"must be at most {URL_LENGTH_MAX} visible ASCII characters")
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        raise InvalidField(field, "is not a URL") from None
    if not host or url.username is not None:
        raise InvalidField(field, "must name a host, without credentials")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(host)):
        raise InvalidField(field, "must be https, or http on loopback")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
