"""SyncPayment: ask the provider about a payment now, by the steps that recovery takes.

Repeated calls must not become a flood of requests to the provider: a payment is asked about at most
once in a few seconds, whatever the number of daemons. The time stands on the payment's row, outside
its versions. Recovery may ask at the same time: each answer is settled as evidence, and the same
answer twice changes nothing.
"""

from datetime import timedelta
from uuid import UUID

import attrs

from payd.domain.payment import Origin, Payment
from payd.domain.refund import RefundStatus
from payd.domain.refunds import refund_of
from payd.service.operation import enabled_provider, payment_ref
from payd.service.recover import Recover
from payd.service.recover_refunds import RecoverRefunds

#: A payment is asked about at most once in so long.
SYNC_REST = timedelta(seconds=5)

_ASKED_ABOUT = (RefundStatus.CREATING, RefundStatus.PENDING)


@attrs.frozen(kw_only=True)
class SyncPayment:
    """Use case: ask the provider about a payment now."""

    recover: Recover
    recover_refunds: RecoverRefunds

    async def sync(self, payment_id: UUID, origin: Origin) -> Payment:
        """Return the payment with what the provider says now, also about its open refunds.

        Within SYNC_REST, and when the provider does not answer, it is the payment as it stands.
        Raises PaymentNotFound and ProviderUnavailable.
        """
        payment = await self.recover.settle.newest(payment_id)
        enabled_provider(self.recover.providers, payment)
        now = self.recover.clock.now()
        if not await self.recover.store.claim_sync(payment_id, now, SYNC_REST):
            return payment
        payment = await self._look(payment, origin)
        for refund in payment.refunds:
            current = refund_of(payment, refund.id)
            if current.status in _ASKED_ABOUT:
                payment = await self.recover_refunds.look(payment, current, origin)
        return payment

    async def _look(self, payment: Payment, origin: Origin) -> Payment:
        """Recovery leaves closed payments alone; late money and disputes may be reported there."""
        if payment.status.is_open or payment.provider_reference is None:
            payment, _ = await self.recover.look(payment, origin)
            return payment
        provider = enabled_provider(self.recover.providers, payment)
        answer = await provider.fetch(payment_ref(payment))
        return await self.recover.status_check.apply(payment, provider, answer, origin)
