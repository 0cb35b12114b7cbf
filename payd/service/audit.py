"""Audit: what the ledger says must be what the account holds, to the last unit.

Whatever made a receipt go missing, or come twice, shows here as a difference; nothing else finds
all of it. The sums and the cursor are of one moment, and the balance is read at that very point.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import attrs

from payd.domain.errors import StoreUnavailable
from payd.plugins.interface import Holding
from payd.ports import (
    Book,
    Clock,
    Cursor,
    Cursors,
    Inbox,
    ProviderPort,
    Providers,
    Receipts,
    Reconciliation,
    Reconciliations,
)
from payd.service.operation import unique_providers

#: What an audit may find.
BALANCE_DIFFERS = "balance_differs"
SUMS_DIFFER = "sums_differ"
AUDIT_KINDS = (BALANCE_DIFFERS, SUMS_DIFFER)
#: The cursor's name.
AUDIT = "audit"


@attrs.frozen(kw_only=True)
class Balance:
    """One asset's account, on both sides."""

    asset: str
    opening: int
    received: int
    outflows: int
    #: What the account holds; None when the provider does not name the asset.
    held: int | None
    at: str

    @property
    def booked(self) -> int:
        """What it should hold."""
        return self.opening + self.received - self.outflows

    @property
    def differs(self) -> bool:
        """Whether somebody must look."""
        return self.booked != (self.held or 0)

    def finding(self) -> Mapping[str, str]:
        """As a reconciliation keeps it."""
        held = "nothing that the provider names" if self.held is None else str(self.held)
        difference = (self.held or 0) - self.booked
        detail = f"the ledger says {self.booked}, held is {held} at {self.at}: {difference:+d}"
        return {
            "kind": BALANCE_DIFFERS,
            "reference": self.asset,
            "payment_id": "",
            "detail": detail,
        }


@attrs.frozen(kw_only=True)
class Audit:
    """Use case: hold the ledger against the account."""

    receipts: Receipts
    results: Reconciliations
    inbox: Inbox
    cursors: Cursors
    providers: Providers
    clock: Clock
    interval: timedelta = timedelta(hours=24)
    #: After one that brought no answer.
    again: timedelta = timedelta(seconds=10)
    #: After one that died.
    lease_s: float = 300.0

    async def claim_batch(self) -> Sequence[ProviderPort]:
        """Providers whose audit is due, for this daemon to pass to `work`."""
        return [
            provider
            for provider in unique_providers(self.providers)
            if provider.can_audit
            and await self.cursors.claim_cursor(provider.name, AUDIT, self.lease_s) is not None
        ]

    async def balances(self, provider: ProviderPort) -> Sequence[Balance] | None:
        """Each asset on both sides; None before the first receipt, or without an answer."""
        book = await self.receipts.book(provider.name)
        if book.cursor is None:
            return None
        holdings = await provider.holdings(book.cursor)
        return None if holdings is None else _both_sides(book, holdings)

    async def work(self, provider: ProviderPort) -> Reconciliation | None:
        """Compare and store the result; None when there is nothing to compare."""
        start = self.clock.now()
        balances = await self.balances(provider)
        if balances is None:
            await self._rest(provider, start, self.again)
            return None
        findings = [balance.finding() for balance in balances if balance.differs]
        findings += await self._miscounts(provider)
        result = Reconciliation(
            provider=provider.name,
            since=start,
            until=start,
            start_time=start,
            end_time=self.clock.now(),
            objects=len(balances),
            payments=0,
            findings=tuple(findings),
        )
        await self.results.add(result)
        await self._rest(provider, start, self.interval)
        return result

    async def _miscounts(self, provider: ProviderPort) -> Sequence[Mapping[str, str]]:
        """Where the running sums are wrong. The next audit counts again where the store is away:
        a difference of the balance must not be lost because the rows could not be counted.
        """
        try:
            running, counted = await self.receipts.recount(provider.name)
        except StoreUnavailable:
            return []
        return _miscounts(running, counted)

    async def _rest(self, provider: ProviderPort, start: datetime, rest: timedelta) -> None:
        cursor = Cursor(name=AUDIT, value=start.isoformat(), rest=rest)
        await self.inbox.put(provider.name, (), cursor)


def _miscounts(running: Book, counted: Book) -> Sequence[Mapping[str, str]]:
    """Where the running sums, which every audit trusts, are not the sums of the rows."""
    sides = {
        "received": (running.received, counted.received),
        "outflows": (running.outflows, counted.outflows),
    }
    return [
        {
            "kind": SUMS_DIFFER,
            "reference": asset,
            "payment_id": "",
            "detail": f"{side}: the running sum is {kept.get(asset, 0)}, the rows give "
            f"{rows.get(asset, 0)}; run SELECT recount_ledger()",
        }
        for side, (kept, rows) in sides.items()
        for asset in sorted(kept.keys() | rows.keys())
        if kept.get(asset, 0) != rows.get(asset, 0)
    ]


def _both_sides(book: Book, holdings: Sequence[Holding]) -> Sequence[Balance]:
    held = {holding.asset.lower(): holding for holding in holdings}
    assets = sorted(held.keys() | book.received.keys() | book.outflows.keys())
    return [
        Balance(
            asset=asset,
            opening=held[asset].opening if asset in held else 0,
            received=book.received.get(asset, 0),
            outflows=book.outflows.get(asset, 0),
            held=held[asset].balance if asset in held else None,
            at=held[asset].at if asset in held else "the cursor",
        )
        for asset in assets
    ]
