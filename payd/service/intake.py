"""Take reports in: store each one durably, before anything is decided on it.

`service/reports.py` settles them afterwards.
"""

from collections.abc import Sequence

import attrs

from payd.domain.errors import WebhookUnknown
from payd.domain.evidence import Observation, Outflow
from payd.plugins.interface import WebhookRequest
from payd.ports import Clock, CrashPoints, Cursor, Inbox, Lease, Providers


@attrs.frozen(kw_only=True)
class Intake:
    """Use case: store reports of providers."""

    inbox: Inbox
    providers: Providers
    clock: Clock
    crash: CrashPoints

    async def accept(
        self,
        provider: str,
        observations: Sequence[Observation],
        cursor: Cursor | None = None,
        *,
        outflows: Sequence[Outflow] = (),
        lease: Lease | None = None,
    ) -> int:
        """Store reports in one transaction, with the cursor; return how many were new.

        They are durable when this returns. Raises LeaseLost and StoreUnavailable.
        """
        self.crash.reach("intake.before_inbox")
        new = await self.inbox.put(provider, observations, cursor, outflows=outflows, lease=lease)
        self.crash.reach("intake.after_inbox")
        return new

    async def accept_webhook(self, provider: str, request: WebhookRequest) -> bool:
        """Verify a webhook and store its event durably; return whether it was new.

        Raises WebhookUnknown, WebhookRefused, ProviderUnavailable and StoreUnavailable.
        """
        port = self.providers.by_name(provider)
        if port is None:
            raise WebhookUnknown(
                f"no enabled provider is named {provider!r}: check the webhook's URL"
            )
        event = port.verify(request, self.clock.now())
        self.crash.reach("intake.before_inbox")
        new = await self.inbox.put_webhook(provider, event, request.body)
        self.crash.reach("intake.after_inbox")
        return new
