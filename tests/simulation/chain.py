"""The simulated chain: transfers in blocks that become final, are undone, or do not come at all."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import trio
from simulation.rail import Wire

from payd.plugins import (
    Absent,
    Cancel,
    Capabilities,
    Created,
    CreateOperation,
    Found,
    Lookup,
    Observation,
    Outflow,
    PaymentRef,
    ProviderConfig,
    ProviderManifest,
    ProviderStatus,
    Receipt,
    ReceiptState,
    RefundCapabilities,
    RefundInstructions,
    RefundOperation,
    RefundRef,
    RefundSnapshot,
    RefundState,
    Sends,
    Show,
    ShowKind,
    Sink,
    Snapshot,
)
from payd.plugins.errors import NotAttempted
from payd.plugins.interface import Holding

BLOCK_S = 10.0
FINAL_S = 60.0
#: How often a watch reads, and how far a cursor may stay behind when nothing happens.
READ_S = 20.0
BEHIND_S = 600.0
ALWAYS = timedelta(days=3650)


@attrs.define
class Transfer:
    """Money to us, or from us."""

    id: str
    #: The payment that it names; "" without a memo.
    memo: str
    amount: int
    #: The time of its block.
    time_s: float
    #: The refund that it carries out; None for money to us.
    refund_id: UUID | None = None
    is_dropped: bool = False
    #: Payments to which an operator has attached it, by the answer.
    attached: set[str] = attrs.field(factory=set)
    #: The payment that has it in the end, where it names none.
    matched: str = ""

    @property
    def owner(self) -> str:
        """The payment that it is for; "" for none."""
        return self.memo or self.matched

    def state(self, head_s: float) -> ReceiptState:
        """How final it is for a reader who has read up to a block."""
        if self.is_dropped:
            return ReceiptState.DROPPED
        is_final = self.time_s <= head_s - FINAL_S
        return ReceiptState.CONFIRMED if is_final else ReceiptState.SEEN


@attrs.define
class Chain:
    """What all daemons read."""

    start: datetime
    #: From when to when no block is made.
    halt_s: tuple[float, float] = (0.0, 0.0)
    transfers: list[Transfer] = attrs.field(factory=list)
    #: Payment → the operation that asked for it.
    asked: dict[UUID, CreateOperation] = attrs.field(factory=dict)
    #: Called with each new refund; the world lets a person send it.
    on_refund: Callable[[RefundOperation], None] = lambda operation: None

    @property
    def is_halted(self) -> bool:
        """Whether no block is made."""
        return self.halt_s[0] <= trio.current_time() < self.halt_s[1]

    @property
    def head_s(self) -> float:
        """The time of the newest block."""
        now = self.halt_s[0] if self.is_halted else trio.current_time()
        return now // BLOCK_S * BLOCK_S

    def time_of(self, block_s: float) -> datetime:
        """The wall time of a block."""
        return self.start + timedelta(seconds=block_s)

    def send(self, memo: str, amount: int, refund_id: UUID | None = None) -> Transfer:
        """Put a transfer into the next block."""
        last = self.halt_s[1] if self.is_halted else trio.current_time()
        name = f"tx_{len(self.transfers) + 1}"
        transfer = Transfer(name, memo, amount, (last // BLOCK_S + 1) * BLOCK_S, refund_id)
        self.transfers.append(transfer)
        return transfer

    def between(self, after_s: float, until_s: float) -> list[Transfer]:
        """The transfers of these blocks."""
        return [one for one in self.transfers if after_s < one.time_s <= until_s]

    def received(self, payment_id: UUID) -> int:
        """What came for a payment; ask when everything is final."""
        return sum(one.amount for one in self._of(payment_id) if not one.refund_id)

    def refunded(self, payment_id: UUID) -> int:
        """What was sent back of it; ask when everything is final."""
        return sum(one.amount for one in self._of(payment_id) if one.refund_id)

    def _of(self, payment_id: UUID) -> list[Transfer]:
        id_ = str(payment_id)
        return [one for one in self.transfers if one.owner == id_ and not one.is_dropped]


class ChainProvider:
    """The provider of one daemon, which reads the chain through an endpoint that may lag."""

    singleton = True

    def __init__(
        self,
        chain: Chain,
        wire: Wire,
        lag: Callable[[], timedelta],
        cursor: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._chain = chain
        self._cursor = cursor
        self._wire = wire
        self._lag = lag

    def _head_s(self) -> float:
        return max(0.0, self._chain.head_s - self._lag().total_seconds())

    async def create(self, operation: CreateOperation, /) -> Created:
        """No request: the memo says what a transfer is for."""
        self._chain.asked[operation.payment_id] = operation
        await trio.lowlevel.checkpoint()
        return _created(operation.payment_id)

    async def fetch(self, ref: PaymentRef, /) -> Found | Absent:
        """How far the watch has stored the chain; the money itself is reported by receipts."""
        stored_s = await self._stored_s()

        def act() -> Found | Absent:
            operation = self._chain.asked.get(ref.payment_id)
            if operation is None:
                return Absent(proven=False)
            snapshot = self._snapshot(operation, stored_s, 0)
            return Found(created=_created(ref.payment_id), snapshot=snapshot)

        result: Found | Absent = await self._wire("fetch", act)
        return result

    async def cancel(self, ref: PaymentRef, /) -> Snapshot:
        """What has arrived since then, up to the newest final block."""
        stored_s = await self._stored_s()

        def act() -> Snapshot:
            final_s = max(stored_s, self._head_s() - FINAL_S)
            came = self._chain.between(stored_s, final_s)
            mine = [t for t in came if t.memo == str(ref.payment_id) and not t.refund_id]
            seen = sum(one.amount for one in mine if not one.is_dropped)
            return self._snapshot(self._chain.asked[ref.payment_id], final_s, seen)

        result: Snapshot = await self._wire("close", act)
        return result

    async def _stored_s(self) -> float:
        stored = await self._cursor()
        if stored is None:
            raise NotAttempted("the watch has not begun")
        return float(stored)

    def _snapshot(self, operation: CreateOperation, until_s: float, seen: int) -> Snapshot:
        """Without confirmed money: only receipts confirm it, each once."""
        return Snapshot(
            status=ProviderStatus.PROCESSING if seen else ProviderStatus.OPEN,
            asset="USD",
            received=seen,
            confirmed=0,
            as_of=self._chain.time_of(until_s),
            reference=_name(operation.payment_id),
        )

    async def refund(self, operation: RefundOperation, /) -> RefundInstructions:
        def act() -> RefundInstructions:
            self._chain.on_refund(operation)
            text = f"send {operation.amount} to {operation.destination}"
            return RefundInstructions(next_action=Show(kind=ShowKind.TEXT, payload=text))

        result: RefundInstructions = await self._wire("refund", act)
        return result

    async def fetch_refund(self, ref: RefundRef, /) -> RefundSnapshot | Absent:
        def act() -> RefundSnapshot | Absent:
            final = self._chain.between(-1.0, self._head_s() - FINAL_S)
            sent = (one for one in final if one.refund_id == ref.refund_id and not one.is_dropped)
            found = next(sent, None)
            return Absent(proven=True) if found is None else self._refunded(found)

        result: RefundSnapshot | Absent = await self._wire("fetch refund", act)
        return result

    async def health(self) -> None:
        await trio.lowlevel.checkpoint()

    async def watch(self, sink: Sink, *, task_status: trio.TaskStatus[None]) -> None:
        """Report transfers when they are seen, and again when they are final or undone."""
        task_status.started()
        stored = float(await sink.cursor() or 0)
        reported: set[str] = set()
        while True:
            await trio.sleep(READ_S)
            head_s = await self._wire("scan", self._head_s)
            final_s = max(stored, head_s - FINAL_S)
            # A cursor is where everything is final: what lies behind it is not read again.
            found = self._chain.between(stored, head_s)
            seen = {f"{one.id}:{one.state(head_s).value}:{one.time_s:.0f}": one for one in found}
            if seen.keys() <= reported and final_s < stored + BEHIND_S:
                continue
            final = [one for one in found if one.state(head_s) is ReceiptState.CONFIRMED]
            await sink.put(
                [*self._reports(seen, head_s)],
                outflows=[self._outflow(one) for one in final if one.refund_id],
                cursor=str(final_s),
            )
            reported, stored = {*seen}, final_s

    def _reports(self, seen: Mapping[str, Transfer], head_s: float) -> Iterator[Observation]:
        for name, one in seen.items():
            state = one.state(head_s)
            if not one.refund_id:
                receipt = Receipt(
                    id=one.id,
                    asset="USD",
                    amount=one.amount,
                    state=state,
                    time=self._chain.time_of(one.time_s),
                )
                yield Observation(id=name, reference=one.memo, fact=(receipt,))
            elif state is ReceiptState.CONFIRMED:
                yield Observation(id=name, reference=one.memo, fact=self._refunded(one))

    def _outflow(self, transfer: Transfer) -> Outflow:
        return Outflow(
            id=transfer.id,
            asset="USD",
            amount=transfer.amount,
            time=self._chain.time_of(transfer.time_s),
        )

    async def holdings(self, cursor: str, /) -> Sequence[Holding]:
        def act() -> Sequence[Holding]:
            final = [t for t in self._chain.between(-1.0, float(cursor)) if not t.is_dropped]
            balance = sum(-t.amount if t.refund_id else t.amount for t in final)
            return (Holding(asset="USD", opening=0, balance=balance, at=cursor),)

        result: Sequence[Holding] = await self._wire("list", act)
        return result

    def _refunded(self, transfer: Transfer) -> RefundSnapshot:
        return RefundSnapshot(
            reference=transfer.id,
            state=RefundState.SUCCEEDED,
            asset="USD",
            amount=transfer.amount,
            time=self._chain.time_of(transfer.time_s),
            refund_id=transfer.refund_id,
        )


def manifest(build: Callable[[], Any]) -> ProviderManifest:
    """The manifest of the simulated chain."""
    return ProviderManifest(
        name="chain",
        version="1.0",
        sdk=">=1.0,<2",
        config_model=ProviderConfig,
        methods=lambda config: (),
        capabilities=Capabilities(
            idempotency_window=ALWAYS,
            lookup=Lookup.AUTHORITATIVE,
            cancel=Cancel.NOT_CLOSABLE,
            refunds=RefundCapabilities(
                sends=Sends.INSTRUCTIONS,
                idempotency_window=ALWAYS,
                lookup=Lookup.INCLUDING_ABSENCE,
            ),
        ),
        factory=lambda context, config: build(),
    )


def _name(payment_id: UUID) -> str:
    return f"memo_{payment_id}"


def _created(payment_id: UUID) -> Created:
    text = f"send it with the memo {payment_id}"
    return Created(reference=_name(payment_id), next_action=Show(kind=ShowKind.TEXT, payload=text))
