"""What a provider is asked: a pure function of the stored payment, so that a retry is the same."""

from payd.domain.payment import Payment
from payd.plugins.interface import CreateOperation, PaymentRef


def create_operation(payment: Payment) -> CreateOperation:
    """Make the payable object; equal at every retry, whatever daemon sends it."""
    return CreateOperation(
        operation_id=operation_id(payment),
        payment_id=payment.id,
        method=payment.method,
        amount=payment.amount,
        crypto=payment.crypto,
        items=payment.items,
        customer_id=payment.customer.id,
        create_time=payment.create_time,
        expire_time=payment.expire_time,
        return_url=payment.return_url,
        cancel_url=payment.cancel_url,
        metadata=payment.metadata,
    )


def payment_ref(payment: Payment) -> PaymentRef:
    """Which payment to look at or to close."""
    return PaymentRef(
        operation_id=operation_id(payment),
        payment_id=payment.id,
        reference=payment.provider_reference,
        asset=payment.asset,
    )


def operation_id(payment: Payment) -> str:
    """The provider's idempotency key."""
    return f"payd:{payment.id}:create:v1"
