"""Scan: read a provider's list of events from the cursor on, to find those without a webhook.

Scanned events are stored like webhooks and have the same ids, so an event that came both ways
counts once. Several daemons may scan; one at a time has the claim on a cursor.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

import attrs

from payd.ports import Cursor, Cursors, Inbox, ProviderPort, Providers
from payd.service.operation import unique_providers

#: Name of the cursor of a provider's events.
EVENTS = "events"


@attrs.frozen(kw_only=True)
class ScanStep:
    """One page to read, from `cursor` on; None is the start of the list."""

    provider: ProviderPort
    cursor: str | None


@attrs.define(kw_only=True)
class Scan:
    """Use case: read events that no webhook delivered."""

    inbox: Inbox
    cursors: Cursors
    providers: Providers
    #: Time between two scans, as it is now: a reload may change it.
    interval: Callable[[], timedelta] = lambda: timedelta(minutes=10)
    lease_s: float = 60.0
    #: The longest rest that a cursor may have; None until the first claim.
    _rest: timedelta | None = attrs.field(default=None, init=False)

    async def claim_batch(self) -> Sequence[ScanStep]:
        """Claim the cursors that are due; pass each step to `work`.

        Cursors that rest for a longer interval than the one in force are due earlier.
        """
        interval = self.interval()
        if self._rest is None or interval < self._rest:
            await self.cursors.shorten_rest(EVENTS, interval)
        self._rest = interval
        steps = []
        for provider in unique_providers(self.providers):
            if not provider.can_scan:
                continue
            claimed = await self.cursors.claim_cursor(provider.name, EVENTS, self.lease_s)
            if claimed is not None:
                steps.append(ScanStep(provider=provider, cursor=claimed[0]))
        return steps

    async def work(self, step: ScanStep) -> int:
        """Store one page with the new cursor; return how many events were new.

        Without an answer the claim stays until its lease ends.
        """
        page = await step.provider.scan(step.cursor)
        if page is None:
            return 0
        # A cursor that does not move would be read again and again without a pause.
        has_moved = page.cursor != step.cursor
        rest = timedelta(0) if page.more and has_moved else self.interval()
        cursor = Cursor(name=EVENTS, value=page.cursor, rest=rest)
        return await self.inbox.put(step.provider.name, page.events, cursor)
