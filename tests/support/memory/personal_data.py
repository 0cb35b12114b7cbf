"""Personal data in memory: of what the other stores have."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import attrs

from payd.adapters.personal import bare_body, kept_of_receipt
from payd.domain.evidence import Observation, Receipt
from payd.domain.forget import RetainedEvent
from payd.domain.page import Position
from payd.domain.payment import Customer
from payd.ports import SearchedReports, Traces
from support.memory.store import MemoryStore

#: Rows that one search looks at: few, so that tests meet several parts.
_PART = 2


class MemoryPersonalData:
    """Implements the port PersonalData."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def knows(self, customer_id: str) -> bool:
        return self._customer(customer_id) is not None

    async def payments_of(
        self, customer_id: str, after: Position | None, limit: int
    ) -> Sequence[Position]:
        positions = [
            Position(one.create_time, one.id)
            for one in self._store.all()
            if one.customer.id == customer_id
        ]
        positions.sort(key=lambda one: (one.time, one.id))
        start = positions.index(after) + 1 if after else 0
        return positions[start : start + limit]

    async def unpublished(self, payment_ids: Collection[UUID]) -> Sequence[UUID]:
        waiting = {held.row.payment_id for held in self._store.outbox.open_rows()}
        return [one for one in payment_ids if one in waiting]

    async def erase_payments(
        self, payment_ids: Collection[UUID], *, erase: bool
    ) -> Mapping[str, int]:
        payments = [one for one in self._store.all() if one.id in payment_ids]
        receipts = sum(
            r.details != _bare(r).details for payment in payments for r in payment.receipts
        )
        rows = [
            held
            for held in self._store.outbox.rows.values()
            if held.row.payment_id in payment_ids and held.row.body != bare_body(held.row.body)
        ]
        if erase:
            for payment in payments:
                bare = tuple(map(_bare, payment.receipts))
                self._store.replace(attrs.evolve(payment, receipts=bare))
            for held in rows:
                held.row = attrs.evolve(held.row, body=bare_body(held.row.body))
        return {"receipts": receipts, "outbox": len(rows)}

    async def retained_events(
        self, payment_ids: Collection[UUID], limit: int
    ) -> Sequence[RetainedEvent]:
        events = [
            RetainedEvent(
                event_id=held.row.event_id,
                payment_id=held.row.payment_id,
                subject=held.row.subject,
                publish_time=held.create_time,
            )
            for held in self._store.outbox.rows.values()
            if held.row.payment_id in payment_ids and held.outcome == "published"
        ]
        return events[::-1][:limit]

    async def traces(self, customer_id: str, payment_ids: Collection[UUID]) -> Traces:
        customer = self._customer(customer_id)
        names = {customer.email, customer.wallet_address} if customer else set()
        for payment in self._store.all():
            if payment.id in payment_ids:
                names |= {str(payment.id), payment.provider_reference or "", *payment.aliases}
        return Traces(names=frozenset(names - {""}))

    async def erase_reports(self, traces: Traces, after: int, *, erase: bool) -> SearchedReports:
        part = [held for held in self._store.inbox.rows.values() if held.row.id > after][:_PART]
        found = [
            held
            for held in part
            if not _is_erased(held.row.report)
            and any(name in str(held.row.report) for name in traces.names)
        ]
        settled = [held for held in found if held.outcome is not None]
        if erase:
            for held in settled:
                bare = Observation(id=f"erased {held.row.id}", reference="", fact=())
                held.row = attrs.evolve(held.row, report=bare)
        return SearchedReports(
            found=frozenset(held.row.id for held in settled),
            waiting=frozenset(held.row.id for held in found if held.outcome is None),
            next_after=part[-1].row.id if len(part) == _PART else None,
        )

    async def erase_customer(self, customer_id: str, *, erase: bool) -> int:
        customer, bare = self._customer(customer_id), Customer(id=customer_id)
        if customer == bare:
            return 0
        if erase:
            self._store.put_customer(bare)
            for payment in self._store.all():
                if payment.customer.id == customer_id:
                    self._store.replace(attrs.evolve(payment, customer=bare))
        return 1

    def _customer(self, customer_id: str) -> Customer | None:
        return next((one for one in self._store.customers() if one.id == customer_id), None)


def _is_erased(report: object) -> bool:
    return isinstance(report, Observation) and (report.reference, report.fact) == ("", ())


def _bare(receipt: Receipt) -> Receipt:
    return attrs.evolve(receipt, details=kept_of_receipt(receipt.details))
