"""Apply the answer of a status check, unless other evidence of the payment waits in the inbox.

This matters for providers that cannot close a payment, such as a chain. Their answer says how far
they have read, but the money itself arrives as receipts through the inbox. If the answer were
applied while a receipt waits there, a payment that was paid in time would expire. Events wait in
the inbox untranslated, so they are translated here to see which payment they name. An event that
cannot be translated does not keep a payment open.
"""

from collections.abc import Set

import attrs

from payd.domain.payment import Origin, Payment
from payd.plugins.capabilities import Cancel
from payd.plugins.interface import ProviderEvent
from payd.ports import Answer, Inbox, ProviderPort
from payd.ports.provider import Untranslatable
from payd.service.settle import Settle

_PAGE = 500


@attrs.frozen(kw_only=True)
class StatusCheck:
    """Apply the answer of a status check; recovery and cancellation share this step."""

    settle: Settle
    inbox: Inbox

    async def apply(
        self, payment: Payment, provider: ProviderPort, answer: Answer, origin: Origin
    ) -> Payment:
        """Settle the answer; return the payment unchanged while other evidence of it waits.

        The inbox is read after the provider answered, since an answer covers only what the
        provider had read by then.
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
    """References that an event names; none if it cannot be translated."""
    try:
        reports = provider.translate(event)
        return {name for one in reports for name in (one.reference, one.also) if name}
    except Untranslatable:
        return frozenset()
