"""Receipts of a payment, and how final one is."""

import enum
from datetime import datetime

import attrs

from payd_client.parts import Money
from payd_client.proto import payment_pb2 as pb


class ReceiptState(enum.Enum):
    """How final a receipt is."""

    SEEN = "SEEN"
    DROPPED = "DROPPED"
    HELD = "HELD"
    CONFIRMED = "CONFIRMED"


@attrs.frozen(kw_only=True)
class PaymentReceipt:
    """One arrival of a payment's money."""

    id: str
    #: For tokens rounded down to minor units; `amount_base_units` is exact.
    amount: Money
    #: ISO 4217 code, or the 0x-hex address of a token.
    asset: str
    state: ReceiptState
    time: datetime
    #: Hash of its transaction, or the bank's own id; may be empty.
    transaction: str
    #: From whom it came, where that is known. Not where a refund belongs.
    sender: str
    #: Page of the transaction in a block explorer; empty without one.
    explorer_url: str
    amount_base_units: int
    #: The protobuf message.
    message: pb.PaymentReceipt = attrs.field(repr=False, eq=False)
