"""Providers whose watch is broken on purpose, one for each check of faults and of its progress."""

import contextlib
from datetime import datetime
from typing import Any

from integration.kit.broken import fails
from integration.kit.broken_books import BROKEN
from integration.kit.instant_watch import WatchedInstant, open_watched

from payd.plugins import (
    Misconfigured,
    PaymentRef,
    ProviderError,
    ProviderEvent,
    RateLimited,
    Sink,
)

__all__ = ["BROKEN"]


@fails("a write that fails at any moment loses nothing", remote=open_watched)
class StoresTheCursorFirst(WatchedInstant):
    async def look(self, sink: Sink, cursor: str) -> None:
        reports, after = await self.read(cursor)
        if reports:
            await sink.put([], cursor=after)
            await sink.put(reports)


def skipping(refused: type[ProviderError]) -> type:
    """A provider whose watch goes on behind a page that it could not read."""

    class Skipping(WatchedInstant):
        async def look(self, sink: Sink, cursor: str) -> None:
            try:
                await super().look(sink, cursor)
            except refused:
                number, _, time = cursor.partition(" ")
                await sink.put([], cursor=f"{int(number) + 1} {time}")

    return Skipping


fails("a fault in the watch loses nothing", remote=open_watched)(skipping(ProviderError))
fails("a forbidden watch loses nothing", remote=open_watched)(skipping(Misconfigured))


@fails("a watch waits as long as the remote side asks", remote=open_watched)
class AsksOnAndOn(WatchedInstant):
    async def look(self, sink: Sink, cursor: str) -> None:
        with contextlib.suppress(RateLimited):
            await super().look(sink, cursor)


@fails("money that vanishes is dropped", remote=open_watched)
class NeverDrops(WatchedInstant):
    def translate(self, event: ProviderEvent) -> Any:
        payments = event.content.get("payments", ())
        return [] if any(one["state"] == "gone" for one in payments) else super().translate(event)


@fails("fetch knows no more than the watch has read", remote=open_watched)
class HasReadUntilNow(WatchedInstant):
    async def read_until(self, ref: PaymentRef) -> datetime:
        return self.context.clock.now()


@fails("fetch knows no more than the watch has read", remote=open_watched)
class HasReadNothing(WatchedInstant):
    async def read_until(self, ref: PaymentRef) -> datetime:
        return ref.create_time
