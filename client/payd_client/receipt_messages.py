"""Conversion of a payment's receipts from their protobuf messages."""

from payd_client.part_messages import money_of, time_of
from payd_client.proto import payment_pb2 as pb
from payd_client.receipts import PaymentReceipt, ReceiptState


def receipt_state_of(number: pb.ReceiptState) -> ReceiptState:
    """Read how final a receipt is."""
    return ReceiptState(pb.ReceiptState.Name(number).removeprefix("RECEIPT_STATE_"))


def payment_receipt_of(message: pb.PaymentReceipt) -> PaymentReceipt:
    """Read one arrival of a payment's money."""
    return PaymentReceipt(
        id=message.id,
        amount=money_of(message.amount),
        asset=message.asset,
        state=receipt_state_of(message.state),
        time=time_of(message.time),
        transaction=message.transaction,
        sender=message.sender,
        explorer_url=message.explorer_url,
        amount_base_units=int(message.amount_base_units),
        message=message,
    )
