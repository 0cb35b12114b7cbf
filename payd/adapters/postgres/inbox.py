"""Inbox on PostgreSQL: stores reports, and gives each to one worker at a time."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from payd.adapters.columns import Json, dumps, outflow_rows, receipt_rows
from payd.adapters.postgres.batch import Batcher
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.reports import readable, report_json
from payd.adapters.wakeup import WakeUp
from payd.domain.evidence import Observation, Outflow, Receipt
from payd.plugins.interface import ProviderEvent
from payd.ports import Cursor, InboxRow, Lease, LeaseLost, Report

_NO_REST = timedelta(0)


class PostgresInbox:
    """Implements the ports Inbox and Cursors.

    A stored report wakes the worker of this daemon; other daemons find it by polling. Webhooks that
    arrive at the same time share one statement.
    """

    def __init__(
        self,
        database: Database,
        observe_batch: Callable[[str, int], None] = lambda statement, size: None,
    ) -> None:
        self._database = database
        self._news = WakeUp()
        #: Whether the last claim may have left rows: it took a provider's whole share.
        self.may_have_more = False
        self._webhooks: Batcher[list[Json], int] = Batcher(
            self._put_webhooks,
            keys=lambda records: [(one["provider"], one["event_id"]) for one in records],
            observe=lambda size: observe_batch("put_events", size),
        )

    async def put(
        self,
        provider: str,
        reports: Sequence[Report],
        cursor: Cursor | None = None,
        *,
        outflows: Sequence[Outflow] = (),
        lease: Lease | None = None,
    ) -> int:
        """Write in one statement, which locks the lease's row against its next holder."""
        row = await self._database.fetch_one(
            "put_reports",
            provider=provider,
            now=self._database.clock.now(),
            reports=dumps([_record(provider, report) for report in reports]),
            receipts=dumps(_receipts(reports)),
            outflows=dumps(outflow_rows(outflows)),
            cursor_name=cursor and cursor.name,
            cursor=cursor and cursor.value,
            rest=cursor.rest if cursor else _NO_REST,
            lease=lease and lease.name,
            fence=lease and lease.fence,
        )
        if row is None or not row["is_allowed"]:
            raise LeaseLost("another daemon has taken over the lease")
        if row["new"]:
            self._news.set()
        return int(row["new"])

    async def put_webhook(
        self,
        provider: str,
        events: Sequence[ProviderEvent],
        raw_body: bytes,
        traceparent: str = "",
    ) -> int:
        """Store the events in one statement, together with other webhooks that wait for it."""
        span = {"traceparent": traceparent}
        first, *rest = (_record(provider, event) | span for event in events)
        return await self._webhooks.submit([first | {"raw_body": raw_body}, *rest])

    async def drain(self) -> None:
        """Wait until every webhook is written; call this before the database closes."""
        await self._webhooks.drain()

    async def _put_webhooks(self, webhooks: Sequence[list[Json]]) -> Sequence[int]:
        records = [record for webhook in webhooks for record in webhook]
        rows = await self._database.fetch(
            "put_events", reports=dumps(records), now=self._database.clock.now()
        )
        if rows:
            self._news.set()
        new = {(row["provider"], row["event_id"]) for row in rows}
        return [sum((one["provider"], one["event_id"]) in new for one in w) for w in webhooks]

    async def is_waiting(self, provider: str, references: Sequence[str]) -> bool:
        row = await self._database.fetch_one(
            "is_waiting", provider=provider, references=list(references)
        )
        return bool(row and row["waits"])

    async def waiting_events(
        self, provider: str, after_id: int, limit: int
    ) -> Sequence[tuple[int, ProviderEvent]]:
        rows = await self._database.fetch(
            "waiting_events", provider=provider, after_id=after_id, limit=limit
        )
        reports = [(row["id"], readable(row["report"])) for row in rows]
        return [(row_id, event) for row_id, event in reports if isinstance(event, ProviderEvent)]

    async def read_cursor(self, provider: str, name: str) -> str | None:
        row = await self._database.fetch_one("read_cursor", provider=provider, cursor_name=name)
        return row["value"] if row else None

    async def claim_cursor(
        self, provider: str, name: str, lease_s: float
    ) -> tuple[str | None] | None:
        """Move the time of the next read, which is the claim's lease, if it has come."""
        row = await self._database.fetch_one(
            "claim_cursor",
            provider=provider,
            cursor_name=name,
            lease=timedelta(seconds=lease_s),
        )
        return (row["value"],) if row else None

    async def shorten_rest(self, name: str, rest: timedelta) -> None:
        """Move the time of the next read forward where it is later."""
        await self._database.fetch("shorten_rest", cursor_name=name, rest=rest)

    async def pass_rests(self, span: timedelta) -> None:
        """Let the rest of every cursor end earlier by `span`, for a clock that was moved."""
        await self._database.fetch("pass_rests", span=span)

    async def forget_raw_bodies(self, retention: timedelta, limit: int) -> int:
        """Delete bodies of at most `limit` webhooks older than `retention`; return how many."""
        row = await self._database.fetch_one("forget_raw_bodies", retention=retention, limit=limit)
        return row["rows"] if row else 0

    async def claim(self, limit: int, lease_s: float) -> Sequence[InboxRow]:
        """Claim with SKIP LOCKED, so that two workers never wait for each other."""
        self._news.clear()
        rows = await self._database.fetch(
            "claim_inbox", limit=limit, lease=timedelta(seconds=lease_s)
        )
        taken = Counter(row["provider"] for row in rows)
        self.may_have_more = any(taken[row["provider"]] >= row["share"] for row in rows)
        claimed = [
            InboxRow(
                id=row["id"],
                provider=row["provider"],
                report=readable(row["report"]),
                attempts=row["attempts"],
                receive_time=row["receive_time"],
                conflicting=row["conflicting"],
                traceparent=row["traceparent"],
            )
            for row in rows
        ]
        return sorted(claimed, key=lambda row: row.id)

    async def finish(self, outcomes: Mapping[int, str]) -> None:
        await self._database.fetch(
            "finish_inbox", row_ids=list(outcomes), outcomes=list(outcomes.values())
        )

    async def park(self, retry_in_s: Mapping[int, float]) -> None:
        await self._database.fetch(
            "park_inbox",
            row_ids=list(retry_in_s),
            retry_in=[timedelta(seconds=seconds) for seconds in retry_in_s.values()],
        )

    async def depth(self) -> int:
        """Number of rows that wait to be settled."""
        row = await self._database.fetch_one("inbox_depth")
        return row["depth"] if row else 0

    async def wait(self, timeout_s: float) -> None:
        await self._news.wait(timeout_s)


def _record(provider: str, report: Report) -> Json:
    content = report_json(report)
    return {
        "provider": provider,
        "event_id": report.id,
        "content_hash": hashlib.sha256(dumps(content, sort_keys=True).encode()).digest(),
        "report": content,
    }


def _receipts(reports: Sequence[Report]) -> list[Json]:
    """The ledger's rows for the receipts in observations: one row each, in the most final state."""
    rows: dict[str, tuple[Receipt, Json]] = {}
    for report in reports:
        if isinstance(report, Observation) and isinstance(report.fact, tuple):
            for receipt, row in zip(report.fact, receipt_rows(report.fact), strict=True):
                if receipt.id not in rows or receipt.outranks(rows[receipt.id][0]):
                    rows[receipt.id] = receipt, row | {"reference": report.reference}
    return [row for _, row in rows.values()]
