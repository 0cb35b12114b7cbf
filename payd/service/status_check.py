"""When no evidence of a payment is on its way, believe a look at a provider that cannot close.

A look at such a provider says how far the provider has read, not what it read: that comes by
receipts, through the inbox. If the look were believed while one of them waits there, a payment that
was paid in time would end unpaid. A provider's own event waits there untranslated, so it is
translated here to see what it names; one that cannot be translated keeps no payment open.
"""

from collections.abc import Set

import attrs

from payd.domain.payment import Origin, Payment
from payd.plugins.interface import Cancel, ProviderEvent
from payd.ports import Answer, Inbox, ProviderPort
from payd.ports.provider import Untranslatable
from payd.service.settle import Settle

_PAGE = 500


@attrs.frozen(kw_only=True)
class StatusCheck:
    """The step that recovery and cancelling share."""

    settle: Settle
    inbox: Inbox

    async def apply(
        self, payment: Payment, provider: ProviderPort, answer: Answer, origin: Origin
    ) -> Payment:
        """The payment after the answer to a look; as it was while evidence of it is waiting.

        The inbox is asked after the look was taken: the look does not cover what came later.
        """
        if provider.capabilities.cancel is Cancel.NOT_CLOSABLE:
            names = {payment.provider_reference or "", str(payment.id), *payment.aliases} - {""}
            if await self._is_named_in_inbox(names, provider):
                return payment
        return await self.settle.settle_all(payment, answer.evidence, origin)

    async def _is_named_in_inbox(self, names: Set[str], provider: ProviderPort) -> bool:
        if await self.inbox.is_waiting(provider.name, sorted(names)):
            return True
        after_id = 0
        while page := await self.inbox.waiting_events(provider.name, after_id, _PAGE):
            if any(names & _named_by(event, provider) for _, event in page):
                return True
            after_id, _ = page[-1]
        return False


def _named_by(event: ProviderEvent, provider: ProviderPort) -> Set[str]:
    """The references in a provider's own event."""
    try:
        return {observation.reference for observation in provider.translate(event)}
    except Untranslatable:
        return frozenset()
