"""Requests for lists of payments → domain values. An invalid field raises InvalidField."""

import re
from collections.abc import Iterable
from datetime import datetime

import attrs
from google.protobuf.timestamp_pb2 import Timestamp
from payd_client.proto import payment_pb2 as pb

from payd.codec.attention_requests import reasons
from payd.codec.fields import check_count, text, visible
from payd.codec.page_tokens import PageRequest, page_request
from payd.codec.parts import time_of
from payd.domain.errors import InvalidField
from payd.domain.payment import Status
from payd.domain.payment_filter import PaymentFilter
from payd.domain.text import NAME_MAX

NAMES_MAX = 20
NAME_LENGTH_MAX = 64

_CURRENCY = re.compile(r"([A-Z]{3})?")
_STATUSES = {pb.PaymentStatus.Value(f"PAYMENT_STATUS_{one.value}"): one for one in Status}


def list_payments_request(message: pb.ListPaymentsRequest) -> PageRequest[PaymentFilter]:
    """Parse the request of ListPayments. Raises InvalidField and InvalidPageToken."""
    wanted = _filter(message.filter)
    return page_request(message, wanted, "payments", attrs.asdict(wanted, recurse=False))


def list_attention_request(message: pb.ListAttentionRequest) -> PageRequest[PaymentFilter]:
    """Parse the request of ListAttention. Raises InvalidField and InvalidPageToken."""
    wanted = _filter(message.filter)
    return page_request(message, wanted, "attention", attrs.asdict(wanted, recurse=False))


def _filter(message: pb.PaymentFilter) -> PaymentFilter:
    if not _CURRENCY.fullmatch(message.currency_code):
        raise InvalidField(
            "filter.currency_code", "must be an ISO 4217 code in capitals, such as USD, or empty"
        )
    return PaymentFilter(
        customer_id=_visible_or_empty("customer_id", message.customer_id, 128),
        email=text("filter.email", message.email, 254, required=False),
        statuses=_statuses(message.statuses),
        methods=_names("methods", message.methods),
        providers=_names("providers", message.providers),
        attention=reasons("filter.attention", message.attention),
        subscription_id=_visible_or_empty("subscription_id", message.subscription_id, 128),
        reference=text("filter.reference", message.reference, NAME_MAX, required=False),
        metadata=_pair(message.metadata) if message.HasField("metadata") else None,
        create_time_from=_time(message, "create_time_from"),
        create_time_before=_time(message, "create_time_before"),
        min_minor_units=_bound("min_minor_units", message.min_minor_units),
        max_minor_units=_bound("max_minor_units", message.max_minor_units),
        currency_code=message.currency_code,
    )


def _visible_or_empty(field: str, value: str, length_max: int) -> str:
    return visible(f"filter.{field}", value, length_max) if value else ""


def _statuses(values: Iterable[int]) -> frozenset[Status]:
    found = set()
    for number, value in enumerate(values):
        if value not in _STATUSES:
            raise InvalidField(f"filter.statuses[{number}]", f"{value} is not a status of payments")
        found.add(_STATUSES[value])
    return frozenset(found)


def _names(field: str, values: Iterable[str]) -> frozenset[str]:
    names = [visible(f"filter.{field}[{i}]", one, NAME_LENGTH_MAX) for i, one in enumerate(values)]
    check_count(f"filter.{field}", len(names), 0, NAMES_MAX)
    return frozenset(names)


def _pair(message: pb.MetadataPair) -> tuple[str, str]:
    key = text("filter.metadata.key", message.key, 64)
    if len(message.value) > 512 or "\x00" in message.value:
        raise InvalidField("filter.metadata.value", "must be at most 512 characters, without NUL")
    return key, message.value


def _time(message: pb.PaymentFilter, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    try:
        return time_of(stamp)
    except ValueError:
        raise InvalidField(f"filter.{field}", "must be a time from year 1 to 9999") from None


def _bound(field: str, value: int) -> int | None:
    if value < 0:
        raise InvalidField(f"filter.{field}", f"must be at least 0, is {value}")
    return value or None
