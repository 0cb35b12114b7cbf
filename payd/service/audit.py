"""Audit: compare the ledger's sums with the balance of the account, to the last unit.

A receipt that is missing or counted twice, for whatever reason, appears here as a difference. The
sums and the watch's cursor are read in one snapshot, and the balance at exactly that cursor. A
payment's receipt that was seen counts as final when the report is settled, which may be after the
cursor: an audit that finds a difference is repeated soon.
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

#: Kinds of findings of an audit.
BALANCE_DIFFERS = "balance_differs"
SUMS_DIFFER = "sums_differ"
AUDIT_KINDS = (BALANCE_DIFFERS, SUMS_DIFFER)
#: Name of the cursor that schedules audits.
AUDIT = "audit"


@attrs.frozen(kw_only=True)
class Balance:
    """Ledger and account for one asset, in its minor or base units."""

    asset: str
    opening: int
    received: int
    outflows: int
    #: Balance of the account; None if the provider does not report the asset.
    held: int | None
    #: The block or time of the balance, for people.
    at: str

    @property
    def booked(self) -> int:
        """The balance that the ledger expects."""
        return self.opening + self.received - self.outflows

    @property
    def differs(self) -> bool:
        """Whether the account differs from the ledger."""
        return self.booked != (self.held or 0)

    def finding(self) -> Mapping[str, str]:
        """The difference as a finding of a reconciliation."""
        held = "nothing (asset not reported)" if self.held is None else str(self.held)
        difference = (self.held or 0) - self.booked
        detail = f"ledger {self.booked}, account {held} at {self.at}: difference {difference:+d}"
        return {
            "kind": BALANCE_DIFFERS,
            "reference": self.asset,
            "payment_id": "",
            "detail": detail,
        }


@attrs.frozen(kw_only=True)
class Audit:
    """Use case: compare the ledger with the account."""

    receipts: Receipts
    results: Reconciliations
    inbox: Inbox
    cursors: Cursors
    providers: Providers
    clock: Clock
    interval: timedelta = timedelta(hours=24)
    #: The longest delay after an audit that found a difference.
    recheck: timedelta = timedelta(minutes=10)
    #: Delay after an audit without an answer.
    again: timedelta = timedelta(seconds=10)
    #: Another daemon takes over an audit that has not finished after this many seconds.
    lease_s: float = 300.0

    async def claim_batch(self) -> Sequence[ProviderPort]:
        """Claim the providers whose audit is due; pass each to `work`."""
        return [
            provider
            for provider in unique_providers(self.providers)
            if provider.can_audit
            and await self.cursors.claim_cursor(provider.name, AUDIT, self.lease_s) is not None
        ]

    async def balances(self, provider: ProviderPort) -> Sequence[Balance] | None:
        """Compare each asset; None before the watch stored a cursor, or without an answer."""
        book = await self.receipts.book(provider.name)
        if book.cursor is None:
            return None
        holdings = await provider.holdings(book.cursor)
        return None if holdings is None else _both_sides(book, holdings)

    async def work(self, provider: ProviderPort) -> Reconciliation | None:
        """Compare and store the result; None if there was nothing to compare."""
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
        rest = min(self.interval, self.recheck) if findings else self.interval
        await self._rest(provider, start, rest)
        return result

    async def _miscounts(self, provider: ProviderPort) -> Sequence[Mapping[str, str]]:
        """Findings for running sums that differ from the rows; none if they cannot be counted now.

        Counting may fail while the balances were read: their differences must be kept all the same,
        and the next audit counts again.
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
    """Findings for running sums, which every audit relies on, that differ from the rows."""
    sides = {
        "received": (running.received, counted.received),
        "outflows": (running.outflows, counted.outflows),
    }
    return [
        {
            "kind": SUMS_DIFFER,
            "reference": asset,
            "payment_id": "",
            "detail": f"{side}: the running sum is {kept.get(asset, 0)}, the rows add up to "
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
