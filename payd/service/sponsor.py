"""Forward a wallet's transaction to the sponsor of the fee of a payment's transfer."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import attrs

from payd.domain.errors import PaymentNotFound, ProviderUnavailable, RateLimited
from payd.domain.next_action import CryptoTransfer
from payd.domain.payment import Payment, Status
from payd.plugins.sponsoring import SponsorRequest
from payd.ports import Clock, PaymentStore, Providers
from payd.service.operation import enabled_provider
from payd.service.show_receipts import token_of

_WAITING = (Status.PENDING, Status.PROCESSING)


@attrs.frozen(kw_only=True)
class SponsorTransfer:
    """Use case: let a sponsor pay the fee of a customer's transfer."""

    store: PaymentStore
    providers: Providers
    clock: Clock
    #: Seconds that a request has to wait because of those of all payments; 0 admits it.
    wait_of_all: Callable[[], Awaitable[float]]

    async def forward(self, payment_id: UUID, body: bytes) -> bytes:
        """Return the response for the wallet, as JSON.

        Raises PaymentNotFound, also for a payment whose fee nobody sponsors, RateLimited,
        ProviderUnavailable and StoreUnavailable.
        """
        payment = await self.store.get(payment_id)
        if payment is None or not isinstance(payment.next_action, CryptoTransfer):
            raise PaymentNotFound("no payment asks for a transfer here")
        registered = self.providers.by_method(payment.method)
        token = token_of(payment, registered.method) if registered else None
        if token is None or not token.is_sponsored:
            raise PaymentNotFound("nobody pays the fee of this payment's transfer")
        left = self._left(payment, payment.next_action)
        # Requests for payments that wait for nothing, such as old ones, use up no permits.
        if left > 0 and (wait_s := await self.wait_of_all()) > 0:
            raise RateLimited("too many ask for a sponsor", retry_after_s=wait_s)
        provider = enabled_provider(self.providers, payment)
        request = SponsorRequest(
            payment_id=payment_id,
            action=payment.next_action,
            left=left,
            expire_time=payment.expire_time,
            body=body,
        )
        answer = await provider.sponsor(request)
        if answer is None:
            raise ProviderUnavailable(
                "nobody can be asked to pay the fee now", retry_after_s=1.0, provider=provider.name
            )
        return answer

    def _left(self, payment: Payment, action: CryptoTransfer) -> int:
        is_waiting = payment.status in _WAITING and self.clock.now() < payment.expire_time
        return max(0, action.amount_base_units - payment.received) if is_waiting else 0
