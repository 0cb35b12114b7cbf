"""What ForgetCustomer erased, or would erase."""

from datetime import datetime
from uuid import UUID

import attrs

from payd_client.part_messages import time_of
from payd_client.proto import payment_pb2 as pb


@attrs.frozen(kw_only=True)
class ErasedRows:
    """Rows of one table of payd's database that had personal values."""

    table: str
    rows: int
    #: What was erased from them.
    columns: str


@attrs.frozen(kw_only=True)
class RetainedEvent:
    """A published event, which the event stream keeps as it was published until its age limit."""

    event_id: UUID
    payment_id: UUID
    subject: str
    publish_time: datetime


@attrs.frozen(kw_only=True)
class ForgottenCustomer:
    """What was erased, or would be."""

    #: How many payments the customer has.
    payments: int
    erased: tuple[ErasedRows, ...]
    #: The newest first; at most 1,000.
    retained_events: tuple[RetainedEvent, ...]
    #: Reports that were left alone because they wait to be settled: forget again afterwards.
    waiting_reports: int
    #: The answer as it came.
    message: pb.ForgetCustomerResponse = attrs.field(repr=False, eq=False)


def forgotten_of(message: pb.ForgetCustomerResponse) -> ForgottenCustomer:
    """Read the answer of ForgetCustomer."""
    return ForgottenCustomer(
        payments=message.payments,
        erased=tuple(
            ErasedRows(table=one.table, rows=one.rows, columns=one.columns)
            for one in message.erased
        ),
        retained_events=tuple(
            RetainedEvent(
                event_id=UUID(one.event_id),
                payment_id=UUID(one.payment_id),
                subject=one.subject,
                publish_time=time_of(one.publish_time),
            )
            for one in message.retained_events
        ),
        waiting_reports=message.waiting_reports,
        message=message,
    )
