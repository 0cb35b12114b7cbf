"""What happened in one simulated history: its calls, its lines in words, its counters."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs
import trio
from simulation.chain import Chain
from simulation.plan import Plan
from simulation.rail import Rail
from support.memory import MemoryPublisher, MemoryReconciliations, MemoryStore

from payd.adapters.events import AuditRow
from payd.domain.ledger import ReceiptFilter
from payd.domain.payment import Payment
from payd.domain.refund import Refund
from payd.ports import OutboxRow, PublishError, StoredReceipt

#: With more calls than at once and in each second since then a loop runs without waiting.
CALLS_AT_ONCE = 3000
CALLS_PER_S = 4


class Stream(MemoryPublisher):
    """The stream, which may be away or full, lose its acknowledgement, or lose an event later."""

    def __init__(self) -> None:
        super().__init__()
        self.fate: Callable[[], str] = lambda: ""
        #: Events that were acknowledged and are gone.
        self.lost: set[UUID] = set()

    async def publish(self, row: OutboxRow) -> bool:
        fault = self.fate()
        if fault in ("away", "full"):
            raise PublishError(f"the stream is {fault}")
        if fault == "loses":
            self.lost.add(row.event_id)
            return True
        is_new = await super().publish(row)
        if fault == "no acknowledgement":
            raise PublishError(fault)
        return is_new


@attrs.define
class History:
    """What happened."""

    plan: Plan
    store: MemoryStore
    rail: Rail
    chain: Chain
    stream: Stream
    lines: list[str] = attrs.field(factory=list)
    #: How often interesting things happened.
    sometimes: Counter[str] = attrs.field(factory=Counter)
    #: How often each fault struck which path through the code.
    struck: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    #: Idempotency key → the payments and refunds that were returned under it.
    answers: dict[str, list[Payment | Refund]] = attrs.field(factory=dict)
    #: Idempotency keys under which a request with other contents was answered.
    reused: list[str] = attrs.field(factory=list)
    #: Report → when a daemon first acknowledged it to its sender.
    accepted: dict[str, datetime] = attrs.field(factory=dict)
    #: Daemons that refused a payment long after the last fault, and why.
    unserved: list[str] = attrs.field(factory=list)
    #: The daemon that was last given the lease of the chain's watch.
    leader: str = ""
    #: What other daemons have stored of the watch since then.
    usurped: list[str] = attrs.field(factory=list)
    #: Reports that a daemon acknowledged to their sender before the inbox had them.
    unstored: list[str] = attrs.field(factory=list)
    #: Payment → its audit trail.
    trails: dict[UUID, Sequence[AuditRow]] = attrs.field(factory=dict)
    #: The payments as a caller reads them.
    payments: Sequence[Payment] = ()
    #: Receipt → what the ledger has of it.
    receipts: dict[str, StoredReceipt] = attrs.field(factory=dict)
    calls: int = 0
    #: Seconds of virtual time.
    lived_s: float = 0.0
    #: What comparisons with the remote side have found.
    results: MemoryReconciliations = attrs.field(init=False)
    _digest: Any = attrs.field(factory=hashlib.sha256)

    def __attrs_post_init__(self) -> None:
        self.results = MemoryReconciliations(self.store)

    def trace(self, text: str) -> None:
        """Add a call to the hash of the history."""
        now = trio.current_time()
        self.calls += 1
        assert self.calls < CALLS_AT_ONCE + CALLS_PER_S * now, "a loop runs without waiting"
        self._digest.update(f"{now:.6f} {text}\n".encode())

    def note(self, text: str, kind: str = "") -> None:
        """Add a line in words."""
        self.trace(text)
        self.lines.append(f"{trio.current_time():>9.2f} s  {text}")
        if kind:
            self.sometimes[kind] += 1

    def note_accepted(self, event_id: str, new: int) -> None:
        """Note a webhook that a daemon has acknowledged."""
        self.note(f"report {event_id} is accepted ({new} new)")
        self.accepted.setdefault(event_id, self.store.inbox.clock.now())
        rows = self.store.inbox.rows.values()
        if all(getattr(held.row.report, "id", "") != event_id for held in rows):
            self.unstored.append(event_id)

    def note_watch(self, daemon: str, call: str, result: object) -> None:
        """Note who leads the chain's watch, and what anybody else stores."""
        if call == "leases.claim" and result:
            self.leader = daemon
        elif call == "inbox.put" and daemon != self.leader:
            self.usurped.append(f"{daemon} at {trio.current_time():.0f} s")

    def open_work(self) -> list[str]:
        """What is not finished, unless a person has been asked to look at it."""
        return [*self._open_payments(), *self._open_rows()]

    def _open_payments(self) -> Iterator[str]:
        for payment in self.store.all():
            if payment.attention:
                continue
            if payment.status.is_open:
                yield f"{name_of(payment)} is still open"
            for refund in payment.refunds:
                if refund.status.is_open:
                    yield f"a refund of {name_of(payment)} is still {refund.status.value}"

    def _open_rows(self) -> Iterator[str]:
        if rows := [*self.store.inbox.open_rows()]:
            yield f"{len(rows)} reports wait"
        if events := [*self.store.outbox.open_rows()]:
            yield f"{len(events)} events wait"

    async def finish(self) -> None:
        """Read what the checkers need, and count how the payments ended."""
        self.lived_s = trio.current_time()
        stored = await self.store.ledger.newest(ReceiptFilter(), None, 10_000)
        self.receipts = {one.receipt.id: one for one in stored}
        for transfer in self.chain.transfers:
            if (receipt := self.receipts.get(transfer.id)) is not None and not transfer.memo:
                transfer.matched = str(receipt.payment_id or "")
        self.payments = await self.store.get_all([one.id for one in self.store.all()])
        for payment in self.payments:
            self.trails[payment.id] = await self.store.audit_trail(payment.id)
            self.sometimes[f"ended {payment.status.value}{' late' if payment.late else ''}"] += 1
            for reason in payment.attention:
                self.sometimes[f"attention {reason.value}"] += 1
            for refund in payment.refunds:
                self.sometimes[f"refund ended {refund.status.value}"] += 1

    @property
    def hash(self) -> str:
        """Differs as soon as any call differs."""
        return str(self._digest.hexdigest())


def name_of(payment: Payment) -> str:
    """A payment in words."""
    return f"{payment.idempotency_key} ({payment.status.value})"
