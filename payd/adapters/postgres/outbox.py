"""Outbox on PostgreSQL: rows are claimed by status; NOTIFY wakes the worker, polling backs it."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from payd.adapters.postgres.database import Database
from payd.adapters.wakeup import WakeUp
from payd.domain.published import EventSelection, PublishedPosition
from payd.ports import OutboxRow

#: Delay until a row that could not be published can be claimed again.
RETRY_IN = timedelta(seconds=1)
#: Before every event.
_FIRST_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class PostgresOutbox:
    """Implements the ports Outbox and PublishedEvents, and the query of the clean-up."""

    def __init__(self, database: Database, on_news: Callable[[], None] = lambda: None) -> None:
        """`on_news` is called when any daemon has written an event."""
        self._database = database
        self._on_news = on_news
        self._news = WakeUp()
        #: Whether the last claim may have left events that can be claimed when its own are marked.
        self.may_have_more = False

    async def claim(self, limit: int, lease_s: float) -> Sequence[OutboxRow]:
        """Claim with SKIP LOCKED, so that two daemons never wait for each other."""
        self._news.clear()
        rows = await self._database.fetch(
            "claim_outbox", limit=limit, lease=timedelta(seconds=lease_s)
        )
        self.may_have_more = len(rows) == limit or any(row["has_next"] for row in rows)
        return sorted(map(_outbox_row, rows), key=lambda row: row.id)

    async def mark_published(self, row_ids: Sequence[int]) -> None:
        await self._database.fetch("mark_published", row_ids=list(row_ids))

    async def release(self, errors: Mapping[int, str]) -> None:
        await self._database.fetch(
            "release_outbox",
            row_ids=list(errors),
            errors=list(errors.values()),
            retry_in=RETRY_IN,
        )

    async def depth(self) -> tuple[int, float]:
        row = await self._database.fetch_one("outbox_depth", now=self._database.clock.now())
        return (row["depth"], row["oldest_age_s"]) if row else (0, 0.0)

    async def wait(self, timeout_s: float) -> None:
        await self._news.wait(timeout_s)

    async def listen(self) -> None:
        """Wake `wait` on each NOTIFY; return when the session is lost.

        Raises StoreUnavailable if it cannot connect.
        """
        connection = await self._database.connect()
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def ended(_: object) -> None:
            if not lost.done():
                lost.set_result(None)

        connection.add_termination_listener(ended)
        try:
            await connection.add_listener("payd_outbox", self._on_notify)
            self._news.set()
            await lost
        finally:
            connection.terminate()

    async def published(
        self, wanted: EventSelection, after: PublishedPosition | None, limit: int
    ) -> Sequence[tuple[PublishedPosition, OutboxRow]]:
        page: dict[str, object] = {
            "after_time": after.publish_time if after else wanted.published_from or _FIRST_TIME,
            "after_id": after.id if after else 0,
            "limit": limit,
        }
        if wanted.event_id is not None:
            rows = await self._database.fetch("published_with_id", event_id=wanted.event_id)
        elif wanted.payment_id is not None:
            rows = await self._database.fetch(
                "published_of_payment", payment_id=wanted.payment_id, **page
            )
        else:
            rows = await self._database.fetch(
                "published_in_span", before_time=wanted.published_before, **page
            )
        return [
            (PublishedPosition(row["publish_time"], row["id"]), _outbox_row(row)) for row in rows
        ]

    async def delete_published(self, retention: timedelta, limit: int) -> int:
        """Delete at most `limit` rows published longer ago than `retention`; return how many."""
        row = await self._database.fetch_one("delete_published", retention=retention, limit=limit)
        return row["rows"] if row else 0

    def _on_notify(self, *_: Any) -> None:
        self._news.set()
        self._on_news()


def _outbox_row(row: asyncpg.Record) -> OutboxRow:
    previous = row["previous_event_id"]
    return OutboxRow(
        id=row["id"],
        event_id=UUID(int=row["event_id"].int),
        payment_id=UUID(int=row["payment_id"].int),
        subject=row["subject"],
        headers=json.loads(row["headers"]),
        body=row["body"],
        previous_event_id=previous and UUID(int=previous.int),
    )
