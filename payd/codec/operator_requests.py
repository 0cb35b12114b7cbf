"""Requests of operators beside payments → domain values. An invalid field raises InvalidField."""

from datetime import datetime
from uuid import UUID

import attrs
from google.protobuf.message import Message
from payd_client.proto import payment_pb2 as pb

from payd.codec.fields import a_uuid, check_count, text, visible
from payd.codec.marks import Mark, MarkedPage, a_text, a_time, an_id, marked_page, read_mark
from payd.codec.parts import time_of
from payd.domain.errors import InvalidField
from payd.domain.ledger import ReceiptFilter, ReceiptPosition, ReconciliationPosition
from payd.domain.overview import DAYS_MAX
from payd.domain.published import EventSelection, PublishedPosition
from payd.domain.text import NAME_MAX

NOTE_LENGTH_MAX = 500
LETTERS_MAX = 200
_DAYS = 7
_PROVIDER_LENGTH_MAX = 64


@attrs.frozen(kw_only=True)
class AttachRequest:
    """An operator's word that a receipt was meant for a payment."""

    receipt_id: str
    payment_id: UUID
    note: str


@attrs.frozen(kw_only=True)
class RepublishRequest:
    """Which events to publish again, and from which one on."""

    events: EventSelection
    after: PublishedPosition | None
    #: What the request asks for; the same for all pages.
    meaning: str


def list_receipts_request(
    message: pb.ListReceiptsRequest,
) -> MarkedPage[ReceiptFilter, ReceiptPosition]:
    """Parse the request of ListReceipts. Raises InvalidFilter and InvalidPageToken, too."""
    asked = message.filter
    wanted = ReceiptFilter(
        unmatched=asked.unmatched,
        provider=_provider("filter.provider", asked.provider),
        payment_id=a_uuid("filter.payment_id", asked.payment_id) if asked.payment_id else None,
        time_from=_time(asked, "time_from", "filter."),
        time_before=_time(asked, "time_before", "filter."),
    )
    wanted.check()
    return marked_page(message, wanted, _meaning("receipts", asked), _receipt_position)


def attach_request(message: pb.AttachReceiptRequest) -> AttachRequest:
    """Parse the request of AttachReceipt."""
    return AttachRequest(
        receipt_id=text("receipt_id", message.receipt_id, NAME_MAX),
        payment_id=a_uuid("payment_id", message.payment_id),
        note=text("note", message.note, NOTE_LENGTH_MAX, required=False),
    )


def stored_payment(message: pb.GetStoredRowsRequest) -> UUID:
    """Parse the request of GetStoredRows."""
    return a_uuid("payment_id", message.payment_id)


def republish_request(message: pb.RepublishEventsRequest) -> RepublishRequest:
    """Parse the request of RepublishEvents. Raises InvalidPageToken, too."""
    match message.WhichOneof("selection"):
        case "payment_id":
            wanted = EventSelection(payment_id=a_uuid("payment_id", message.payment_id))
        case "event_id":
            wanted = EventSelection(event_id=a_uuid("event_id", message.event_id))
        case "publish_time":
            wanted = _span(message.publish_time)
        case _:
            raise InvalidField("selection", "name a payment, an event or a span of time")
    named = pb.RepublishEventsRequest()
    named.CopyFrom(message)
    named.ClearField("page_token")
    meaning = _meaning("events", named)
    return RepublishRequest(
        events=wanted,
        after=read_mark(message.page_token, meaning, _published_position),
        meaning=meaning,
    )


def list_dead_letters_request(message: pb.ListDeadLettersRequest) -> MarkedPage[None, int]:
    """Parse the request of ListDeadLetters. Raises InvalidPageToken, too."""
    return marked_page(message, None, "dead letters", _sequence)


def sequence(message: pb.ListDeadLettersRequest) -> int:
    """The only dead letter that ListDeadLetters asks for; 0 for all."""
    if message.sequence < 0:
        raise InvalidField("sequence", f"must be at least 0, is {message.sequence}")
    return message.sequence


def sequences(message: pb.ReplayDeadLettersRequest) -> tuple[int, ...]:
    """Parse the request of ReplayDeadLetters."""
    check_count("sequences", len(message.sequences), 1, LETTERS_MAX)
    for number, sequence in enumerate(message.sequences):
        if sequence < 1:
            raise InvalidField(f"sequences[{number}]", f"must be at least 1, is {sequence}")
    return tuple(dict.fromkeys(message.sequences))


def list_reconciliations_request(
    message: pb.ListReconciliationsRequest,
) -> MarkedPage[str, ReconciliationPosition]:
    """Parse the request of ListReconciliations. Raises InvalidPageToken, too."""
    provider = _provider("provider", message.provider)
    return marked_page(message, provider, f"reconciliations of {provider}", _reconciliation)


def days(message: pb.GetOverviewRequest) -> int:
    """Parse the request of GetOverview."""
    if not 0 <= message.days <= DAYS_MAX:
        raise InvalidField("days", f"must be 0 to {DAYS_MAX}, is {message.days}")
    return message.days or _DAYS


def _provider(field: str, value: str) -> str:
    return visible(field, value, _PROVIDER_LENGTH_MAX) if value else ""


def _span(message: pb.TimeRange) -> EventSelection:
    begin = _time(message, "from_time", "publish_time.")
    end = _time(message, "before_time", "publish_time.")
    if begin is None:
        raise InvalidField("publish_time.from_time", "is required")
    if end is not None and end <= begin:
        raise InvalidField("publish_time.before_time", "must be after from_time")
    return EventSelection(published_from=begin, published_before=end)


def _time(message: pb.ReceiptFilter | pb.TimeRange, name: str, path: str) -> datetime | None:
    if not message.HasField(name):
        return None
    try:
        return time_of(getattr(message, name))
    except ValueError:
        raise InvalidField(f"{path}{name}", "must be a time from year 1 to 9999") from None


def _meaning(what: str, message: Message) -> str:
    return f"{what} {message.SerializeToString(deterministic=True).hex()}"


def _receipt_position(mark: Mark) -> ReceiptPosition:
    time, provider, receipt_id = mark
    return ReceiptPosition(a_time(time), a_text(provider), a_text(receipt_id))


def _published_position(mark: Mark) -> PublishedPosition:
    time, number = mark
    return PublishedPosition(a_time(time), an_id(number))


def _reconciliation(mark: Mark) -> ReconciliationPosition:
    time, number = mark
    return ReconciliationPosition(a_time(time), an_id(number))


def _sequence(mark: Mark) -> int:
    [number] = mark
    return an_id(number)
