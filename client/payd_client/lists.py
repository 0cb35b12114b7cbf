"""Lists of payments: which payments, and pages of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import attrs
from google.protobuf.timestamp_pb2 import Timestamp

from payd_client.messages import payment_of
from payd_client.proto import payment_pb2 as pb
from payd_client.values import Payment, Status

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


@attrs.frozen(kw_only=True)
class PaymentFilter:
    """Which payments to list: those to which everything applies that is set.

    The proto describes each field, and which of them need another one.
    """

    customer_id: str = ""
    email: str = ""
    statuses: Sequence[Status] = ()
    methods: Sequence[str] = ()
    providers: Sequence[str] = ()
    #: Open reasons, such as `UNDERPAID`.
    attention: Sequence[str] = ()
    subscription_id: str = ""
    #: Anything that names a payment, its refunds, receipts or disputes.
    reference: str = ""
    #: A key and its value.
    metadata: tuple[str, str] | None = None
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None
    #: Bounds of the amount in minor units; 0 sets no bound.
    min_minor_units: int = 0
    max_minor_units: int = 0
    currency_code: str = ""


@attrs.frozen(kw_only=True)
class PaymentPage:
    """Some payments of a list, in its order."""

    payments: tuple[Payment, ...]
    #: For the next page; empty on the last one. Until then a page may have few payments, or none.
    next_page_token: str


def filter_message(wanted: PaymentFilter) -> pb.PaymentFilter:
    """Build the filter of a request. Raises ValueError for a time without a time zone."""
    fields = attrs.asdict(wanted, recurse=False)
    fields["statuses"] = [f"PAYMENT_STATUS_{status.value}" for status in wanted.statuses]
    if wanted.metadata is not None:
        key, value = wanted.metadata
        fields["metadata"] = pb.MetadataPair(key=key, value=value)
    for name in ("create_time_from", "create_time_before"):
        if (time := fields[name]) is not None:
            fields[name] = _timestamp(name, time)
    return pb.PaymentFilter(**{name: value for name, value in fields.items() if value is not None})


def _timestamp(name: str, time: datetime) -> Timestamp:
    if time.tzinfo is None:
        raise ValueError(f"{name} needs a time zone: {time!r}")
    # In integers: a float would lose microseconds.
    return Timestamp(seconds=(time - _EPOCH) // _SECOND, nanos=time.microsecond * 1000)


def payment_page_of(message: pb.ListPaymentsResponse | pb.ListAttentionResponse) -> PaymentPage:
    """Read the answer of ListPayments or of ListAttention."""
    return PaymentPage(
        payments=tuple(map(payment_of, message.payments)), next_page_token=message.next_page_token
    )
