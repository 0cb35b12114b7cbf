"""Conversion between refunds, disputes and attention, and their protobuf messages."""

from collections.abc import Sequence
from uuid import UUID

import attrs

from payd_client.part_messages import failure_of, money_of, next_action_of, time_of
from payd_client.proto import payment_pb2 as pb
from payd_client.refunds import (
    AttentionRecord,
    Dispute,
    DisputeStatus,
    Refund,
    RefundCrypto,
    RefundPage,
    RefundRequest,
    RefundStatus,
)

_REFUND, _DISPUTE = "REFUND_STATUS_", "DISPUTE_STATUS_"


def refund_payment_message(request: RefundRequest) -> pb.RefundPaymentRequest:
    """Build the request of RefundPayment."""
    amount = request.amount
    return pb.RefundPaymentRequest(
        payment_id=str(request.payment_id),
        idempotency_key=request.idempotency_key,
        amount=None if amount is None else pb.Money(**attrs.asdict(amount)),
        reason=request.reason,
        destination=request.destination,
    )


def list_refunds_message(
    payment_id: UUID | str, statuses: Sequence[RefundStatus], page_size: int, page_token: str
) -> pb.ListRefundsRequest:
    """Build the request of ListRefunds."""
    return pb.ListRefundsRequest(
        payment_id=str(payment_id),
        statuses=[f"{_REFUND}{status.value}" for status in statuses],
        page_size=page_size,
        page_token=page_token,
    )


def settle_refund_message(
    refund_id: UUID | str, outcome: RefundStatus, reference: str, note: str
) -> pb.SettleRefundRequest:
    """Build the request of SettleRefund."""
    return pb.SettleRefundRequest(
        refund_id=str(refund_id),
        outcome=f"{_REFUND}{outcome.value}",
        reference=reference,
        note=note,
    )


def refund_of(message: pb.Refund) -> Refund:
    """Read a refund, from an answer, a payment or an event."""
    return Refund(
        id=UUID(message.id),
        payment_id=UUID(message.payment_id),
        idempotency_key=message.idempotency_key,
        status=RefundStatus(pb.RefundStatus.Name(message.status).removeprefix(_REFUND)),
        amount=money_of(message.amount),
        crypto=_refund_crypto(message.crypto) if message.HasField("crypto") else None,
        reason=message.reason,
        destination=message.destination,
        provider_reference=message.provider_reference,
        next_action=next_action_of(message.next_action),
        failure=failure_of(message.failure) if message.HasField("failure") else None,
        create_time=time_of(message.create_time),
        update_time=time_of(message.update_time),
        complete_time=time_of(message.complete_time) if message.HasField("complete_time") else None,
        external=message.external,
        requester=message.requester,
        message=message,
    )


def refund_page_of(message: pb.ListRefundsResponse) -> RefundPage:
    """Read the answer of ListRefunds."""
    return RefundPage(
        refunds=tuple(map(refund_of, message.refunds)), next_page_token=message.next_page_token
    )


def dispute_of(message: pb.Dispute) -> Dispute:
    """Read a dispute, from a payment or an event."""
    due = message.evidence_due_time
    return Dispute(
        id=message.id,
        status=DisputeStatus(pb.DisputeStatus.Name(message.status).removeprefix(_DISPUTE)),
        amount=money_of(message.amount) if message.HasField("amount") else None,
        reason=message.reason,
        open_time=time_of(message.open_time),
        close_time=time_of(message.close_time) if message.HasField("close_time") else None,
        evidence_due_time=time_of(due) if message.HasField("evidence_due_time") else None,
    )


def attention_of(message: pb.AttentionRecord) -> AttentionRecord:
    """Read a reason for attention."""
    ended = message.resolved_time
    return AttentionRecord(
        reason=message.reason,
        since=time_of(message.since),
        resolved_time=time_of(ended) if message.HasField("resolved_time") else None,
        resolved_by=message.resolved_by,
        note=message.note,
    )


def _refund_crypto(message: pb.RefundCrypto) -> RefundCrypto:
    return RefundCrypto(
        currency=message.currency,
        token_address=message.token_address,
        decimals=message.decimals,
        amount_base_units=int(message.amount_base_units),
    )
