"""A look at a provider that cannot close: what it shows counts once nothing else is on its way in.

Such a look says how far the provider has seen, not what it saw: that comes by receipts, through
the inbox. Were it believed while one of them waits there, a payment that was paid in time would
end unpaid.
"""

import attrs

from payd.domain.payment import Origin, Payment
from payd.plugins.interface import Cancel
from payd.ports import Answer, Inbox, ProviderPort
from payd.service.settle import Settle


@attrs.frozen(kw_only=True)
class Look:
    """The step that recovery and cancelling share."""

    settle: Settle
    inbox: Inbox

    async def believe(
        self, payment: Payment, provider: ProviderPort, answer: Answer, origin: Origin
    ) -> Payment:
        """The payment after the answer to a look; as it was while evidence of it is waiting.

        The inbox is asked after the look was taken: what came in later, the look does not cover.
        """
        if provider.capabilities.cancel is Cancel.NOT_CLOSABLE:
            names = [name for name in (payment.provider_reference, str(payment.id)) if name]
            if await self.inbox.is_waiting(payment.provider, names):
                return payment
        return await self.settle.settle_all(payment, answer.evidence, origin)
