"""Refunds, disputes and reasons for attention → protobuf messages."""

import re
from typing import Any

from payd_client.proto import payment_pb2 as pb

from payd.codec.parts import amount_message, next_action_message, time_message
from payd.domain.actors import PAYD
from payd.domain.attention import AttentionRecord
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.payment import Payment
from payd.domain.refund import Refund, RefundStatus

_REFUND_STATUS: dict[RefundStatus, Any] = {
    status: pb.RefundStatus.Value(f"REFUND_STATUS_{status.value}") for status in RefundStatus
}
_DISPUTE_STATUS: dict[DisputeStatus, Any] = {
    status: pb.DisputeStatus.Value(f"DISPUTE_STATUS_{status.value}") for status in DisputeStatus
}
_WAITS = (DisputeStatus.INQUIRY, DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW)


def refund_message(payment: Payment, refund: Refund) -> pb.Refund:
    """Build the message of one of the payment's refunds."""
    terms = payment.crypto
    message = pb.Refund(
        id=str(refund.id),
        payment_id=str(payment.id),
        idempotency_key=refund.idempotency_key,
        status=_REFUND_STATUS[refund.status],
        amount=amount_message(refund.amount, terms, payment.amount.currency_code),
        reason=refund.reason,
        destination=refund.destination,
        provider_reference=refund.provider_reference or "",
        create_time=time_message(refund.create_time),
        update_time=time_message(refund.update_time),
        external=refund.external,
        requester=refund.requester,
    )
    if terms is not None:
        message.crypto.CopyFrom(
            pb.RefundCrypto(
                currency=terms.currency,
                token_address=terms.token_address,
                decimals=terms.decimals,
                amount_base_units=str(refund.amount),
            )
        )
    if refund.next_action is not None and refund.status is RefundStatus.AWAITING_TRANSFER:
        message.next_action.CopyFrom(next_action_message(refund.next_action))
    if refund.failure is not None:
        failure = pb.Failure(code=refund.failure.code, message=refund.failure.message)
        message.failure.CopyFrom(failure)
    if refund.complete_time is not None:
        message.complete_time.CopyFrom(time_message(refund.complete_time))
    return message


def dispute_message(payment: Payment, dispute: Dispute) -> pb.Dispute:
    """Build the message of one of the payment's disputes. It ended when its end was reported."""
    message = pb.Dispute(
        id=dispute.id,
        status=_DISPUTE_STATUS[dispute.status],
        amount=_disputed(payment, dispute),
        reason=dispute.reason,
        open_time=time_message(dispute.open_time),
    )
    if dispute.status not in _WAITS:
        message.close_time.CopyFrom(time_message(dispute.as_of))
    if dispute.evidence_due_time is not None:
        message.evidence_due_time.CopyFrom(time_message(dispute.evidence_due_time))
    return message


def _disputed(payment: Payment, dispute: Dispute) -> pb.Money | None:
    """Return the disputed amount; of a token that is not the payment's, no currency tells it."""
    if payment.is_asset(dispute.asset):
        return amount_message(dispute.amount, payment.crypto, payment.amount.currency_code)
    if re.fullmatch("[A-Z]{3}", dispute.asset):
        return amount_message(dispute.amount, None, dispute.asset)
    return None


def attention_message(record: AttentionRecord) -> pb.AttentionRecord:
    """Build the message of a reason for attention."""
    message = pb.AttentionRecord(
        reason=record.reason.value,
        since=time_message(record.since),
        resolved_by="" if record.resolved_by == PAYD else record.resolved_by,
        note=record.note,
    )
    if record.resolved_time is not None:
        message.resolved_time.CopyFrom(time_message(record.resolved_time))
    return message
