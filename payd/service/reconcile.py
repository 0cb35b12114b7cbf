"""Reconcile: compare what a provider has with what payd has, both ways, and name what differs.

The net under webhooks, scans and looks. What is found is settled like any evidence, and an
object that payd knows to be superfluous is closed. One that names a payment which payd does not
have is only reported: another payd may share the account.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import timedelta

import attrs

from payd.domain.actors import RECONCILIATION
from payd.domain.evidence import Conflict, Evidence, ProviderStatus, Snapshot
from payd.domain.payment import Origin, Payment
from payd.plugins.interface import PaymentRef, RemoteObject
from payd.ports import (
    Clock,
    Cursor,
    Cursors,
    Inbox,
    PaymentStore,
    ProviderPort,
    Providers,
    Reconciliation,
    Reconciliations,
    StoredObject,
)
from payd.service.operation import payment_ref, unique_providers
from payd.service.settle import Settle

#: What a comparison of objects may find.
FINDING_KINDS = (
    "object_without_payment",
    "second_object",
    "open_after_close",
    "payment_behind",
    "payment_without_object",
)
#: Of one comparison.
PAGES_MAX = 100_000
#: The cursor's name.
OBJECTS = "objects"
_ORIGIN = Origin(actor=RECONCILIATION)
#: An object may be a little older than we think, by clocks.
_SKEW = timedelta(hours=1)

Finding = Mapping[str, str]


@attrs.frozen(kw_only=True)
class Reconcile:
    """Use case: compare both sides."""

    store: PaymentStore
    settle: Settle
    inbox: Inbox
    cursors: Cursors
    results: Reconciliations
    providers: Providers
    clock: Clock
    interval: timedelta = timedelta(hours=24)
    window: timedelta = timedelta(hours=48)
    #: What was made just now may be missing from the provider's list.
    margin: timedelta = timedelta(minutes=10)
    #: Long enough for PAGES_MAX.
    lease_s: float = 3600.0

    async def claim_batch(self) -> Sequence[ProviderPort]:
        """Providers whose comparison is due, for this daemon to pass to `work`."""
        return [
            provider
            for provider in unique_providers(self.providers)
            if provider.can_list_objects
            and await self.cursors.claim_cursor(provider.name, OBJECTS, self.lease_s) is not None
        ]

    async def work(self, provider: ProviderPort) -> Reconciliation | None:
        """Compare and store the result; None when the provider did not answer to the end.

        There is an end to what a provider may list, and its cursor has to move.
        """
        start = self.clock.now()
        since, until = start - self.window, start - self.margin
        findings: list[Finding] = []
        listed: set[str] = set()
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await provider.objects(since - _SKEW, start, cursor)
            if page is None:
                return None
            for one in page.objects:
                listed.add(one.found.created.reference)
                findings += await self._compare(provider, one)
            before, cursor = cursor, page.cursor
            if cursor is None:
                break
            if cursor == before:
                return None
        else:
            return None
        stored = await self.results.stored_objects(provider.name, since, until)
        findings += await self._missing(provider, stored, listed)
        result = Reconciliation(
            provider=provider.name,
            since=since,
            until=until,
            start_time=start,
            end_time=self.clock.now(),
            objects=len(listed),
            payments=len(stored),
            findings=tuple(findings),
        )
        await self.results.add(result)
        rest = Cursor(name=OBJECTS, value=start.isoformat(), rest=self.interval)
        await self.inbox.put(provider.name, (), rest)
        return result

    async def _compare(self, provider: ProviderPort, one: RemoteObject) -> Sequence[Finding]:
        """One object against its payment."""
        if one.payment_id is None:
            return ()
        created, snapshot = one.found.created, one.found.snapshot
        payment = await self.store.find(provider.name, str(one.payment_id))
        if payment is None:
            return [_finding("object_without_payment", one, _state(one))]
        if payment.provider_reference not in (None, created.reference):
            return [await self._superfluous(provider, payment, one, "second_object")]
        if payment.status.is_closed and snapshot.status is ProviderStatus.OPEN:
            return [await self._superfluous(provider, payment, one, "open_after_close")]
        if not _is_behind(payment, one):
            return ()
        after = await self.settle.settle_all(payment, (created, snapshot), _ORIGIN)
        if after.status is payment.status:
            return ()
        return [_finding("payment_behind", one, f"{payment.status.value}->{after.status.value}")]

    async def _superfluous(
        self, provider: ProviderPort, payment: Payment, one: RemoteObject, kind: str
    ) -> Finding:
        """Something that nobody may pay any more; what was paid there is a person's to place."""
        done = _state(one)
        if one.found.snapshot.status is ProviderStatus.OPEN:
            ref = attrs.evolve(payment_ref(payment), reference=one.found.created.reference)
            done = await self._close(provider, payment, ref)
        else:
            told = _about(one.found.created.reference, one.found.snapshot)
            await self.settle.settle(payment, told, _ORIGIN)
        return _finding(kind, one, done)

    async def _close(self, provider: ProviderPort, payment: Payment, ref: PaymentRef) -> str:
        answer = await provider.close(ref)
        told = [_about(str(ref.reference), piece) for piece in answer.evidence]
        after = await self.settle.settle_all(payment, told, _ORIGIN)
        if not any(isinstance(piece, Snapshot) for piece in told):
            return "not closed: no answer"
        return "closed" if after.attention == payment.attention else "closed, see attention"

    async def _missing(
        self, provider: ProviderPort, stored: Iterable[StoredObject], listed: Container[str]
    ) -> list[Finding]:
        """Payments whose object the provider's list does not have."""
        findings: list[Finding] = []
        for one in stored:
            if one.reference in listed:
                continue
            payment = await self.settle.newest(one.payment_id)
            answer = await provider.fetch(payment_ref(payment))
            if not answer.is_missing:
                await self.settle.settle_all(payment, answer.evidence, _ORIGIN)
                continue
            await self.settle.settle(payment, Conflict(), _ORIGIN)
            findings.append(
                {
                    "kind": "payment_without_object",
                    "reference": one.reference,
                    "payment_id": str(one.payment_id),
                    "detail": one.status.value,
                }
            )
        return findings


def _about(reference: str, piece: Evidence) -> Evidence:
    """A snapshot of the object that was asked for: it need not name it."""
    if isinstance(piece, Snapshot) and piece.reference is None:
        return attrs.evolve(piece, reference=reference)
    return piece


def _finding(kind: str, one: RemoteObject, detail: str) -> Finding:
    reference = one.found.created.reference
    return {
        "kind": kind,
        "reference": reference,
        "payment_id": str(one.payment_id),
        "detail": detail,
    }


def _state(one: RemoteObject) -> str:
    snapshot = one.found.snapshot
    paid = f", received {snapshot.received} {snapshot.asset}" if snapshot.received else ""
    return f"{snapshot.status.value}{paid}"


def _is_behind(payment: Payment, one: RemoteObject) -> bool:
    """Whether the object says more than payd has heard."""
    snapshot = one.found.snapshot
    if payment.provider_reference is None:
        return True
    if payment.status.is_open:
        return snapshot.status is not ProviderStatus.OPEN
    return snapshot.confirmed > payment.confirmed or snapshot.refunded > payment.refunded
