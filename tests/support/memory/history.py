"""Stored histories in memory: the audit trail of the store, its inbox, outbox and ledger."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import attrs

from payd.adapters.postgres.replay import trail_of
from payd.domain.evidence import Observation, Receipt
from payd.domain.history import StoredEvent, StoredReport
from payd.domain.payment import Payment
from payd.plugins.interface import ProviderEvent
from payd.ports import InboxRow, Trail, Unreadable
from support.memory.ledger import UNMATCHED
from support.memory.queue import Held
from support.memory.store import MemoryStore


class MemoryHistories:
    """Implements the port Histories over a store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def trail(self, payment_id: UUID, until: datetime, most: int) -> Trail | None:
        rows = [*await self._store.audit_trail(payment_id)]
        while rows and rows[-1].create_time > until:
            rows.pop()
        return trail_of(rows, None, most) if rows else None

    async def events(self, payment_id: UUID, until: datetime, most: int) -> Sequence[StoredEvent]:
        found = [
            StoredEvent(
                event_id=held.row.event_id,
                subject=held.row.subject,
                about=self._store.outbox.abouts[held.row.event_id],
                create_time=held.create_time,
                publish_time=held.settle_time
                if held.settle_time is not None and held.settle_time <= until
                else None,
                last_error=held.error,
            )
            for held in self._store.outbox.rows.values()
            if held.row.payment_id == payment_id and held.create_time <= until
        ]
        return found[-most:]

    async def reports(
        self, ids: Collection[int]
    ) -> Mapping[int, tuple[StoredReport, ProviderEvent | None]]:
        rows = self._store.inbox.rows
        return {
            row_id: (attrs.evolve(_report(rows[row_id]), retry_time=None), _event(rows[row_id]))
            for row_id in ids
            if row_id in rows
        }

    async def later_reports(
        self, payment_id: UUID, until: datetime, most: int
    ) -> Sequence[StoredReport]:
        trail = await self._store.audit_trail(payment_id)
        later = [row for row in trail if row.create_time > until][:most]
        ids = [row_id for row in later for row_id in row.details.get("reports", ())]
        found = [_report(self._store.inbox.rows[row_id]) for row_id in sorted(ids)]
        return [
            StoredReport(id=one.id, event_id=one.event_id, receive_time=one.receive_time)
            for one in found
            if one.receive_time <= until
        ]

    async def waiting_reports(
        self, provider: str, names: Collection[str], most: int
    ) -> Sequence[tuple[StoredReport, ProviderEvent | None]]:
        found: list[tuple[StoredReport, ProviderEvent | None]] = []
        for held in self._store.inbox.open_rows():
            report = held.row.report
            if held.row.provider != provider:
                continue
            if isinstance(report, ProviderEvent):
                found.append((_report(held), report))
            elif isinstance(report, Observation) and {report.reference, report.also} & {*names}:
                found.append((_report(held), None))
        return found[:most]

    async def unmatched_receipts(
        self, payment: Payment, names: Collection[str], until: datetime, most: int
    ) -> Sequence[Receipt]:
        missing = payment.due - payment.confirmed
        found = [
            one.receipt
            for one in await self._store.ledger.newest(UNMATCHED, None, 1000)
            if one.provider == payment.provider
            and payment.create_time <= one.receipt.time <= until
            and (
                one.reference in names
                or one.receipt.details.get("likely_payment") in names
                or (payment.is_asset(one.receipt.asset) and one.receipt.amount == missing)
            )
        ]
        return found[:most]


def _event(held: Held[InboxRow]) -> ProviderEvent | None:
    report = held.row.report
    return report if isinstance(report, ProviderEvent) else None


def _report(held: Held[InboxRow]) -> StoredReport:
    row = held.row
    assert not isinstance(row.report, Unreadable)
    return StoredReport(
        id=row.id,
        event_id=row.report.id,
        receive_time=row.receive_time,
        attempts=held.attempts,
        retry_time=held.locked_until if held.attempts else None,
        facts=(row.report.fact,) if isinstance(row.report, Observation) else (),
    )
