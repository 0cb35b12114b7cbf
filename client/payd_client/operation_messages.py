"""Conversion between what operators read and its protobuf messages."""

import json
from datetime import UTC, date, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from payd_client.operations import (
    Backlog,
    Configuration,
    DailySum,
    DeadLetter,
    HealthCheck,
    LoopHealth,
    OpenAttention,
    Overview,
    ProviderVersion,
    Receipt,
    ReceiptFilter,
    Reconciliation,
    ReconciliationFinding,
    Setting,
    StoredTable,
    TrailState,
)
from payd_client.part_messages import money_of, time_of
from payd_client.proto import payment_pb2 as pb
from payd_client.receipt_messages import receipt_state_of
from payd_client.values import Status


def receipt_filter_message(wanted: ReceiptFilter) -> pb.ReceiptFilter:
    """Build the filter of a request. Raises ValueError for a time without a time zone."""
    return pb.ReceiptFilter(
        unmatched=wanted.unmatched,
        provider=wanted.provider,
        payment_id=str(wanted.payment_id),
        time_from=timestamp("time_from", wanted.time_from),
        time_before=timestamp("time_before", wanted.time_before),
    )


def timestamp(name: str, time: datetime | None) -> Timestamp | None:
    """Build the message of a time. Raises ValueError for one without a time zone."""
    if time is None:
        return None
    if time.tzinfo is None:
        raise ValueError(f"{name} needs a time zone: {time!r}")
    message = Timestamp()
    message.FromDatetime(time.astimezone(UTC))
    return message


def receipt_of(message: pb.Receipt) -> Receipt:
    """Read a receipt."""
    return Receipt(
        id=message.id,
        provider=message.provider,
        payment_id=UUID(message.payment_id) if message.payment_id else None,
        asset=message.asset,
        amount_base_units=int(message.amount_base_units),
        currency=message.currency,
        decimals=message.decimals,
        state=receipt_state_of(message.state),
        time=time_of(message.time),
        reference=message.reference,
        details=dict(message.details),
        message=message,
    )


def dead_letter_of(message: pb.DeadLetter) -> DeadLetter:
    """Read a dead letter."""
    return DeadLetter(
        sequence=message.sequence,
        subject=message.subject,
        event_id=message.event_id,
        reason=message.reason,
        time=time_of(message.time),
        deliveries=message.deliveries,
        headers=dict(message.headers),
        data=message.data,
        payment_id=message.payment_id,
    )


def stored_table_of(message: pb.StoredTable) -> StoredTable:
    """Read rows of one table."""
    return StoredTable(
        name=message.name,
        rows=tuple(json.loads(row) for row in message.rows),
        has_more=message.has_more,
    )


def reconciliation_of(message: pb.Reconciliation) -> Reconciliation:
    """Read the result of a reconciliation."""
    return Reconciliation(
        provider=message.provider,
        since=time_of(message.since),
        until=time_of(message.until),
        start_time=time_of(message.start_time),
        end_time=time_of(message.end_time),
        objects=message.objects,
        payments=message.payments,
        findings=tuple(
            ReconciliationFinding(
                kind=one.kind,
                reference=one.reference,
                payment_id=one.payment_id,
                detail=one.detail,
            )
            for one in message.findings
        ),
        message=message,
    )


def overview_of(message: pb.Overview) -> Overview:
    """Read an overview."""
    backlog = message.backlog
    return Overview(
        time=time_of(message.time),
        sums=tuple(map(_daily_sum, message.sums)),
        attention=tuple(
            OpenAttention(reason=one.reason, payments=one.payments, since=time_of(one.since))
            for one in message.attention
        ),
        checks=tuple(
            HealthCheck(name=one.name, ok=one.ok, required=one.required, detail=one.detail)
            for one in message.checks
        ),
        loops=tuple(
            LoopHealth(name=one.name, restarts=one.restarts, failures=one.failures)
            for one in message.loops
        ),
        backlog=Backlog(
            events=backlog.events,
            oldest_event_age=backlog.oldest_event_age.ToTimedelta(),
            reports=backlog.reports,
            unmatched_receipts=backlog.unmatched_receipts,
        ),
        trail=_trail_state(message.trail),
        message=message,
    )


def _trail_state(message: pb.TrailState) -> TrailState:
    has_one = message.HasField("checkpoint_time")
    return TrailState(
        checkpoint=message.checkpoint if has_one else None,
        checkpoint_time=time_of(message.checkpoint_time) if has_one else None,
        unsigned_rows=message.unsigned_rows,
        unsigned_payments=message.unsigned_payments,
        unchained_rows=message.unchained_rows,
    )


def _daily_sum(message: pb.DailySum) -> DailySum:
    status = pb.PaymentStatus.Name(message.status).removeprefix("PAYMENT_STATUS_")
    return DailySum(
        day=date.fromisoformat(message.day),
        method=message.method,
        status=Status(status),
        payments=message.payments,
        amount=money_of(message.amount),
    )


def configuration_of(message: pb.Configuration) -> Configuration:
    """Read a configuration."""
    return Configuration(
        version=message.version,
        environment=message.environment,
        pricing_version=message.pricing_version,
        providers=tuple(
            ProviderVersion(
                name=one.name, version=one.version, methods=tuple(one.methods), problem=one.problem
            )
            for one in message.providers
        ),
        settings=tuple(
            Setting(key=one.key, value=one.value, variable=one.variable, source=one.source)
            for one in message.settings
        ),
    )
