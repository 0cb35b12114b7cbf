"""Mistakes about money, planted in acme, sepa and instant transfers: each is found by a check.

`test_planted_faults.py` does the same for mistakes under faults.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import trio
from acme_provider.provider import AcmeProvider
from integration.kit import broken_books
from integration.kit.broken import manifest_of, open_acme, open_sepa, saying
from integration.kit.broken_books import of_receipts
from integration.kit.instant_transfers import InstantProvider, open_instant
from sepa_provider import importing
from sepa_provider.provider import SepaProvider
from sepa_provider.statements import read_statements

from payd.plugins import (
    Observation,
    ProviderEvent,
    ProviderStatus,
    Receipt,
    ReceiptState,
    RefundState,
)
from payd.plugins.testing import CHECKS, OpenRemote, Outcome, run_check

BY_NAME = {check.name: check for check in CHECKS}

PARTS = "all reports make the payment that was paid"
EXCESS = "all reports make the excess that was paid"
TOGETHER = "payments in one report each get their money"
FINAL = "money completes a payment when it is final"
ASSET = "money in another asset does not count"
TIME = "money has the time at which it moved"
LATE = "late money is late by every channel"
FLOATS = "amounts that binary fractions miss are exact"
OUTSIDE = "refunds without payd are the same by every channel"
REFUND = "a refund of payd is the same by every channel"
DISPUTE = "a dispute is the same by every channel"
PAGES = "nothing is lost between pages"

#: The mistake, the provider that makes it, the check that finds it.
PLANTED: list[tuple[str, type, str]] = []


def planted(what: str, check: str) -> Callable[[type], type]:
    """The provider of this class makes the mistake, and this check finds it."""

    def register(mistaken: type) -> type:
        PLANTED.append((what, mistaken, check))
        return mistaken

    return register


def truncated(minor_units: int) -> int:
    """The amount after a float."""
    return int(minor_units / 100 * 100)


def rounded_up(minor_units: int) -> int:
    """The amount after another float."""
    return math.ceil(minor_units / 100 * 100)


def with_facts(observations: Any, change: Callable[[Any], Any]) -> list[Observation]:
    """The same observations with other snapshots."""
    return [attrs.evolve(one, fact=change(one.fact)) for one in observations]


class Retold(AcmeProvider):
    """Acme with another snapshot in each channel."""

    def change(self, snapshot: Any) -> Any:
        raise NotImplementedError

    async def fetch(self, ref: Any) -> Any:
        found: Any = await super().fetch(ref)
        return attrs.evolve(found, snapshot=self.change(found.snapshot))

    def translate(self, event: ProviderEvent) -> Any:
        return with_facts(super().translate(event), self.change)


# -- Acme: snapshots ---------------------------------------------------------------------------


@planted("incoming amounts are read as floats", FLOATS)
class FloatsIn(Retold):
    def change(self, snapshot: Any) -> Any:
        received = truncated(snapshot.received)
        return attrs.evolve(snapshot, received=received, confirmed=received)


@planted("incoming amounts are rounded up", FLOATS)
class FloatsUp(Retold):
    def change(self, snapshot: Any) -> Any:
        received = rounded_up(snapshot.received)
        return attrs.evolve(snapshot, received=received, confirmed=received)


@planted("amounts of refunds are read as floats", OUTSIDE)
class FloatsBack(Retold):
    def change(self, snapshot: Any) -> Any:
        refunds = (attrs.evolve(one, amount=truncated(one.amount)) for one in snapshot.refunds)
        return attrs.evolve(snapshot, refunds=tuple(refunds))


@planted("the webhook reports another unit than fetch", PARTS)
class TwoUnits(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return with_facts(super().translate(event), self.in_hundredths)

    def in_hundredths(self, snapshot: Any) -> Any:
        received = snapshot.received * 100
        return attrs.evolve(snapshot, received=received, confirmed=received)


@planted("money is received, and never confirmed", PARTS)
class NeverConfirmed(Retold):
    def change(self, snapshot: Any) -> Any:
        return attrs.evolve(snapshot, confirmed=0)


@planted("what is due counts as paid", PARTS)
class DueIsPaid(Retold):
    def change(self, snapshot: Any) -> Any:
        received = snapshot.due if snapshot.received else 0
        return attrs.evolve(snapshot, received=received, confirmed=received)


@planted("the asset is the shop's usual currency", PARTS)
class UsualCurrency(Retold):
    def change(self, snapshot: Any) -> Any:
        return attrs.evolve(snapshot, asset="CHF")


@planted("the asset is the first currency", PARTS)
class FirstCurrency(Retold):
    def change(self, snapshot: Any) -> Any:
        return attrs.evolve(snapshot, asset=self._config.currencies[0])


@planted("the zone of a refund's time is dropped", OUTSIDE)
@planted("the zone of a refund's time is dropped", REFUND)
class NoZoneOfRefunds(Retold):
    def change(self, snapshot: Any) -> Any:
        two = timedelta(hours=2)
        refunds = (attrs.evolve(one, time=one.time + two) for one in snapshot.refunds)
        return attrs.evolve(snapshot, refunds=tuple(refunds))


@planted("a refund has the time of the look", REFUND)
class TimeOfTheLook(AcmeProvider):
    context: Any

    async def fetch_refund(self, ref: Any) -> Any:
        found: Any = await super().fetch_refund(ref)
        return attrs.evolve(found, time=self.context.clock.now())


@planted("the event has the id of its charge", PARTS)
class OneEventOfACharge(AcmeProvider):
    def verify(self, request: Any, secrets: Any, now: datetime) -> Any:
        return self.renamed(super().verify(request, secrets, now))

    async def scan(self, cursor: str | None) -> Any:
        page = await super().scan(cursor)
        return attrs.evolve(page, events=tuple(map(self.renamed, page.events)))

    def renamed(self, event: Any) -> ProviderEvent:
        renamed: ProviderEvent = attrs.evolve(event, id=event.content["charge"]["id"])
        return renamed


@planted("local time is read as UTC", TIME)
class LocalTime(Retold):
    def change(self, snapshot: Any) -> Any:
        local = datetime.fromtimestamp(snapshot.as_of.timestamp()).replace(tzinfo=UTC)  # noqa: DTZ006
        return attrs.evolve(snapshot, as_of=local)


@planted("a pending refund counts as arrived", REFUND)
class PendingIsArrived(Retold):
    def change(self, snapshot: Any) -> Any:
        refunds = (attrs.evolve(r, state=RefundState.SUCCEEDED) for r in snapshot.refunds)
        return attrs.evolve(snapshot, refunds=tuple(refunds))


@planted("a refund is not named by payd's id, but under another reference", REFUND)
class UnnamedRefund(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return with_facts(super().translate(event), self.unnamed)

    def unnamed(self, snapshot: Any) -> Any:
        refunds = (
            attrs.evolve(one, refund_id=None, reference=f"charge {one.reference}")
            for one in snapshot.refunds
        )
        return attrs.evolve(snapshot, refunds=tuple(refunds))


@planted("all refunds of a charge have its name", OUTSIDE)
class OneNameOfAllRefunds(Retold):
    def change(self, snapshot: Any) -> Any:
        refunds = (attrs.evolve(r, reference=snapshot.reference) for r in snapshot.refunds)
        return attrs.evolve(snapshot, refunds=tuple(refunds))


@planted("only the newest refund is reported", OUTSIDE)
class TheNewestRefund(Retold):
    def change(self, snapshot: Any) -> Any:
        return attrs.evolve(snapshot, refunds=snapshot.refunds[:1])


@planted("a dispute is about the due amount in another unit", DISPUTE)
class DisputedUnits(Retold):
    def change(self, snapshot: Any) -> Any:
        disputes = (attrs.evolve(one, amount=one.amount // 100) for one in snapshot.disputes)
        return attrs.evolve(snapshot, disputes=tuple(disputes))


@planted("the cursor is a second, and nothing of that second is read again", PAGES)
class WithoutOverlap(broken_books.NothingBeforeTheNewest):
    """As it was."""


@planted("only the first event of a page is read", PAGES)
class TheFirstOfAPage(AcmeProvider):
    async def scan(self, cursor: str | None) -> Any:
        page = await super().scan(cursor)
        return attrs.evolve(page, events=page.events[:1])


# -- SEPA: receipts of a scan ------------------------------------------------------------------


@planted("receipts have twice the amount", PARTS)
class Doubled(SepaProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return [
            one
            if not isinstance(one.fact, tuple)
            else of_receipts([one], amount=one.fact[0].amount * 2)[0]
            for one in super().translate(event)
        ]


@planted("receipts are SEEN for ever", PARTS)
@planted("receipts are SEEN for ever", FINAL)
class SeenForEver(SepaProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return of_receipts(super().translate(event), state=ReceiptState.SEEN)


@planted("the receipt has the id of the claim", PARTS)
class OneReceiptOfAClaim(SepaProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return of_receipts(super().translate(event), id=event.content["reference"])


@planted("cents are read as floats", FLOATS)
class FloatCents(SepaProvider):
    def translate(self, event: ProviderEvent) -> Any:
        amount = truncated(event.content["amount"])
        return of_receipts(super().translate(event), amount=amount or 1)


@planted("the look counts every transfer twice", PARTS)
class LooksTwice(SepaProvider):
    async def fetch(self, ref: Any) -> Any:
        found: Any = await super().fetch(ref)
        return saying(found, confirmed=found.snapshot.confirmed * 2)


@planted("the look counts late money as paid in time", LATE)
class LateIsInTime(SepaProvider):
    async def fetch(self, ref: Any) -> Any:
        found: Any = await super().fetch(ref)
        received = found.snapshot.received
        is_paid = received >= found.snapshot.due
        status = ProviderStatus.PAID if is_paid else found.snapshot.status
        return saying(found, confirmed=received, status=status)


@planted("money has the time of its report", TIME)
class TimeOfTheImport(SepaProvider):
    async def scan(self, cursor: str | None) -> Any:
        page = await super().scan(cursor)
        now = self._clock.now().isoformat()
        events = tuple(
            attrs.evolve(one, content={**one.content, "booking_time": now}) for one in page.events
        )
        return attrs.evolve(page, events=events)


@planted("only the first entry of a page is translated", TOGETHER)
class TheFirstEntry(SepaProvider):
    async def scan(self, cursor: str | None) -> Any:
        page = await super().scan(cursor)
        return attrs.evolve(page, events=page.events[:1])


@planted("a returned transfer is money again", OUTSIDE)
class ReturnsAreMoney(SepaProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return super().translate(attrs.evolve(event, type="credit"))


@planted("returned transfers have the name of the claim", OUTSIDE)
class OneReturnOfAClaim(SepaProvider):
    def translate(self, event: ProviderEvent) -> Any:
        said: Any = super().translate(event)
        if event.type == "credit":
            return said
        return with_facts(said, lambda fact: attrs.evolve(fact, reference=said[0].reference))


@planted("an entry at the border of two pages is skipped", PAGES)
class SkipsAnEntry(SepaProvider):
    def _page(self, cursor: str | None) -> Any:
        page = super()._page(cursor)
        return attrs.evolve(page, events=page.events[:-1]) if page.more else page


# -- instant transfers: receipts, in batches ---------------------------------------------------


@planted("webhook and scan name one payment by two ids", PARTS)
class TwoNames(broken_books.TwoIdsOfOnePayment):
    """As it was."""


@planted("a receipt has the id of its event", FINAL)
class NamedByTheEvent(InstantProvider):
    def receipt(self, one: Any, event: ProviderEvent) -> Receipt:
        return attrs.evolve(super().receipt(one, event), id=event.id)


@planted("all receipts of a batch have one id", TOGETHER)
class OneIdOfABatch(NamedByTheEvent):
    """As it was."""


@planted("only the last payment of a batch is read", TOGETHER)
class TheLastOfABatch(InstantProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return super().translate(event)[-1:]


@planted("the sum of a batch is each payment's", TOGETHER)
class TheSumOfABatch(InstantProvider):
    def receipt(self, one: Any, event: ProviderEvent) -> Receipt:
        total = sum(payment["amount"] for payment in event.content["payments"])
        return attrs.evolve(super().receipt(one, event), amount=total)


@planted("all payments of a batch are the first one's", TOGETHER)
class ABatchForTheFirst(InstantProvider):
    def translate(self, event: ProviderEvent) -> Any:
        said = list(super().translate(event))
        return [attrs.evolve(one, reference=said[0].reference) for one in said]


@planted("money that is seen counts as final", FINAL)
class SeenIsFinal(InstantProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return of_receipts(super().translate(event), state=ReceiptState.CONFIRMED)


@planted("final money stays seen", FINAL)
class FinalIsSeen(InstantProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return of_receipts(super().translate(event), state=ReceiptState.SEEN)


@planted("any currency counts as what is due", ASSET)
class AnyCurrency(broken_books.TakesAnyCurrency):
    """As it was."""


@planted("the zone of a time is dropped", TIME)
class NoZone(broken_books.DropsTheZone):
    """As it was."""


@planted("local time is read as UTC", TIME)
class LocalTimeOfReceipts(InstantProvider):
    def receipt(self, one: Any, event: ProviderEvent) -> Receipt:
        receipt = super().receipt(one, event)
        local = datetime.fromtimestamp(receipt.time.timestamp()).replace(tzinfo=UTC)  # noqa: DTZ006
        return attrs.evolve(receipt, time=local)


@planted("a receipt has the time of its report", TIME)
class TimeOfTheReport(InstantProvider):
    def receipt(self, one: Any, event: ProviderEvent) -> Receipt:
        sent = datetime.fromisoformat(event.content["sent_time"])
        return attrs.evolve(super().receipt(one, event), time=sent)


@planted("late money is dated back to its charge", LATE)
class DatedBack(InstantProvider):
    def receipt(self, one: Any, event: ProviderEvent) -> Receipt:
        receipt = super().receipt(one, event)
        return attrs.evolve(receipt, time=receipt.time - timedelta(hours=2))


@planted("amounts of receipts are read as floats", FLOATS)
class FloatReceipts(InstantProvider):
    def receipt(self, one: Any, event: ProviderEvent) -> Receipt:
        return super().receipt({**one, "amount": truncated(one["amount"])}, event)


@planted("what is paid too much is left out", EXCESS)
class WithoutTheExcess(InstantProvider):
    def receipt(self, one: Any, event: ProviderEvent) -> Receipt:
        return super().receipt({**one, "amount": min(one["amount"], 14_900)}, event)


# -- each is found -----------------------------------------------------------------------------


def remote_of(mistaken: type) -> OpenRemote:
    if issubclass(mistaken, InstantProvider):
        return open_instant
    return open_acme if issubclass(mistaken, AcmeProvider) else open_sepa


def is_found(mistaken: type, check: str) -> None:
    manifest = manifest_of(mistaken)
    verdict = trio.run(run_check, BY_NAME[check], manifest, remote_of(mistaken))
    assert verdict.outcome is Outcome.FAILED, verdict


@pytest.mark.parametrize(
    ("what", "mistaken", "check"), PLANTED, ids=[one.__name__ for _, one, _ in PLANTED]
)
def test_a_mistake_is_found(what: str, mistaken: type, check: str) -> None:
    is_found(mistaken, check)


@pytest.mark.parametrize(
    ("what", "written", "read", "check"),
    [
        ("a transfer that is only expected counts as booked", b"PDNG", b"BOOK", FINAL),
        ("dollars count as euros", b'Ccy="USD"', b'Ccy="EUR"', ASSET),
    ],
)
def test_a_mistake_in_reading_statements_is_found(
    what: str, written: bytes, read: bytes, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = read_statements

    def misread(document: bytes, iban: str) -> Any:
        return usual(document.replace(written, read), iban)

    monkeypatch.setattr(importing, "read_statements", misread)
    is_found(SepaProvider, check)
