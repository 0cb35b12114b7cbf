"""Build provider operations from what is stored, so that every retry sends the same one.

Also who they go to, and for how long a claim keeps other daemons from sending them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from payd.domain.errors import ProviderUnavailable
from payd.domain.payment import Payment
from payd.domain.refund import Refund
from payd.plugins.interface import CreateOperation, PaymentRef
from payd.plugins.refunding import RefundOperation, RefundRef
from payd.ports import ProviderPort, Providers

#: Time for the database and the network beyond the provider's own deadline.
_MARGIN = timedelta(seconds=2)


def unique_providers(providers: Providers) -> Sequence[ProviderPort]:
    """Each enabled provider once, however many methods it takes."""
    return list({r.provider.name: r.provider for r in providers.registered()}.values())


def enabled_provider(providers: Providers, payment: Payment) -> ProviderPort:
    """The payment's provider; raises ProviderUnavailable if this daemon does not have it."""
    provider = providers.by_name(payment.provider)
    if provider is None:
        raise ProviderUnavailable(
            f"provider {payment.provider!r} is not enabled on this daemon",
            provider=payment.provider,
        )
    return provider


def claim_deadline(provider: ProviderPort, now: datetime) -> datetime:
    """Time until which a claim written now keeps other daemons from sending."""
    return now + provider.capabilities.operation_timeout + _MARGIN


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
        aliases=payment.aliases,
    )


def operation_id(payment: Payment) -> str:
    """The idempotency key at the provider."""
    return f"payd:{payment.id}:create:v1"


def refund_operation(payment: Payment, refund: Refund) -> RefundOperation:
    """The operation that refunds; the same at every retry by any daemon."""
    return RefundOperation(
        operation_id=refund_operation_id(refund),
        refund_id=refund.id,
        payment_id=payment.id,
        reference=payment.provider_reference or str(payment.id),
        aliases=payment.aliases,
        amount=refund.amount,
        asset=payment.asset,
        is_all=refund.amount == payment.confirmed,
        reason=refund.reason,
        destination=refund.destination,
        create_time=refund.create_time,
    )


def refund_ref(payment: Payment, refund: Refund) -> RefundRef:
    """Reference to a refund, to fetch it."""
    return RefundRef(
        operation_id=refund_operation_id(refund),
        refund_id=refund.id,
        reference=refund.provider_reference,
        payment_id=payment.id,
        payment_reference=payment.provider_reference or str(payment.id),
        aliases=payment.aliases,
        asset=payment.asset,
        amount=refund.amount,
        create_time=refund.create_time,
    )


def refund_operation_id(refund: Refund) -> str:
    """The idempotency key of a refund at the provider."""
    return f"payd:{refund.id}:refund:v1"
