"""Acme with a watch that polls its list of events, for tests of the kit."""

from collections.abc import Mapping
from typing import Any

import trio
from acme_provider import charges
from acme_provider.provider import AcmeProvider

from payd.plugins import Observation, Sink

__all__ = ["Polling", "report"]


class Polling(AcmeProvider):
    """Reports each charge as it stood at the end of a page of events."""

    async def watch(self, sink: Sink, *, task_status: trio.TaskStatus[None]) -> None:
        cursor = await sink.cursor() or "0"
        task_status.started()
        while True:
            cursor = await self.look(sink, cursor)
            await trio.sleep(0.1)

    async def look(self, sink: Sink, cursor: str) -> str:
        """Report what is new after the cursor; return the next one."""
        reports, cursor = await self.read(cursor)
        await sink.put(reports, cursor=cursor)
        return cursor

    async def read(self, cursor: str) -> tuple[list[Observation], str]:
        """Read a page of events, as reports, and the next cursor."""
        page = await self._api.get("/events", after=cursor, limit="100")
        assert page is not None
        return [report(received) for received in page["events"]], str(page["cursor"])


def report(received: Mapping[str, Any]) -> Observation:
    charge = received["charge"]
    return Observation(
        id=received["id"], reference=charge["payment_id"], fact=charges.snapshot(charge)
    )
