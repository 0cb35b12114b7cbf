"""Scan: read what a provider's own list has since the cursor, for what webhooks did not tell.

What it brings goes the way of a webhook: the same ids, so that what came twice counts once.
Several daemons may run it; a cursor is claimed by one of them at a time.
"""

from collections.abc import Sequence
from datetime import timedelta

import attrs

from payd.ports import Cursor, Cursors, Inbox, ProviderPort, Providers
from payd.service.operation import unique_providers

#: The cursor's name.
EVENTS = "events"


@attrs.frozen(kw_only=True)
class ScanStep:
    """One step that this daemon may make."""

    provider: ProviderPort
    cursor: str | None


@attrs.frozen(kw_only=True)
class Scan:
    """Use case: catch up with the providers' events."""

    inbox: Inbox
    cursors: Cursors
    providers: Providers
    interval: timedelta = timedelta(minutes=10)
    lease_s: float = 60.0

    async def claim_batch(self) -> Sequence[ScanStep]:
        """Steps for this daemon to pass to `work`."""
        steps = []
        for provider in unique_providers(self.providers):
            if not provider.can_scan:
                continue
            claimed = await self.cursors.claim_cursor(provider.name, EVENTS, self.lease_s)
            if claimed is not None:
                steps.append(ScanStep(provider=provider, cursor=claimed[0]))
        return steps

    async def work(self, step: ScanStep) -> int:
        """Store one page; how many events were new. Without an answer the lease ends it."""
        page = await step.provider.scan(step.cursor)
        if page is None:
            return 0
        # A page that leads nowhere would be read again and again without a pause.
        has_moved = page.cursor != step.cursor
        rest = timedelta(0) if page.more and has_moved else self.interval
        cursor = Cursor(name=EVENTS, value=page.cursor, rest=rest)
        return await self.inbox.put(step.provider.name, page.events, cursor)
