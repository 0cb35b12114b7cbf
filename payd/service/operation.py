"""Build provider operations from a stored payment, so that every retry sends the same one."""

from collections.abc import Sequence

from payd.domain.payment import Payment
from payd.plugins.interface import CreateOperation, PaymentRef
from payd.ports import ProviderPort, Providers


def unique_providers(providers: Providers) -> Sequence[ProviderPort]:
    """Each enabled provider once, however many methods it takes."""
    return list({r.provider.name: r.provider for r in providers.registered()}.values())


def create_operation(payment: Payment) -> CreateOperation:
    """The operation that creates the payable object; the same at every retry by any daemon."""
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
    """Reference to a payment's object, to fetch or close it."""
    return PaymentRef(
        operation_id=operation_id(payment),
        payment_id=payment.id,
        reference=payment.provider_reference,
        asset=payment.asset,
        create_time=payment.create_time,
    )


def operation_id(payment: Payment) -> str:
    """The idempotency key at the provider."""
    return f"payd:{payment.id}:create:v1"
