"""What a provider is asked: a pure function of the stored payment, so that a retry is the same."""

from collections.abc import Sequence

from payd.domain.payment import Payment
from payd.plugins.interface import CreateOperation, PaymentRef
from payd.ports import ProviderPort, Providers


def unique_providers(providers: Providers) -> Sequence[ProviderPort]:
    """Each once, whatever number of methods it takes."""
    return list({r.provider.name: r.provider for r in providers.registered()}.values())


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
        parameters=payment.parameters,
    )


def payment_ref(payment: Payment) -> PaymentRef:
    """Which payment to look at or to close."""
    return PaymentRef(
        operation_id=operation_id(payment),
        payment_id=payment.id,
        reference=payment.provider_reference,
        asset=payment.asset,
        create_time=payment.create_time,
    )


def operation_id(payment: Payment) -> str:
    """The provider's idempotency key."""
    return f"payd:{payment.id}:create:v1"
