"""How much money of a payment is final and left to refund: in answers, not in events."""

from payd_client.proto import payment_pb2 as pb

from payd.codec.parts import amount_message
from payd.domain.payment import Payment
from payd.domain.refunds import refundable


def add_settled(message: pb.Payment, payment: Payment) -> pb.Payment:
    """Add both amounts to the payment's message, and return it."""
    terms, currency = payment.crypto, payment.amount.currency_code
    rest = refundable(payment)
    message.confirmed.CopyFrom(amount_message(payment.confirmed, terms, currency))
    message.left_to_refund.CopyFrom(amount_message(rest, terms, currency))
    if terms is not None:
        message.crypto.left_to_refund_base_units = str(rest)
    return message
