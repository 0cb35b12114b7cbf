"""The provider: creates claims and refunds in the ledger, and scans the bank's statements."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
import trio

from payd.plugins import (
    Absent,
    Created,
    CreateOperation,
    Declined,
    Found,
    IdempotencyConflict,
    InvalidRequest,
    Observation,
    Page,
    PaymentRef,
    Provider,
    ProviderContext,
    ProviderEvent,
    RefundInstructions,
    RefundOperation,
    RefundRef,
    RefundSnapshot,
    Snapshot,
)
from sepa_provider import claims
from sepa_provider.config import SepaConfig, checked_iban
from sepa_provider.importing import Importer
from sepa_provider.ledger import Claim, Ledger, Payout
from sepa_provider.references import reference_of
from sepa_provider.statements import Entry, Kind

#: Entries in one page, which payd stores in one transaction.
PAGE_MAX = 100


@asynccontextmanager
async def open_provider(context: ProviderContext, config: SepaConfig) -> AsyncIterator[Provider]:
    """Create the provider; the manifest's factory."""
    ledger = Ledger(config.ledger_file)
    await trio.to_thread.run_sync(ledger.prepare, config.iban)
    importer = Importer(config.statements_dir, config.iban, ledger, context.log)
    yield SepaProvider(context, config, ledger, importer)


class SepaProvider:
    """Implements Provider, SupportsRefund and SupportsScan.

    Files are read and written in threads. A cancelled call still waits for its thread to finish,
    so that its effect is known.
    """

    def __init__(
        self, context: ProviderContext, config: SepaConfig, ledger: Ledger, importer: Importer
    ) -> None:
        self._clock = context.clock
        self._config = config
        self._ledger = ledger
        self._importer = importer

    async def create(self, operation: CreateOperation) -> Created:
        """Store one claim per operation id; a repetition returns the first answer."""
        claim = self._claim(operation)
        kept = await trio.to_thread.run_sync(self._ledger.book, claim)
        # Our account is a setting, which may have changed since.
        if attrs.evolve(kept, iban=claim.iban) != claim:
            raise IdempotencyConflict("the operation id was used with other parameters")
        return claims.created(kept)

    async def fetch(self, ref: PaymentRef) -> Found | Absent:
        """Import new statements, then return the state of the claim."""
        await self._importer.import_new()
        return await trio.to_thread.run_sync(self._found, ref)

    async def cancel(self, ref: PaymentRef) -> Snapshot:
        """Return the state of the claim: a bank transfer cannot be cancelled."""
        found = await self.fetch(ref)
        if isinstance(found, Absent):
            raise InvalidRequest("payment_id", "no claim exists for this payment")
        return found.snapshot

    async def refund(self, operation: RefundOperation) -> RefundInstructions:
        """Say what to transfer, the same for every repetition: we have no access to the account."""
        payout = self._payout(operation)
        if await trio.to_thread.run_sync(self._ledger.find, payout.claim) is None:
            raise Declined("no_such_claim", "No claim exists for this payment.")
        kept = await trio.to_thread.run_sync(self._ledger.owe, payout)
        if kept != payout:
            raise IdempotencyConflict("the operation id was used with other parameters")
        return claims.instructions(kept)

    async def fetch_refund(self, ref: RefundRef) -> RefundSnapshot | Absent:
        """Import new statements, then return the transfer with the refund's reference."""
        await self._importer.import_new()
        return await trio.to_thread.run_sync(self._paid_out, ref)

    async def health(self) -> None:
        """Check that the ledger and the statements folder are accessible."""
        await trio.to_thread.run_sync(self._ledger.check)
        await trio.to_thread.run_sync(self._importer.check)

    # -- events ----------------------------------------------------------------------------------

    async def scan(self, cursor: str | None) -> Page:
        """Return the entries after the cursor.

        The cursor is the ledger number and id of the last entry returned. Numbers grow in the order
        of arrival, so a file that arrives late, under an older name, is still returned.
        """
        await self._importer.import_new()
        return await trio.to_thread.run_sync(self._page, cursor)

    def translate(self, event: ProviderEvent) -> Sequence[Observation]:
        """Convert an event to observations about payments; empty for events of no interest."""
        return claims.observations(event)

    # -- ledger access, in threads ---------------------------------------------------------------

    def _claim(self, operation: CreateOperation) -> Claim:
        return Claim(
            reference=reference_of(operation.operation_id),
            operation_id=operation.operation_id,
            payment_id=str(operation.payment_id),
            amount=operation.amount.minor_units,
            currency=operation.amount.currency_code,
            iban=self._config.iban,
            create_time=operation.create_time,
            expire_time=operation.expire_time,
        )

    def _found(self, ref: PaymentRef) -> Found | Absent:
        # If the answer to `create` was lost, derive the reference from the operation id.
        reference = ref.reference or reference_of(ref.operation_id)
        claim = self._ledger.find(reference)
        if claim is None:
            return Absent()
        # A missing transfer is certain only up to the end of the newest statement, and payd lets a
        # payment expire only by a snapshot that is later than its expire_time.
        covered_until = self._ledger.end_time() or claim.create_time
        as_of = max(claim.create_time, min(covered_until, self._clock.now()))
        entries = self._ledger.entries_of(reference)
        paid_out = [
            (payout, self._ledger.entries_of(payout.reference))
            for payout in self._ledger.payouts_of(reference)
        ]
        standing = claims.snapshot(claim, entries, paid_out, as_of)
        return Found(created=claims.created(claim), snapshot=standing)

    def _payout(self, operation: RefundOperation) -> Payout:
        try:
            iban = checked_iban(operation.destination)
        except ValueError as error:
            raise InvalidRequest("destination", str(error)) from None
        if iban == self._config.iban:
            raise InvalidRequest("destination", "this is our own account")
        return Payout(
            reference=reference_of(operation.operation_id),
            refund_id=str(operation.refund_id),
            claim=operation.reference,
            amount=operation.amount,
            currency=operation.asset,
            iban=iban,
        )

    def _paid_out(self, ref: RefundRef) -> RefundSnapshot | Absent:
        reference = reference_of(ref.operation_id)
        payout = self._ledger.payout(reference)
        for refund in claims.refunds_of(self._ledger.entries_of(reference), payout):
            if ref.reference in (None, refund.reference):
                return refund
        return Absent()

    def _event(self, entry: Entry) -> ProviderEvent:
        if entry.reference is None or entry.kind in (Kind.CREDIT, Kind.REVERSAL):
            return claims.event(entry)
        payout = self._ledger.payout(entry.reference)
        if entry.kind is Kind.TRANSFER:
            return claims.event(entry, payout)
        transfer = claims.came_back(self._ledger.entries_of(entry.reference)).get(entry.id)
        return claims.event(entry, payout if transfer else None, transfer)

    def _page(self, cursor: str | None) -> Page:
        number, _, entry_id = (cursor or "0:").partition(":")
        if not self._ledger.has(int(number), entry_id):
            # First scan, or the ledger was recreated or restored from a backup: start over. payd
            # ignores the events that it has already stored.
            number, cursor = "0", "0:"
        rows = self._ledger.entries_after(int(number), PAGE_MAX)
        for last, entry in rows[-1:]:
            cursor = f"{last}:{entry.id}"
        return Page(
            events=tuple(self._event(entry) for _, entry in rows),
            cursor=cursor or "0:",
            more=len(rows) == PAGE_MAX,
        )
