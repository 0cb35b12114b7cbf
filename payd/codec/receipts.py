"""Receipts of a payment → protobuf messages."""

from typing import Any

from payd_client.proto import payment_pb2 as pb

from payd.codec.parts import amount_message, time_message
from payd.domain.evidence import Receipt, ReceiptState
from payd.domain.ledger import PaymentReceipts
from payd.domain.payment import Payment

#: Each state in the proto's terms.
RECEIPT_STATE: dict[ReceiptState, Any] = {
    state: pb.ReceiptState.Value(f"RECEIPT_STATE_{state.value}") for state in ReceiptState
}


def add_receipts(message: pb.Payment, payment: Payment, receipts: PaymentReceipts) -> None:
    """Add the payment's receipts to its message."""
    message.receipts_total = receipts.total
    message.receipts.extend(
        _receipt(payment, one, receipts.pages.get(one.id, "")) for one in receipts.newest
    )


def _receipt(payment: Payment, receipt: Receipt, page: str) -> pb.PaymentReceipt:
    return pb.PaymentReceipt(
        id=receipt.id,
        # A payment has only receipts in what it is due in.
        amount=amount_message(receipt.amount, payment.crypto, payment.amount.currency_code),
        asset=receipt.asset,
        state=RECEIPT_STATE[receipt.state],
        time=time_message(receipt.time),
        transaction=receipt.details.get("transaction", ""),
        sender=receipt.details.get("sender", ""),
        explorer_url=page,
        amount_base_units=str(receipt.amount),
    )
