"""The stores and the publisher in memory, for tests: they pass the same contract as the real ones.

One process, nothing kept. Nothing waits but `wait` and `await_answer`, which wait on trio; so
every other method is one indivisible step, as a statement is to PostgreSQL.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Generic, TypeVar
from uuid import UUID

import attrs
import trio

from payd.adapters.columns import Json, changes, dumps, item_rows, payment_row, receipt_rows
from payd.adapters.events import AuditRow, EventRow, outbox_row_of
from payd.domain.decide import Decision
from payd.domain.payment import Customer, Origin, Payment
from payd.plugins.interface import Clock, ProviderEvent
from payd.ports import (
    Cursor,
    InboxRow,
    OutboxRow,
    PublishError,
    Reconciliation,
    Report,
    StoredObject,
)

__all__ = [
    "MemoryInbox",
    "MemoryOutbox",
    "MemoryPublisher",
    "MemoryReconciliations",
    "MemoryStore",
]

#: Held by nobody.
_FREE = datetime.min.replace(tzinfo=UTC)


class _Bell:
    """Wakes all who wait, at every change."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = trio.Event()

    async def wait_until(self, is_so: Callable[[], bool], timeout_s: float) -> None:
        """Return once `is_so`, or at the time-out."""
        with trio.move_on_after(timeout_s):
            await trio.lowlevel.checkpoint()
            while not is_so():
                await self._event.wait()


class MemoryStore:
    """PaymentStore, with the `inbox` and the `outbox` that its commits write to."""

    def __init__(self, clock: Clock, environment: str = "test") -> None:
        self._clock = clock
        self._environment = environment
        self._changed = _Bell()
        self._payments: dict[UUID, Payment] = {}
        self._ids_by_key: dict[str, UUID] = {}
        self._customers: dict[str, Customer] = {}
        self._audit: dict[UUID, list[AuditRow]] = {}
        self.inbox = MemoryInbox(clock)
        self.outbox = MemoryOutbox(clock)

    async def insert(self, payment: Payment, origin: Origin) -> Payment:
        """See PaymentStore."""
        if holder := self._ids_by_key.get(payment.idempotency_key):
            return self._read(holder)
        self._ids_by_key[payment.idempotency_key] = payment.id
        self._payments[payment.id] = payment
        self._customers[payment.customer.id] = payment.customer
        self._write_audit(payment, "payment_creating", origin, _details_of_new(payment))
        return payment

    async def get(self, payment_id: UUID) -> Payment | None:
        """See PaymentStore."""
        return self._read(payment_id) if payment_id in self._payments else None

    async def get_by_key(self, idempotency_key: str) -> Payment | None:
        """See PaymentStore."""
        holder = self._ids_by_key.get(idempotency_key)
        return None if holder is None else self._read(holder)

    async def find(self, provider: str, reference: str) -> Payment | None:
        """See PaymentStore."""
        mine = [p for p in self._payments.values() if p.provider == provider]
        by_name: tuple[Callable[[Payment], bool], ...] = (
            lambda p: p.provider_reference == reference,
            lambda p: str(p.id) == reference,
            lambda p: reference in p.aliases,
        )
        named = (p for is_named in by_name for p in mine if is_named(p))
        first = next(named, None)
        return None if first is None else self._read(first.id)

    async def commit(
        self, before: Payment, decision: Decision, origin: Origin, inbox_ids: Sequence[int] = ()
    ) -> bool:
        """See PaymentStore."""
        current = self._payments.get(before.id)
        if current is None or current.version != before.version:
            return False
        after = decision.payment
        events = [outbox_row_of(after, e, origin, self._environment) for e in decision.events]
        for event in events:
            self.outbox.announce(after.id, event)
        self.inbox.settle(inbox_ids, "applied")
        self._write_audit(after, decision.what, origin, _details_of_change(before, decision))
        self._payments[after.id] = after
        self._changed.ring()
        return True

    async def await_answer(self, payment_id: UUID, timeout_s: float) -> Payment | None:
        """See PaymentStore."""
        payment = self._payments.get(payment_id)
        if payment is None:
            return None
        if self._is_asked(payment_id) and payment.ask_deadline is not None:
            left_s = (payment.ask_deadline - self._clock.now()).total_seconds()
            patience_s = min(timeout_s, left_s)
            await self._changed.wait_until(lambda: not self._is_asked(payment_id), patience_s)
        return self._read(payment_id)

    async def claim_looks(self, now: datetime, limit: int, lease_s: float) -> Sequence[Payment]:
        """See PaymentStore."""
        due = sorted(
            (p.next_look_time, p.id)
            for p in self._payments.values()
            if p.next_look_time is not None and p.next_look_time <= now
        )
        claimed = [self._payments[payment_id] for _, payment_id in due[:limit]]
        lease_end = now + timedelta(seconds=lease_s)
        for payment in claimed:
            self._payments[payment.id] = attrs.evolve(
                payment, looks=payment.looks + 1, next_look_time=lease_end
            )
        return [self._read(payment.id) for payment in claimed]

    async def schedule_look(self, payment: Payment, time: datetime) -> None:
        """See PaymentStore."""
        current = self._payments.get(payment.id)
        if current is None or current.version != payment.version:
            return
        if current.next_look_time is not None:
            self._payments[payment.id] = attrs.evolve(current, next_look_time=time)

    def all(self) -> Sequence[Payment]:
        """Every payment, in the order in which they were made."""
        return tuple(self._payments.values())

    async def audit_trail(self, payment_id: UUID) -> Sequence[AuditRow]:
        """Every audit row of the payment, oldest first."""
        return tuple(self._audit.get(payment_id, ()))

    def _read(self, payment_id: UUID) -> Payment:
        payment = self._payments[payment_id]
        return attrs.evolve(payment, customer=self._customers[payment.customer.id])

    def _is_asked(self, payment_id: UUID) -> bool:
        deadline = self._payments[payment_id].ask_deadline
        return deadline is not None and deadline > self._clock.now()

    def _write_audit(self, payment: Payment, what: str, origin: Origin, details: Json) -> None:
        row = AuditRow(
            version=payment.version,
            event_type=what,
            actor=origin.actor,
            request_id=origin.request_id,
            ip=origin.ip,
            details=json.loads(dumps(details)),
            create_time=payment.update_time,
        )
        self._audit.setdefault(payment.id, []).append(row)


def _details_of_new(payment: Payment) -> Json:
    return {"row": payment_row(payment), "items": item_rows(payment)}


def _details_of_change(before: Payment, decision: Decision) -> Json:
    after = decision.payment
    details: Json = {"changes": changes(before, after)}
    if news := [receipt for receipt in after.receipts if receipt not in before.receipts]:
        details["receipts"] = receipt_rows(news)
    if decision.note:
        details["reason"] = decision.note
    return details


_Row = TypeVar("_Row", InboxRow, OutboxRow)


@attrs.define(kw_only=True)
class _Held(Generic[_Row]):
    """A row that waits to be worked on, with its lease."""

    row: _Row
    create_time: datetime
    locked_until: datetime = _FREE
    attempts: int = 0
    outcome: str | None = None


class _Queue(Generic[_Row]):
    """Rows in the order of their ids, each leased to one claimer until it has an outcome."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = _Bell()
        self._rows: dict[int, _Held[_Row]] = {}

    async def wait(self, timeout_s: float) -> None:
        """See Inbox and Outbox."""
        await self._changed.wait_until(lambda: any(self._claimable()), timeout_s)

    def settle(self, row_ids: Iterable[int], outcome: str) -> None:
        """Nobody has to look at these rows again."""
        for row_id in row_ids:
            held = self._rows[row_id]
            held.outcome = held.outcome or outcome
        self._changed.ring()

    def outcome(self, row_id: int) -> str | None:
        """What became of a row; None while it is open."""
        return self._rows[row_id].outcome

    def _add(self, row: _Row) -> None:
        self._rows[row.id] = _Held(row=row, create_time=self._clock.now())
        self._changed.ring()

    def _new_id(self) -> int:
        return len(self._rows) + 1

    def _open(self) -> Iterator[_Held[_Row]]:
        return (held for held in self._rows.values() if held.outcome is None)

    def _claimable(self) -> Iterator[_Held[_Row]]:
        now = self._clock.now()
        return (held for held in self._open() if held.locked_until <= now)

    def _lease(self, limit: int, lease_s: float) -> list[_Held[_Row]]:
        claimed = list(islice(self._claimable(), limit))
        for held in claimed:
            held.attempts += 1
            held.locked_until = self._clock.now() + timedelta(seconds=lease_s)
        return claimed

    def _put_back(self, row_ids: Iterable[int], retry_in_s: float) -> None:
        for row_id in row_ids:
            self._rows[row_id].locked_until = self._clock.now() + timedelta(seconds=retry_in_s)
        self._changed.ring()


@attrs.define(kw_only=True)
class _HeldCursor:
    """How far a scan has come, and until when nobody may go on."""

    value: str | None = None
    next_time: datetime = _FREE


class MemoryInbox(_Queue[InboxRow]):
    """Inbox and Cursors; a commit of the store settles rows, too."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._cursors: defaultdict[tuple[str, str], _HeldCursor] = defaultdict(_HeldCursor)

    async def put(
        self, provider: str, reports: Sequence[Report], cursor: Cursor | None = None
    ) -> int:
        """See Inbox."""
        if cursor is not None and (provider, cursor.name) in self._cursors:
            held = self._cursors[provider, cursor.name]
            held.value, held.next_time = cursor.value, self._clock.now() + cursor.rest
        return sum(self._put(provider, report) for report in reports)

    async def put_webhook(self, provider: str, event: ProviderEvent, raw_body: bytes) -> bool:
        """See Inbox. The bytes are not kept."""
        return self._put(provider, event)

    async def claim_cursor(
        self, provider: str, name: str, lease_s: float
    ) -> tuple[str | None] | None:
        """See Cursors."""
        held, now = self._cursors[provider, name], self._clock.now()
        if held.next_time > now:
            return None
        held.next_time = now + timedelta(seconds=lease_s)
        return (held.value,)

    async def claim(self, limit: int, lease_s: float) -> Sequence[InboxRow]:
        """See Inbox."""
        leased = self._lease(limit, lease_s)
        return [attrs.evolve(held.row, attempts=held.attempts) for held in leased]

    async def finish(self, row_id: int, outcome: str) -> None:
        """See Inbox."""
        self.settle([row_id], outcome)

    async def park(self, row_id: int, retry_in_s: float) -> None:
        """See Inbox."""
        self._put_back([row_id], retry_in_s)

    def _put(self, provider: str, report: Report) -> bool:
        known = [
            held.row.report
            for held in self._rows.values()
            if (held.row.provider, held.row.report.id) == (provider, report.id)
        ]
        if report in known:
            return False
        row = InboxRow(
            id=self._new_id(),
            provider=provider,
            report=report,
            attempts=0,
            receive_time=self._clock.now(),
            conflicting=bool(known),
        )
        self._add(row)
        return True


class MemoryReconciliations:
    """Reconciliations over the payments of a store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        #: The oldest first.
        self.results: list[Reconciliation] = []

    async def stored_objects(
        self, provider: str, since: datetime, until: datetime
    ) -> Sequence[StoredObject]:
        """See Reconciliations."""
        return [
            StoredObject(
                payment_id=payment.id,
                status=payment.status,
                reference=payment.provider_reference,
                create_time=payment.create_time,
            )
            for payment in self._store.all()
            if payment.provider == provider
            and payment.provider_reference is not None
            and since <= payment.create_time < until
        ]

    async def add(self, reconciliation: Reconciliation) -> None:
        """See Reconciliations."""
        self.results.append(reconciliation)


class MemoryOutbox(_Queue[OutboxRow]):
    """Outbox; only a commit of the store adds to it."""

    def announce(self, payment_id: UUID, event: EventRow) -> None:
        """Add an event of the payment, behind those that it has."""
        self._add(OutboxRow(id=self._new_id(), payment_id=payment_id, **event._asdict()))

    async def claim(self, limit: int, lease_s: float) -> Sequence[OutboxRow]:
        """See Outbox."""
        return [held.row for held in self._lease(limit, lease_s)]

    async def mark_published(self, row_ids: Sequence[int]) -> None:
        """See Outbox."""
        self.settle(row_ids, "published")

    async def release(self, row_ids: Sequence[int], error: str) -> None:
        """See Outbox. The later try may be at once: memory has no one to spare."""
        self._put_back(row_ids, retry_in_s=0)

    async def depth(self) -> tuple[int, float]:
        """See Outbox."""
        waiting = [held.create_time for held in self._open()]
        if not waiting:
            return 0, 0.0
        return len(waiting), (self._clock.now() - min(waiting)).total_seconds()

    def _claimable(self) -> Iterator[_Held[OutboxRow]]:
        heads: dict[UUID, int] = {}
        for held in self._open():
            heads.setdefault(held.row.payment_id, held.row.id)
        return (held for held in super()._claimable() if held.row.id == heads[held.row.payment_id])


class MemoryPublisher:
    """Publisher: a stream in a list."""

    def __init__(self) -> None:
        #: What was acknowledged, in order; an event that was published twice is here twice.
        self.published: list[OutboxRow] = []
        #: While set, nothing is acknowledged.
        self.is_away = False

    async def publish(self, row: OutboxRow) -> None:
        """See Publisher."""
        if self.is_away:
            raise PublishError("the stream is away")
        self.published.append(row)
