"""ForgetCustomer: request → domain value, and what was erased → message."""

from payd_client.proto import payment_pb2 as pb

from payd.codec.fields import text, visible
from payd.codec.parts import time_message
from payd.domain.forget import Forgotten, RetainedEvent
from payd.domain.request import ForgetRequest

NOTE_LENGTH_MAX = 500

#: Table → what is erased from it, in the order of the answer.
ERASED = {
    "customers": "wallet_address, email",
    "payments": "return_url, cancel_url, metadata, parameters, next_action, failure_message, "
    "request_hash, notes in attention_records",
    "payment_labels": "labels of the metadata",
    "payment_personal_values": "values and salts of audit rows",
    "payment_events": "ip, peer",
    "receipts": "details, except the transaction",
    "refunds": "destination, reason, next_action, failure_message, request_hash",
    "outflows": "details, except the transaction",
    "outbox": "body: metadata, next_action, destination, messages and notes",
    "inbox": "report, raw_body",
}


def forget_request(message: pb.ForgetCustomerRequest) -> ForgetRequest:
    """Parse the request of ForgetCustomer. Raises InvalidField."""
    return ForgetRequest(
        customer_id=visible("customer_id", message.customer_id, 128),
        dry_run=message.dry_run,
        note=text("note", message.note, NOTE_LENGTH_MAX, required=False),
    )


def forgotten_message(forgotten: Forgotten) -> pb.ForgetCustomerResponse:
    """Build the answer of ForgetCustomer, with every table."""
    return pb.ForgetCustomerResponse(
        payments=forgotten.payments,
        erased=[
            pb.ErasedRows(table=table, rows=forgotten.erased.get(table, 0), columns=columns)
            for table, columns in ERASED.items()
        ],
        retained_events=map(_event, forgotten.retained),
        waiting_reports=forgotten.waiting_reports,
    )


def _event(event: RetainedEvent) -> pb.RetainedEvent:
    return pb.RetainedEvent(
        event_id=str(event.event_id),
        payment_id=str(event.payment_id),
        subject=event.subject,
        publish_time=time_message(event.publish_time),
    )
