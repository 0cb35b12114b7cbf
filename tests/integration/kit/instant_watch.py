"""Instant transfers that only a watch reports; `fetch` says how far it has read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import attrs
import trio
from integration.kit.instant_transfers import InstantProvider, InstantRemote, open_instant

from payd.plugins import Observation, PaymentRef, ProviderEvent, ProviderStatus, ReceiptState, Sink
from payd.plugins.testing import BenchClock, Remote

__all__ = ["WatchedInstant", "open_watched"]


class WatchedInstant(InstantProvider):
    """Its cursor is the number of the newest event that was read, and its time."""

    context: Any

    async def watch(self, sink: Sink, *, task_status: trio.TaskStatus[None]) -> None:
        """Report what every event says."""
        task_status.started()
        while True:
            await self.look(sink, await sink.cursor() or "0 ")
            await trio.sleep(0.05)

    async def look(self, sink: Sink, cursor: str) -> None:
        """Report what is new after the cursor."""
        reports, after = await self.read(cursor)
        if reports:
            await sink.put(reports, cursor=after)

    async def read(self, cursor: str) -> tuple[list[Observation], str]:
        """Read the events after the cursor, as reports, and the next cursor."""
        number, _, time = cursor.partition(" ")
        page = await self.scan(number)
        reports = [one for event in page.events for one in self.translate(event)]
        times = [event.content["sent_time"] for event in page.events]
        return reports, f"{page.cursor} {[time, *times][-1]}"

    def receipt(self, one: Any, event: ProviderEvent) -> Any:
        """The receipt of a payment, which may have vanished."""
        if one["state"] != "gone":
            return super().receipt(one, event)
        seen = super().receipt({**one, "state": "seen"}, event)
        return attrs.evolve(seen, state=ReceiptState.DROPPED)

    async def fetch(self, ref: PaymentRef) -> Any:
        """Say how far the watch has read."""
        found: Any = await super().fetch(ref)
        as_of = await self.read_until(ref)
        unpaid = attrs.evolve(
            found.snapshot, status=ProviderStatus.OPEN, received=0, confirmed=0, as_of=as_of
        )
        return attrs.evolve(found, snapshot=unpaid)

    async def read_until(self, ref: PaymentRef) -> datetime:
        """The time up to which the watch has read."""
        _, _, time = (await self.context.read_cursor() or "").partition(" ")
        return max(datetime.fromisoformat(time), ref.create_time) if time else ref.create_time


class WatchedRemote(InstantRemote):
    """What was seen may vanish."""

    needs_watch = True

    async def take_back(self, ref: PaymentRef) -> None:
        """Say that the payment will not come."""
        self._acme.receive([{**self._seen, "state": "gone"}])


@asynccontextmanager
async def open_watched(clock: BenchClock) -> AsyncIterator[Remote]:
    """Start a fake API on a free port, with the kit's clock."""
    async with open_instant(clock) as usual:
        yield WatchedRemote(usual._acme)  # type: ignore[attr-defined]  # that of the fake
