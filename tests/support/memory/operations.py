"""What operators look at, in memory: dead letters, sums and a daemon's state."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, timedelta
from uuid import UUID

import attrs

from payd.domain.attention import Attention
from payd.domain.money import Money
from payd.domain.overview import (
    Backlog,
    DailySum,
    Health,
    HealthCheck,
    LoopHealth,
    OpenAttention,
    TrailState,
)
from payd.domain.payment import Payment, Status
from payd.domain.published import DeadLetter, DeadLetters
from payd.domain.running import Running
from payd.domain.stored_rows import ROWS_MAX, StoredTable
from support.memory.store import MemoryStore


class MemoryDeadLetters:
    """Implements the port DeadLetterStream; the stream of events is a list."""

    def __init__(self) -> None:
        self.letters: dict[int, DeadLetter] = {}
        self.replayed: list[DeadLetter] = []

    async def read(self, after_sequence: int, limit: int) -> DeadLetters:
        later = [one for number, one in sorted(self.letters.items()) if number > after_sequence]
        return DeadLetters(
            letters=tuple(later[:limit]),
            next=later[limit - 1].sequence if len(later) > limit else None,
            total=len(self.letters),
        )

    async def get(self, sequence: int) -> DeadLetter | None:
        return self.letters.get(sequence)

    async def replay(self, bodies: Mapping[int, bytes]) -> Sequence[int]:
        found = [number for number in bodies if number in self.letters]
        self.replayed += [
            attrs.evolve(self.letters.pop(number), data=bodies[number]) for number in found
        ]
        return found


class MemorySums:
    """Implements the port Sums: it counts the payments of a store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def daily(self, first: date) -> Sequence[DailySum]:
        found: defaultdict[tuple[date, str, Status, str], list[Payment]] = defaultdict(list)
        for payment in self._store.all():
            day = payment.create_time.astimezone(UTC).date()
            kind = day, payment.method, payment.status, payment.amount.currency_code
            found[kind].append(payment)
        return [
            DailySum(
                day=day,
                method=method,
                status=status,
                payments=len(payments),
                amount=Money(
                    currency_code=currency,
                    minor_units=sum(one.amount.minor_units for one in payments),
                ),
            )
            for (day, method, status, currency), payments in found.items()
            if day >= first
        ]

    async def attention(self) -> Sequence[OpenAttention]:
        return [
            OpenAttention(reason=reason, payments=len(having), oldest_age=timedelta(0))
            for reason in Attention
            if (having := [one for one in self._store.all() if reason in one.attention])
        ]

    async def backlog(self) -> Backlog:
        events, age_s = await self._store.outbox.depth()
        return Backlog(
            events=events,
            oldest_event_age=timedelta(seconds=age_s),
            reports=0,
            unmatched_receipts=0,
        )

    async def trail(self) -> TrailState:
        payments = self._store.all()
        return TrailState(
            checkpoint=None,
            checkpoint_time=None,
            unsigned_rows=sum(payment.version for payment in payments),
            unsigned_payments=len(payments),
            unchained_rows=0,
        )


class MemoryStoredRows:
    """Implements the port StoredRows, with the columns that every store has."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def of_payment(self, payment_id: UUID) -> Sequence[StoredTable]:
        payment = await self._store.get(payment_id)
        if payment is None:
            return []
        row = {"id": str(payment.id), "status": payment.status.value, "version": payment.version}
        trail = await self._store.audit_trail(payment_id)
        changes = [{"version": one.version, "event_type": one.event_type} for one in trail]
        return [
            StoredTable(name="payments", rows=(json.dumps(row),)),
            StoredTable(
                name="payment_events",
                rows=tuple(map(json.dumps, changes[-ROWS_MAX:])),
                has_more=len(changes) > ROWS_MAX,
            ),
        ]


class WellDaemon:
    """Implements the port DaemonState: a daemon to which nothing ever happened."""

    async def health(self) -> Health:
        return Health(
            checks=[HealthCheck(name="database", ok=True, required=True, detail="")],
            loops=[LoopHealth(name="recovery", restarts=0, failures=0)],
        )

    def running(self) -> Running:
        return Running(
            version="1", environment="test", pricing_version="prices-1", providers=(), settings=()
        )
