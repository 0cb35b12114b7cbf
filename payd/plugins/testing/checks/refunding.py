"""A refund in a check: its operation as payd builds it, calls, and all reports about it."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import attrs

from payd.plugins import (
    Absent,
    Created,
    CreateOperation,
    Observation,
    PaymentRef,
    ProviderEvent,
    RefundInstructions,
    RefundOperation,
    RefundRef,
    RefundSnapshot,
    Snapshot,
    SupportsEvents,
    SupportsRefund,
    SupportsScan,
    SupportsWebhooks,
)
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.checks.scan import read
from payd.plugins.testing.checks.webhooks import verified
from payd.plugins.testing.operations import asset, due, names
from payd.plugins.testing.registry import Failed

__all__ = ["FETCH", "Paid", "known", "paid", "refunds_of"]


#: The channel of what is found by asking.
FETCH = "fetch"


@attrs.frozen(kw_only=True)
class Paid:
    """A payment that the customer has paid, as payd knows it."""

    bench: Bench
    operation: CreateOperation
    ref: PaymentRef
    created: Created
    #: Every further name of the object that was reported so far.
    aliases: tuple[str, ...]
    #: The cursor of the scan before anything was refunded; None without a scan.
    cursor: str | None
    #: The ids of the refunds that were requested: a report may name its payment by one of them.
    refund_ids: set[str] = attrs.field(factory=set)

    @property
    def due(self) -> int:
        """What was due, and paid, in units of the asset."""
        return due(self.operation)

    def refund(self, amount: int | None = None, **other: Any) -> RefundOperation:
        """Build a refund operation as payd does; by default half of what was paid."""
        refund_id = uuid4()
        self.refund_ids.add(str(refund_id))
        amount = self.due // 2 if amount is None else amount
        fields: dict[str, Any] = {
            "operation_id": f"payd:{refund_id}:refund:v1",
            "refund_id": refund_id,
            "payment_id": self.operation.payment_id,
            "reference": self.created.reference,
            "aliases": self.aliases,
            "amount": amount,
            "asset": asset(self.operation),
            "is_all": amount == self.due,
            "reason": "Requested by the conformance kit.",
            "destination": self.bench.remote.refund_destination,
            "create_time": self.bench.clock.now(),
        }
        return RefundOperation(**{**fields, **other})

    async def send(self, refund: RefundOperation) -> RefundSnapshot:
        """Call refund of a provider that sends. Raises ProviderError, and Failed."""
        result = await self.bench.in_time(_able(self.bench).refund, refund)
        said = self.bench.expect(RefundSnapshot, result, "refund")
        self.is_of(refund, said, "refund")
        return said

    async def instruct(self, refund: RefundOperation) -> RefundInstructions:
        """Call refund of a provider that can only say what to send."""
        result = await self.bench.in_time(_able(self.bench).refund, refund)
        return self.bench.expect(RefundInstructions, result, "refund")

    async def fetch(
        self, refund: RefundOperation, said: RefundSnapshot | None = None
    ) -> RefundSnapshot | Absent:
        """Call fetch_refund; without `said`, as after a lost response."""
        result = await self.bench.in_time(_able(self.bench).fetch_refund, self.ref_of(refund, said))
        if isinstance(result, Absent):
            return result
        found = self.bench.expect(RefundSnapshot, result, "fetch_refund")
        self.is_of(refund, found, "fetch_refund")
        return found

    async def found(
        self, refund: RefundOperation, said: RefundSnapshot | None = None
    ) -> RefundSnapshot:
        """Call fetch_refund for a refund that exists."""
        result = await self.fetch(refund, said)
        return self.bench.expect(RefundSnapshot, result, "fetch_refund of a refund that exists")

    def ref_of(self, refund: RefundOperation, said: RefundSnapshot | None = None) -> RefundRef:
        """Build payd's reference to a refund."""
        return RefundRef(
            operation_id=refund.operation_id,
            refund_id=refund.refund_id,
            reference=said.reference if said else None,
            payment_id=refund.payment_id,
            payment_reference=refund.reference,
            aliases=refund.aliases,
            asset=refund.asset,
            amount=refund.amount,
            create_time=refund.create_time,
        )

    async def raised(self, refund: RefundOperation) -> BaseException | None:
        """Call refund; return the ProviderError that it raised, or None."""
        return await self.bench.raised(_able(self.bench).refund, refund)

    async def count(self) -> int:
        """Number of refunds that the remote side has for the payment."""
        return await self.bench.remote.refunds(self.operation.payment_id)

    def is_of(self, refund: RefundOperation, said: RefundSnapshot, what: str) -> None:
        """Raise Failed if it is another refund than was requested."""
        if said.refund_id not in (None, refund.refund_id):
            raise Failed(f"{what} returned the refund {said.refund_id}, not {refund.refund_id}")
        if said.amount != refund.amount:
            raise Failed(f"{what} returned amount {said.amount}, requested {refund.amount}")
        if said.asset.lower() != refund.asset.lower():
            raise Failed(f"{what} returned asset {said.asset!r}, requested {refund.asset!r}")

    async def reports(self) -> Sequence[tuple[str, Observation]]:
        """Every report about the payment so far, with its channel: webhook, scan or watch."""
        await self.bench.settled()
        bench, provider = self.bench, self.bench.provider
        events: list[tuple[str, ProviderEvent]] = []
        if isinstance(provider, SupportsWebhooks):
            request = bench.remote.webhook(self.ref, bench.clock.now())
            events += [("the webhook", event) for event in verified(bench, request)]
        if isinstance(provider, SupportsScan):
            found, _ = await read(bench, self.cursor)
            events += [("the scan", event) for event in found.values()]
        results: list[tuple[str, Observation]] = []
        if isinstance(provider, SupportsEvents):
            results = [(by, one) for by, event in events for one in provider.translate(event)]
        watched = [("the watch", one) for sink in bench.sinks for one in sink.stored]
        mine = names(self.operation, self.created) | {*self.aliases} | self.refund_ids
        return [(by, one) for by, one in (*results, *watched) if one.reference in mine]

    async def reported(self) -> Sequence[tuple[str, RefundSnapshot]]:
        """Every refund in the reports and in the look, with its channel."""
        results = [(by, one) for by, report in await self.reports() for one in refunds_of(report)]
        looked = (await self.bench.found(self.ref)).snapshot
        return [*results, *((FETCH, one) for one in looked.refunds)]


async def paid(bench: Bench, **fields: Any) -> Paid:
    """Create an object and pay it; return when the payment has been reported."""
    operation, ref, created = await bench.paid(**fields)
    return await known(bench, operation, ref, created)


async def known(
    bench: Bench, operation: CreateOperation, ref: PaymentRef, created: Created
) -> Paid:
    """What payd knows of an object now."""
    cursor = (await read(bench, None))[1] if isinstance(bench.provider, SupportsScan) else None
    found = await bench.found(ref)
    aliases = {*created.aliases, *found.created.aliases, *found.snapshot.aliases}
    return Paid(
        bench=bench,
        operation=operation,
        ref=ref,
        created=created,
        aliases=tuple(sorted(aliases)),
        cursor=cursor,
    )


def refunds_of(report: Observation) -> Sequence[RefundSnapshot]:
    """The refunds in a report."""
    if isinstance(report.fact, RefundSnapshot):
        return (report.fact,)
    return report.fact.refunds if isinstance(report.fact, Snapshot) else ()


def _able(bench: Bench) -> SupportsRefund:
    if not isinstance(bench.provider, SupportsRefund):
        raise Failed("the manifest declares refunds, but the provider has no refund method")
    return bench.provider
