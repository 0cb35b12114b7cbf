"""Histories on PostgreSQL: a few read-only statements, each by an index."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from payd.adapters.postgres.database import Database
from payd.adapters.postgres.replay import Base, trail_of
from payd.adapters.postgres.reports import readable
from payd.adapters.postgres.rows import Row, audit_row_of
from payd.domain.evidence import Observation, Receipt, ReceiptState
from payd.domain.history import StoredEvent, StoredReport
from payd.domain.payment import Payment
from payd.plugins.interface import ProviderEvent
from payd.ports import Trail

#: Audit rows that are read; what is older is put together by the database.
_ROWS_MAX = 1000


class PostgresHistories:
    """Implements the port Histories. It locks nothing, and sees what is committed."""

    def __init__(self, database: Database, rows_max: int = _ROWS_MAX) -> None:
        self._database = database
        self._rows_max = rows_max

    async def trail(self, payment_id: UUID, until: datetime, most: int) -> Trail | None:
        found = await self._database.fetch(
            "payment_trail", payment_id=payment_id, until=until, limit=self._rows_max
        )
        rows = [audit_row_of(row) for row in reversed(found)]
        if not rows:
            return None
        return trail_of(rows, await self._before(payment_id, rows[0].version), most)

    async def _before(self, payment_id: UUID, version: int) -> Base | None:
        if version == 1:
            return None
        row = await self._database.fetch_one(
            "payment_before", payment_id=payment_id, version=version
        )
        if row is None:
            raise AssertionError("a payment without its first audit row")
        return Base(
            row=json.loads(row["row"]),
            items=json.loads(row["items"]),
            refunds=json.loads(row["refunds"] or "{}"),
            disputes=json.loads(row["disputes"] or "{}"),
        )

    async def events(self, payment_id: UUID, until: datetime, most: int) -> Sequence[StoredEvent]:
        rows = await self._database.fetch(
            "payment_outbox", payment_id=payment_id, until=until, limit=most
        )
        return [StoredEvent(**row) for row in reversed(rows)]

    async def reports(
        self, ids: Collection[int]
    ) -> Mapping[int, tuple[StoredReport, ProviderEvent | None]]:
        rows = await self._database.fetch("inbox_reports", ids=list(ids))
        return {row["id"]: _report(row) for row in rows}

    async def later_reports(
        self, payment_id: UUID, until: datetime, most: int
    ) -> Sequence[StoredReport]:
        rows = await self._database.fetch(
            "later_reports", payment_id=payment_id, until=until, limit=most
        )
        return [StoredReport(**row) for row in rows]

    async def waiting_reports(
        self, provider: str, names: Collection[str], most: int
    ) -> Sequence[tuple[StoredReport, ProviderEvent | None]]:
        rows = await self._database.fetch(
            "waiting_reports", provider=provider, names=list(names), limit=most
        )
        found = [(row["is_event"], *_report(row)) for row in rows]
        # Nobody can say which payment an event names that cannot be read.
        return [(report, event) for is_event, report, event in found if event or not is_event]

    async def unmatched_receipts(
        self, payment: Payment, names: Collection[str], until: datetime, most: int
    ) -> Sequence[Receipt]:
        rows = await self._database.fetch(
            "receipts_for",
            provider=payment.provider,
            names=list(names),
            asset=payment.asset,
            missing=str(payment.due - payment.confirmed),
            since=payment.create_time,
            until=until,
            limit=most,
        )
        return [_receipt(row) for row in rows]


def _report(row: Row) -> tuple[StoredReport, ProviderEvent | None]:
    content = readable(row["report"])
    stored = StoredReport(
        id=row["id"],
        event_id=row["event_id"],
        receive_time=row["receive_time"],
        attempts=row["attempts"],
        retry_time=row["retry_time"],
        facts=(content.fact,) if isinstance(content, Observation) else (),
    )
    return stored, content if isinstance(content, ProviderEvent) else None


def _receipt(row: Row) -> Receipt:
    return Receipt(
        id=row["id"],
        asset=row["asset"],
        amount=int(row["amount"]),
        state=ReceiptState(row["state"]),
        time=row["time"],
        details=json.loads(row["details"]),
    )
