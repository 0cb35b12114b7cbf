"""Payments and reconciliations in memory."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import attrs

from payd.adapters.audit.chain import NOTHING, START, Head, content_of, next_hash
from payd.adapters.audit.export import ExportedChain, ExportedRow, ExportWriter
from payd.adapters.audit.keys import SigningKey
from payd.adapters.columns import (
    Json,
    changed_disputes,
    changed_refunds,
    changes,
    dumps,
    item_rows,
    payment_row,
    receipt_rows,
)
from payd.adapters.events import AuditRow, outbox_row_of
from payd.adapters.personal import SALT_BYTES, part
from payd.domain.decide import Decision
from payd.domain.dispute import Dispute
from payd.domain.evidence import Receipt
from payd.domain.ledger import ReconciliationPosition
from payd.domain.payment import Customer, Origin, Payment
from payd.domain.refund import Refund, RefundStatus
from payd.domain.sums import sum_receipts
from payd.plugins.context import Clock
from payd.ports import (
    Commit,
    Name,
    Position,
    Reconciliation,
    RefundFilter,
    StoredObject,
)
from support.memory.inbox import MemoryInbox
from support.memory.ledger import MemoryLedger
from support.memory.outbox import MemoryOutbox
from support.memory.queue import Bell
from support.memory.tags import MemoryTags

DAY = timedelta(days=1)
_Part = TypeVar("_Part", Receipt, Refund, Dispute)


class MemoryStore:
    """Implements the port PaymentStore, with the `inbox` and `outbox` that its commits change."""

    def __init__(
        self, clock: Clock, environment: str = "test", late_window: timedelta = DAY
    ) -> None:
        self._late_window = late_window
        self._clock = clock
        self._environment = environment
        self._changed = Bell()
        self._payments: dict[UUID, Payment] = {}
        self._sync_times: dict[UUID, datetime] = {}
        self._ids_by_key: dict[str, UUID] = {}
        self._customers: dict[str, Customer] = {}
        #: What was last read of a payment, with what it was made of.
        self._views: dict[UUID, tuple[Payment, Customer, Payment]] = {}
        self._audit: dict[UUID, list[AuditRow]] = {}
        self._chains: dict[UUID, list[ExportedRow]] = {}
        self.ledger = MemoryLedger()
        self.inbox = MemoryInbox(clock, self.ledger)
        self.outbox = MemoryOutbox(clock)
        self.tags = MemoryTags()

    async def insert(self, payment: Payment, origin: Origin) -> Payment:
        if holder := self._ids_by_key.get(payment.idempotency_key):
            return self._read(holder)
        self._ids_by_key[payment.idempotency_key] = payment.id
        self._payments[payment.id] = payment
        self._describe(payment.customer)
        self._write_audit(payment, "payment_creating", origin, _details_of_new(payment))
        return payment

    async def get(self, payment_id: UUID, receipt_ids: Collection[str] = ()) -> Payment | None:
        return self._read(payment_id, receipt_ids) if payment_id in self._payments else None

    async def get_with_receipts(
        self, payment_id: UUID, receipts_max: int
    ) -> tuple[Payment, Sequence[Receipt]] | None:
        if payment_id not in self._payments:
            return None
        return self._read(payment_id), await self.ledger.of_payment(payment_id, receipts_max)

    async def get_by_key(self, idempotency_key: str) -> Payment | None:
        holder = self._ids_by_key.get(idempotency_key)
        return None if holder is None else self._read(holder)

    async def get_all(self, payment_ids: Sequence[UUID]) -> Sequence[Payment]:
        return [self._read(one) for one in payment_ids if one in self._payments]

    async def find(self, provider: str, reference: str) -> Payment | None:
        mine = [p for p in self._payments.values() if p.provider == provider]
        mine.sort(key=lambda p: (p.create_time, p.id))
        by_name: tuple[Callable[[Payment], bool], ...] = (
            lambda p: p.provider_reference == reference,
            lambda p: str(p.id) == reference,
            lambda p: reference in {str(refund.id) for refund in p.refunds},
            lambda p: reference in p.aliases,
        )
        named = (p for is_named in by_name for p in mine if is_named(p))
        first = next(named, None)
        return None if first is None else self._read(first.id)

    async def find_all(self, names: Mapping[Name, Collection[str]]) -> Mapping[Name, Payment]:
        found = {
            name: await MemoryStore.find(self, name.provider, name.reference) for name in names
        }
        ids = [receipt_id for of_name in names.values() for receipt_id in of_name]
        return {
            name: self._read(payment.id, ids)
            for name, payment in found.items()
            if payment is not None
        }

    async def oldest_unnamed(self, provider: str) -> datetime | None:
        times = (
            payment.create_time
            for payment in self._payments.values()
            if payment.provider == provider
            and payment.provider_reference is None
            and payment.status.is_open
            and payment.next_check_time is not None
        )
        return min(times, default=None)

    async def newer(self, versions: Mapping[UUID, int]) -> Sequence[Payment]:
        return [
            self._read(payment_id)
            for payment_id, version in versions.items()
            if payment_id in self._payments and self._payments[payment_id].version > version
        ]

    async def commit_all(self, commits: Sequence[Commit]) -> Sequence[bool]:
        return [
            await MemoryStore.commit(
                self, commit.before, commit.decision, commit.origin, commit.inbox_ids
            )
            for commit in commits
        ]

    async def commit(
        self, before: Payment, decision: Decision, origin: Origin, inbox_ids: Sequence[int] = ()
    ) -> bool:
        current = self._payments.get(before.id)
        if current is None or current.version != before.version:
            return False
        after = decision.payment
        if self._is_taken(after) or not self.ledger.give(after):
            return False
        events = [outbox_row_of(after, e, origin, self._environment) for e in decision.events]
        for event in events:
            self.outbox.announce(after.id, event)
        self.inbox.settle(inbox_ids, "applied")
        details = _details_of_change(before, decision)
        if inbox_ids:
            details["reports"] = list(inbox_ids)
        self._write_audit(after, decision.audit_event, origin, details)
        self._payments[after.id] = _merged(current, before, after)
        self._changed.ring()
        return True

    async def await_answer(self, payment_id: UUID, timeout_s: float) -> Payment | None:
        payment = self._payments.get(payment_id)
        if payment is None:
            return None
        if self._is_asked(payment_id) and payment.ask_deadline is not None:
            left_s = (payment.ask_deadline - self._clock.now()).total_seconds()
            patience_s = min(timeout_s, left_s)
            await self._changed.wait_until(lambda: not self._is_asked(payment_id), patience_s)
        return self._read(payment_id)

    async def claim_status_checks(
        self, now: datetime, limit: int, lease_s: float
    ) -> Sequence[Payment]:
        due = sorted(
            (p.next_check_time, p.id)
            for p in self._payments.values()
            if p.next_check_time is not None and p.next_check_time <= now
        )
        claimed = [self._payments[payment_id] for _, payment_id in due[:limit]]
        lease_end = now + timedelta(seconds=lease_s)
        for payment in claimed:
            self._payments[payment.id] = attrs.evolve(
                payment, checks=payment.checks + 1, next_check_time=lease_end
            )
        return [self._read(payment.id) for payment in claimed]

    async def claim_sync(self, payment_id: UUID, now: datetime, rest: timedelta) -> bool:
        last = self._sync_times.get(payment_id)
        if payment_id not in self._payments or (last is not None and abs(now - last) < rest):
            return False
        self._sync_times[payment_id] = now
        return True

    async def schedule_status_check(self, payment: Payment, time: datetime) -> None:
        current = self._payments.get(payment.id)
        if current is None or current.version != payment.version:
            return
        if current.next_check_time is not None:
            self._payments[payment.id] = attrs.evolve(current, next_check_time=time)

    async def get_refund(self, refund_id: UUID) -> tuple[Payment, Refund] | None:
        return self._refund(lambda refund: refund.id == refund_id)

    async def get_refund_by_key(self, idempotency_key: str) -> tuple[Payment, Refund] | None:
        return self._refund(lambda refund: refund.idempotency_key == idempotency_key != "")

    async def list_refunds(
        self, wanted: RefundFilter, after: Position | None, limit: int
    ) -> Sequence[tuple[Payment, Refund]]:
        found = [
            (payment_id, refund)
            for payment_id, refund in self._refunds()
            if wanted.payment_id in (None, payment_id)
            and refund.status in (wanted.statuses or RefundStatus)
            and (after is None or _position(refund) < (after.time, after.id))
        ]
        found.sort(key=lambda each: _position(each[1]), reverse=True)
        return [(self._read(payment_id), refund) for payment_id, refund in found[:limit]]

    async def claim_refund_checks(
        self, now: datetime, limit: int, lease_s: float
    ) -> Sequence[tuple[Payment, UUID]]:
        due = sorted(
            (refund.next_check_time, refund.id)
            for _, refund in self._refunds()
            if refund.next_check_time is not None and refund.next_check_time <= now
        )
        claimed = [refund_id for _, refund_id in due[:limit]]
        lease_end = now + timedelta(seconds=lease_s)
        leased = [(id_, refund) for id_, refund in self._refunds() if refund.id in claimed]
        for _, refund in leased:
            self._replace(attrs.evolve(refund, checks=refund.checks + 1, next_check_time=lease_end))
        return [(self._read(payment_id), refund.id) for payment_id, refund in leased]

    async def schedule_refund_check(self, refund: Refund, time: datetime) -> None:
        for _, current in self._refunds():
            is_unchanged = current.update_time == refund.update_time
            if current.id == refund.id and is_unchanged and current.next_check_time is not None:
                self._replace(attrs.evolve(current, next_check_time=time))

    def customers(self) -> Sequence[Customer]:
        """All customers, as last described."""
        return tuple(self._customers.values())

    def put_customer(self, customer: Customer) -> None:
        """Put a customer in the place of its older self."""
        self._customers[customer.id] = customer

    def replace(self, payment: Payment) -> None:
        """Put a payment in the place of its older self, without a decision."""
        self._payments[payment.id] = payment

    def all(self) -> Sequence[Payment]:
        """All payments, in the order of their creation."""
        return tuple(self._payments.values())

    async def audit_trail(self, payment_id: UUID) -> Sequence[AuditRow]:
        """All audit rows of the payment, oldest first."""
        return tuple(self._audit.get(payment_id, ()))

    async def export_audit(self, write: Callable[[str], object], key: SigningKey) -> None:
        """Write the trail of all payments, as `PostgresAuditChain.export` does."""
        writer = ExportWriter(write, key, "memory", {})
        for payment_id, rows in sorted(self._chains.items()):
            head = Head(version=rows[-1].version, hash=rows[-1].hash)
            writer.add(ExportedChain(payment_id=payment_id, after=START, rows=rows, head=head))
        writer.finish([])

    def _read(self, payment_id: UUID, receipt_ids: Collection[str] = ()) -> Payment:
        """The payment with the receipts that are asked for, and the sums of all."""
        payment = self._payments[payment_id]
        customer = self._customers[payment.customer.id]
        known = None if receipt_ids else self._views.get(payment_id)
        if known is not None and known[0] is payment and known[1] is customer:
            return known[2]
        view = self._view(payment, customer, receipt_ids)
        if not receipt_ids:
            self._views[payment_id] = payment, customer, view
        return view

    def _view(self, payment: Payment, customer: Customer, receipt_ids: Collection[str]) -> Payment:
        late_end = payment.late_end(self._late_window)
        asked = sorted((r for r in payment.receipts if r.id in receipt_ids), key=lambda r: r.id)
        return attrs.evolve(
            payment,
            customer=customer,
            sums=sum_receipts(payment.receipts, payment.expire_time, late_end),
            receipts=tuple(asked),
        )

    def _refunds(self) -> list[tuple[UUID, Refund]]:
        """Every refund with the id of its payment."""
        return [
            (payment.id, refund)
            for payment in self._payments.values()
            for refund in payment.refunds
        ]

    def _refund(self, is_it: Callable[[Refund], bool]) -> tuple[Payment, Refund] | None:
        found = ((id_, refund) for id_, refund in self._refunds() if is_it(refund))
        return next(((self._read(id_), refund) for id_, refund in found), None)

    def _replace(self, changed: Refund) -> None:
        """Put a refund in the place of its older self, without a new version of its payment."""
        for payment in self._payments.values():
            if changed.id in {refund.id for refund in payment.refunds}:
                refunds = tuple(changed if r.id == changed.id else r for r in payment.refunds)
                self._payments[payment.id] = attrs.evolve(payment, refunds=refunds)
                return

    def _is_taken(self, after: Payment) -> bool:
        """Whether another refund has the key or the reference, or another payment the rest."""
        if any(
            payment.provider_reference == after.provider_reference is not None
            for payment in self._payments.values()
            if payment.provider == after.provider and payment.id != after.id
        ):
            return True
        disputed = {
            dispute.id
            for payment in self._payments.values()
            for dispute in payment.disputes
            if payment.provider == after.provider and payment.id != after.id
        }
        if disputed & {dispute.id for dispute in after.disputes}:
            return True
        others = [
            (payment.provider, refund)
            for payment in (*(p for p in self._payments.values() if p.id != after.id), after)
            for refund in payment.refunds
        ]
        keys = [refund.idempotency_key for _, refund in others if refund.idempotency_key]
        names = [(provider, r.provider_reference) for provider, r in others if r.provider_reference]
        return len(set(keys)) < len(keys) or len(set(names)) < len(names)

    def _describe(self, customer: Customer) -> None:
        """Keep the stored value if the new one is empty."""
        known = self._customers.get(customer.id, customer)
        self._customers[customer.id] = Customer(
            id=customer.id,
            wallet_address=customer.wallet_address or known.wallet_address,
            email=customer.email or known.email,
        )

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
            certificate=origin.certificate,
            peer=origin.peer,
            details=json.loads(dumps(details)),
            create_time=payment.update_time,
        )
        self._audit.setdefault(payment.id, []).append(row)
        self._chain(payment, row)

    def _chain(self, payment: Payment, row: AuditRow) -> None:
        content = content_of(
            payment.id,
            row.version,
            row.event_type,
            part({**row.details}, row.ip, row.peer, bytes(SALT_BYTES)).details,
            row.create_time,
            actor=row.actor,
            request_id=row.request_id,
            certificate=row.certificate,
        )
        rows = self._chains.setdefault(payment.id, [])
        hash_now = next_hash(rows[-1].hash if rows else NOTHING, content.encode())
        rows.append(
            ExportedRow(version=row.version, content=content, hash=hash_now, checkpoint=None)
        )


def _merged(current: Payment, before: Payment, after: Payment) -> Payment:
    """The stored payment with what the decision changed.

    Claims and schedules of checks make no new version, so they may be newer than `before`.
    """
    listed = {"receipts", "refunds", "disputes", "customer", "sums"}
    changed = {
        field.name: getattr(after, field.name)
        for field in attrs.fields(Payment)
        if field.name not in listed and getattr(after, field.name) != getattr(before, field.name)
    }
    receipts = _changed(current.receipts, before.receipts, after.receipts)
    refunds = _changed(current.refunds, before.refunds, after.refunds)
    disputes = _changed(current.disputes, before.disputes, after.disputes)
    return attrs.evolve(
        current,
        **changed,
        receipts=tuple(receipts),
        refunds=tuple(sorted(refunds, key=lambda one: (one.create_time, one.id))),
        disputes=tuple(sorted(disputes, key=lambda one: (one.open_time, one.id))),
    )


def _changed(
    current: Sequence[_Part], before: Sequence[_Part], after: Sequence[_Part]
) -> Collection[_Part]:
    """The stored parts of a payment with those that are new or changed."""
    return (
        {one.id: one for one in current} | {one.id: one for one in after if one not in before}
    ).values()


def _position(refund: Refund) -> tuple[datetime, UUID]:
    return refund.create_time, refund.id


def _details_of_new(payment: Payment) -> Json:
    return {"row": payment_row(payment), "items": item_rows(payment)}


def _details_of_change(before: Payment, decision: Decision) -> Json:
    after = decision.payment
    details: Json = {"changes": changes(before, after)}
    if news := [receipt for receipt in after.receipts if receipt not in before.receipts]:
        details["receipts"] = receipt_rows(news)
    if refunds := changed_refunds(before, after):
        details["refunds"] = refunds
    if disputes := changed_disputes(before, after):
        details["disputes"] = disputes
    if decision.note:
        details["reason"] = decision.note
    if decision.republished:
        details["republished"] = [attrs.asdict(event) for event in decision.republished]
    return details


class MemoryReconciliations:
    """Reconciliations over the payments of a store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        #: The oldest first.
        self.results: list[Reconciliation] = []

    async def stored_objects(
        self, provider: str, since: datetime, until: datetime
    ) -> Sequence[StoredObject]:
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
        self.results.append(reconciliation)

    async def newest(
        self, provider: str, after: ReconciliationPosition | None, limit: int
    ) -> Sequence[Reconciliation]:
        numbered = [attrs.evolve(one, id=n) for n, one in enumerate(self.results, 1)]
        listed = sorted(numbered, key=lambda one: one.position, reverse=True)
        return [
            one
            for one in listed
            if provider in ("", one.provider) and (after is None or one.position < after)
        ][:limit]
