"""Inbox on PostgreSQL: observations are stored, then claimed by one worker at a time."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import timedelta

from payd.adapters.columns import dumps
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.rows import observation_json, observation_of
from payd.domain.evidence import Observation
from payd.ports import InboxRow


class PostgresInbox:
    """The port Inbox. What this daemon stores wakes its own worker; others find it by polling."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._news = asyncio.Event()

    async def put(self, provider: str, observations: Sequence[Observation]) -> int:
        """See the port."""
        rows = await self._database.fetch(
            "put_observations",
            provider=provider,
            observations=dumps([_record(observation) for observation in observations]),
        )
        if rows:
            self._news.set()
        return len(rows)

    async def claim(self, limit: int, lease_s: float) -> Sequence[InboxRow]:
        """See the port."""
        self._news.clear()
        rows = await self._database.fetch(
            "claim_inbox", limit=limit, lease=timedelta(seconds=lease_s)
        )
        claimed = [
            InboxRow(
                id=row["id"],
                provider=row["provider"],
                observation=observation_of(row["observation"]),
                attempts=row["attempts"],
                receive_time=row["receive_time"],
                conflicting=row["conflicting"],
            )
            for row in rows
        ]
        return sorted(claimed, key=lambda row: row.id)

    async def finish(self, row_id: int, outcome: str) -> None:
        """See the port."""
        await self._database.fetch("finish_inbox", row_id=row_id, outcome=outcome)

    async def park(self, row_id: int, retry_in_s: float) -> None:
        """See the port."""
        await self._database.fetch(
            "park_inbox", row_id=row_id, retry_in=timedelta(seconds=retry_in_s)
        )

    async def depth(self) -> int:
        """How many rows wait to be settled."""
        row = await self._database.fetch_one("inbox_depth")
        return row["depth"] if row else 0

    async def wait(self, timeout_s: float) -> None:
        """See the port."""
        await _wait(self._news, timeout_s)


def _record(observation: Observation) -> dict[str, object]:
    content = observation_json(observation)
    return {
        "event_id": observation.id,
        "content_hash": hashlib.sha256(dumps(content).encode()).digest(),
        "observation": content,
    }


async def _wait(news: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(news.wait(), timeout_s)
    except TimeoutError:
        return
