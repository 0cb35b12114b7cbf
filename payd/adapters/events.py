"""Build the events and audit rows of a payment's change, the same in every store.

Pure: the same change gives the same ids, headers and bytes, so a repeated commit adds nothing.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import attrs

from payd.codec.messages import event_body
from payd.domain.decide import Event, EventType
from payd.domain.payment import Origin, Payment

__all__ = ["AuditRow", "EventRow", "outbox_row_of"]


class EventRow(NamedTuple):
    """The part of an outbox row that never changes."""

    event_id: UUID
    subject: str
    #: What it is about besides the payment: the id of a refund or of a dispute.
    about: str
    headers: dict[str, str]
    body: bytes


@attrs.frozen(kw_only=True)
class AuditRow:
    """One row of `payment_events`."""

    version: int
    event_type: str
    actor: str
    request_id: str
    ip: str
    #: Proven by the caller's connection; empty for work that payd did by itself.
    certificate: str
    peer: str
    #: For version 1 the whole `row` and its `items`; later `changes`, new `receipts`, `refunds` and
    #: `disputes` that are new or changed, events that are `republished`, and `reason`.
    details: Mapping[str, Any]
    create_time: datetime


def outbox_row_of(payment: Payment, event: Event, origin: Origin, environment: str) -> EventRow:
    """Build the outbox row of `event`; `payment` is the one after the decision."""
    subject = event.type.value
    about = str(event.refund_id or event.dispute_id or "")
    event_id = _event_id(payment, event, about)
    headers = {
        "ce-specversion": "1.0",
        "ce-id": str(event_id),
        "ce-source": f"//payd/{environment}/payments/{payment.id}",
        "ce-type": f"dev.payd.{subject}.v1",
        "ce-time": _utc(payment.update_time).replace("+00:00", "Z"),
        "Content-Type": "application/json",
    }
    if traceparent := origin.traceparent or payment.traceparent:
        headers["traceparent"] = traceparent
    body = event_body(
        payment,
        event_id=event_id,
        event_type=subject,
        previous_status=event.previous_status,
        reason=event.reason,
        request_id=origin.request_id or payment.request_id,
        refund=next((one for one in payment.refunds if one.id == event.refund_id), None),
        dispute=next((one for one in payment.disputes if one.id == event.dispute_id), None),
    )
    return EventRow(event_id, subject, about, headers, body)


def _event_id(payment: Payment, event: Event, about: str) -> UUID:
    """The same whenever the payment comes to this point.

    What happens once has an id without the version: after a restore of the database recovery may
    reach it by another version, and a consumer that has handled it must know it again.
    """
    again = str(payment.version) if event.type is EventType.ATTENTION else ""
    return uuid5(payment.id, ":".join(filter(None, (event.type.value, again, about))))


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()
