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
class Accepted:
    """An authentic webhook: how many events it has, and how many of them were new."""

    events: int
    new: int


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

    async def accept_webhook(
        self, provider: str, request: WebhookRequest, traceparent: str = ""
    ) -> Accepted:
        """Verify a webhook and store its events durably, all or none, with its span.

        Raises WebhookUnknown, WebhookRefused, ProviderUnavailable and StoreUnavailable.
        """
        port = self.providers.by_name(provider)
        if port is None:
            raise WebhookUnknown(
                f"no enabled provider is named {provider!r}: check the webhook's URL"
            )
        events = port.verify(request, self.clock.now())
        if not events:
            return Accepted(events=0, new=0)
        self.crash.reach("intake.before_inbox")
        new = await self.inbox.put_webhook(provider, events, request.body, traceparent)
        self.crash.reach("intake.after_inbox")
        return Accepted(events=len(events), new=new)
