"""Inbox and cursors in memory."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

import attrs

from payd.domain.evidence import Observation, Outflow
from payd.plugins.context import Clock
from payd.plugins.interface import ProviderEvent
from payd.ports import Cursor, InboxRow, Lease, LeaseLost, Report, Unreadable
from support.memory.ledger import MemoryLedger
from support.memory.queue import FREE, Held, Queue


@attrs.define(kw_only=True)
class _HeldCursor:
    """The value of a cursor, and the time from which it can be claimed."""

    value: str | None = None
    next_time: datetime = FREE


class MemoryInbox(Queue[InboxRow]):
    """Implements the ports Inbox and Cursors. A commit of the store settles rows, too."""

    def __init__(self, clock: Clock, ledger: MemoryLedger) -> None:
        super().__init__(clock)
        self._ledger = ledger
        self._cursors: defaultdict[tuple[str, str], _HeldCursor] = defaultdict(_HeldCursor)

    async def put(
        self,
        provider: str,
        reports: Sequence[Report],
        cursor: Cursor | None = None,
        *,
        outflows: Sequence[Outflow] = (),
        lease: Lease | None = None,
    ) -> int:
        if lease is not None and self._ledger.fences.get(lease.name) != lease.fence:
            raise LeaseLost("another daemon has taken over the lease")
        if cursor is not None:
            held = self._cursors[provider, cursor.name]
            held.value, held.next_time = cursor.value, self.clock.now() + cursor.rest
            self._ledger.cursors[provider, cursor.name] = cursor.value
        self._ledger.record(provider, reports, outflows)
        return sum(self._put(provider, report) for report in _by_id(reports))

    async def is_waiting(self, provider: str, references: Sequence[str]) -> bool:
        return any(
            held.row.provider == provider and _names(held.row.report) & {*references}
            for held in self.open_rows()
            if isinstance(held.row.report, Observation)
        )

    async def waiting_events(
        self, provider: str, after_id: int, limit: int
    ) -> Sequence[tuple[int, ProviderEvent]]:
        events = (
            (held.row.id, held.row.report)
            for held in self.open_rows()
            if held.row.provider == provider
            and held.row.id > after_id
            and isinstance(held.row.report, ProviderEvent)
        )
        return list(islice(events, limit))

    async def read_cursor(self, provider: str, name: str) -> str | None:
        return self._cursors[provider, name].value

    async def put_webhook(
        self,
        provider: str,
        events: Sequence[ProviderEvent],
        raw_body: bytes,
        traceparent: str = "",
    ) -> int:
        """Store the events; the body is not kept."""
        return sum(self._put(provider, event, traceparent) for event in _by_id(events))

    async def claim_cursor(
        self, provider: str, name: str, lease_s: float
    ) -> tuple[str | None] | None:
        held, now = self._cursors[provider, name], self.clock.now()
        if held.next_time > now:
            return None
        held.next_time = now + timedelta(seconds=lease_s)
        return (held.value,)

    async def shorten_rest(self, name: str, rest: timedelta) -> None:
        latest = self.clock.now() + rest
        for (_, held_name), held in self._cursors.items():
            if held_name == name:
                held.next_time = min(held.next_time, latest)

    async def claim(self, limit: int, lease_s: float) -> Sequence[InboxRow]:
        waiting = {held.row.provider for held in self.open_rows()}
        share = max(1, limit // max(1, len(waiting)))
        chosen: list[Held[InboxRow]] = []
        for provider in sorted(waiting):
            of_provider = (held for held in self.claimable() if held.row.provider == provider)
            chosen += islice(of_provider, share)
        leased = self.lease(sorted(chosen, key=lambda held: held.row.id), lease_s)
        return [attrs.evolve(held.row, attempts=held.attempts) for held in leased]

    async def finish(self, outcomes: Mapping[int, str]) -> None:
        for row_id, outcome in outcomes.items():
            self.settle([row_id], outcome)

    async def park(self, retry_in_s: Mapping[int, float]) -> None:
        for row_id, seconds in retry_in_s.items():
            self.put_back([row_id], seconds)

    def _put(self, provider: str, report: Report, traceparent: str = "") -> bool:
        known = [
            held.row.report
            for held in self.rows.values()
            if not isinstance(held.row.report, Unreadable)
            and (held.row.provider, held.row.report.id) == (provider, report.id)
        ]
        if report in known:
            return False
        row = InboxRow(
            id=self.new_id(),
            provider=provider,
            report=report,
            attempts=0,
            receive_time=self.clock.now(),
            conflicting=bool(known),
            traceparent=traceparent,
        )
        self.add(row)
        return True


def _by_id(reports: Iterable[Report]) -> Sequence[Report]:
    """In the order in which PostgreSQL numbers the reports of one call."""
    return sorted(reports, key=lambda report: report.id)


def _names(report: Observation) -> set[str]:
    """Its names of a payment; the second one only if there is one."""
    return {report.reference, *filter(None, (report.also,))}
