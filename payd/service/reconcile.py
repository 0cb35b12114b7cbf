"""Reconcile: compare a provider's objects with payd's payments, both ways, and report differences.

This catches what webhooks, scans and status checks missed. Differences are settled like any other
evidence, and an object that payd knows to be superfluous is closed. An object of an unknown payment
is only reported, since another payd may share the account.
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

#: Kinds of findings of a comparison.
FINDING_KINDS = (
    "object_without_payment",
    "second_object",
    "open_after_close",
    "payment_behind",
    "payment_without_object",
)
#: Most pages of one comparison.
PAGES_MAX = 100_000
#: Name of the cursor that schedules comparisons.
OBJECTS = "objects"
_ORIGIN = Origin(actor=RECONCILIATION)
#: By the provider's clock an object may be older than by ours.
_SKEW = timedelta(hours=1)

Finding = Mapping[str, str]


@attrs.frozen(kw_only=True)
class Reconcile:
    """Use case: compare a provider's objects with payments."""

    store: PaymentStore
    settle: Settle
    inbox: Inbox
    cursors: Cursors
    results: Reconciliations
    providers: Providers
    clock: Clock
    interval: timedelta = timedelta(hours=24)
    window: timedelta = timedelta(hours=48)
    #: Objects younger than this may still be missing from the provider's list.
    margin: timedelta = timedelta(minutes=10)
    #: Seconds; long enough for PAGES_MAX pages.
    lease_s: float = 3600.0

    async def claim_batch(self) -> Sequence[ProviderPort]:
        """Claim the providers whose comparison is due; pass each to `work`."""
        return [
            provider
            for provider in unique_providers(self.providers)
            if provider.can_list_objects
            and await self.cursors.claim_cursor(provider.name, OBJECTS, self.lease_s) is not None
        ]

    async def work(self, provider: ProviderPort) -> Reconciliation | None:
        """Compare and store the result; None if the provider did not list all objects.

        A faulty provider must not keep this busy for ever: a cursor that does not move, or more
        than PAGES_MAX pages, end the comparison without a result.
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
        """Compare one object with its payment."""
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
        """Close an object that must not be paid any more; money there raises attention."""
        done = _state(one)
        if one.found.snapshot.status is ProviderStatus.OPEN:
            ref = attrs.evolve(payment_ref(payment), reference=one.found.created.reference)
            done = await self._close(provider, payment, ref)
        else:
            snapshot = _about(one.found.created.reference, one.found.snapshot)
            await self.settle.settle(payment, snapshot, _ORIGIN)
        return _finding(kind, one, done)

    async def _close(self, provider: ProviderPort, payment: Payment, ref: PaymentRef) -> str:
        answer = await provider.close(ref)
        evidence = [_about(str(ref.reference), piece) for piece in answer.evidence]
        after = await self.settle.settle_all(payment, evidence, _ORIGIN)
        if not any(isinstance(piece, Snapshot) for piece in evidence):
            return "not closed: no answer"
        return (
            "closed"
            if after.attention_records == payment.attention_records
            else "closed, see attention"
        )

    async def _missing(
        self, provider: ProviderPort, stored: Iterable[StoredObject], listed: Container[str]
    ) -> list[Finding]:
        """Findings for payments whose object is neither listed nor found."""
        findings: list[Finding] = []
        for one in stored:
            if one.reference in listed:
                continue
            payment = await self.settle.newest(one.payment_id)
            answer = await provider.fetch(payment_ref(payment))
            if not answer.is_missing:
                await self.settle.settle_all(payment, answer.evidence, _ORIGIN)
                continue
            conflict = Conflict(detail=f"object {one.reference} is missing")
            await self.settle.settle(payment, conflict, _ORIGIN)
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
    """Name the object in a snapshot that leaves its reference out."""
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
    """Whether the object has news for the payment."""
    snapshot = one.found.snapshot
    if payment.provider_reference is None:
        return True
    if payment.status.is_open:
        return snapshot.status is not ProviderStatus.OPEN
    has_more = snapshot.confirmed > payment.confirmed or (snapshot.fee or 0) > (payment.fee or 0)
    return has_more or bool(snapshot.refunds or snapshot.disputes)
