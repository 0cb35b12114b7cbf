"""The ledger of receipts and the leases in memory."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

import attrs

from payd.domain.evidence import Observation, Outflow, Receipt, ReceiptState
from payd.domain.ledger import ReceiptFilter, ReceiptPosition
from payd.domain.payment import Payment
from payd.ports import WATCH, Book, Lease, LeaseLost, Report, StoredReceipt

#: Receipts that wait for a person.
UNMATCHED = ReceiptFilter(unmatched=True)


class MemoryLedger:
    """Implements the ports Receipts and Leases.

    The inbox records receipts, the store assigns them to payments.
    """

    def __init__(self) -> None:
        self.fences: dict[str, int] = {}
        self.cursors: dict[tuple[str, str], str] = {}
        self._held: set[str] = set()
        self._receipts: dict[tuple[str, str], StoredReceipt] = {}
        self._outflows: dict[tuple[str, str], Outflow] = {}

    def record(self, provider: str, reports: Sequence[Report], outflows: Sequence[Outflow]) -> None:
        """Record new receipts and outflows, and more final states of known receipts."""
        for receipt, reference in _most_final(reports):
            known = self._receipts.get((provider, receipt.id))
            if known is None:
                known = StoredReceipt(
                    provider=provider, receipt=receipt, reference=reference, payment_id=None
                )
            elif _becomes(known, receipt):
                newer = attrs.evolve(known.receipt, state=receipt.state, time=receipt.time)
                known = attrs.evolve(known, receipt=newer)
            self._receipts[provider, receipt.id] = known
        for outflow in outflows:
            self._outflows.setdefault((provider, outflow.id), outflow)

    def outflow(self, provider: str, outflow_id: str) -> Outflow | None:
        """One transfer of money that left an account of ours, if it exists."""
        return self._outflows.get((provider, outflow_id))

    def give(self, payment: Payment) -> bool:
        """Assign receipts to their payment; return False, and assign none, if another has one."""
        keys = [(payment.provider, receipt.id) for receipt in payment.receipts]
        owners = {self._receipts[key].payment_id for key in keys if key in self._receipts}
        if owners - {None, payment.id}:
            return False
        for key, receipt in zip(keys, payment.receipts, strict=True):
            known = self._receipts.get(key)
            self._receipts[key] = StoredReceipt(
                provider=payment.provider,
                receipt=receipt,
                reference=known.reference if known else "",
                payment_id=payment.id,
            )
        return True

    async def get_receipt(self, provider: str, receipt_id: str) -> StoredReceipt | None:
        return self._receipts.get((provider, receipt_id))

    async def newest(
        self, wanted: ReceiptFilter, after: ReceiptPosition | None, limit: int
    ) -> Sequence[StoredReceipt]:
        listed = [
            one
            for one in sorted(self._receipts.values(), key=_position, reverse=True)
            if (not wanted.unmatched or one.payment_id is None)
            and wanted.provider in ("", one.provider)
            and wanted.payment_id in (None, one.payment_id)
            and (wanted.time_from is None or one.receipt.time >= wanted.time_from)
            and (wanted.time_before is None or one.receipt.time < wanted.time_before)
            and (after is None or one.position < after)
        ]
        return listed[:limit]

    async def of_payment(self, payment_id: UUID, limit: int) -> Sequence[Receipt]:
        mine = (one.receipt for one in self._receipts.values() if one.payment_id == payment_id)
        ordered = sorted(mine, key=lambda one: (one.time, one.id))
        return ordered[-limit:]

    async def count_of_payment(self, payment_id: UUID) -> int:
        return sum(one.payment_id == payment_id for one in self._receipts.values())

    async def book(self, provider: str) -> Book:
        final = [
            one.receipt
            for one in self._receipts.values()
            if one.provider == provider and one.receipt.state is ReceiptState.CONFIRMED
        ]
        gone = [one for (owner, _), one in self._outflows.items() if owner == provider]
        return Book(
            cursor=self.cursors.get((provider, WATCH)), received=_sums(final), outflows=_sums(gone)
        )

    async def recount(self, provider: str) -> tuple[Book, Book]:
        """Compute both from the rows: memory keeps no running sums."""
        return await self.book(provider), await self.book(provider)

    async def acquire(self, name: str) -> "MemoryLease | None":
        if name in self._held:
            return None
        self._held.add(name)
        self.fences[name] = self.fences.get(name, 0) + 1
        return MemoryLease(self._held, Lease(name=name, fence=self.fences[name]))


class MemoryLease:
    """Implements the port HeldLease."""

    def __init__(self, held: set[str], lease: Lease) -> None:
        self._held = held
        self._is_ours = True
        self.lease = lease

    async def check(self) -> None:
        if not self._is_ours:
            raise LeaseLost("it was released")

    async def release(self) -> None:
        if self._is_ours:
            self._is_ours = False
            self._held.discard(self.lease.name)


def _most_final(reports: Sequence[Report]) -> Iterable[tuple[Receipt, str]]:
    """Each receipt once, in its most final state, with what it names."""
    found: dict[str, tuple[Receipt, str]] = {}
    for report in reports:
        if isinstance(report, Observation) and isinstance(report.fact, tuple):
            for receipt in report.fact:
                if receipt.id not in found or receipt.outranks(found[receipt.id][0]):
                    found[receipt.id] = receipt, report.reference
    return found.values()


def _position(one: StoredReceipt) -> ReceiptPosition:
    return one.position


def _becomes(known: StoredReceipt, receipt: Receipt) -> bool:
    old = known.receipt
    is_open = old.state in (ReceiptState.SEEN, ReceiptState.DROPPED)
    is_same = (old.asset, old.amount) == (receipt.asset, receipt.amount)
    is_news = receipt.state is not ReceiptState.SEEN
    return known.payment_id is None and is_open and is_same and is_news


def _sums(moved: Iterable[Receipt | Outflow]) -> dict[str, int]:
    sums: defaultdict[str, int] = defaultdict(int)
    for one in moved:
        sums[one.asset.lower()] += one.amount
    return dict(sums)
