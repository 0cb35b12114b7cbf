"""Providers that are broken on purpose, one for each check of what payd makes of all reports."""

from datetime import UTC, datetime
from typing import Any

import attrs
from acme_provider.conformance import AcmeRemote
from acme_provider.provider import AcmeProvider
from integration.kit.broken import fails, saying
from integration.kit.broken_faults import BROKEN
from integration.kit.instant_transfers import InstantProvider, open_instant
from integration.kit.remotes import opening
from mock_provider.provider import MockProvider
from sepa_provider.provider import SepaProvider
from stripe_provider.provider import StripeProvider

from payd.plugins import (
    Created,
    Money,
    ProviderEvent,
    ProviderStatus,
    ReceiptState,
    RefundState,
    Snapshot,
)

__all__ = ["BROKEN"]


def of_receipts(observations: Any, **changes: Any) -> list[Any]:
    """The same observations with other receipts."""
    return [
        attrs.evolve(one, fact=tuple(attrs.evolve(receipt, **changes) for receipt in one.fact))
        if isinstance(one.fact, tuple)
        else one
        for one in observations
    ]


@fails("all reports make the payment that was paid", remote=open_instant)
class TwoIdsOfOnePayment(InstantProvider):
    """Its webhook names a payment by its number in the event, its scan by the payment's own id."""

    def verify(self, request: Any, secrets: Any, now: datetime) -> Any:
        event = super().verify(request, secrets, now)
        return attrs.evolve(event, id=f"hook-{event.id}")

    def receipt(self, one: Any, event: ProviderEvent) -> Any:
        receipt = super().receipt(one, event)
        return attrs.evolve(receipt, id=event.id) if event.id.startswith("hook-") else receipt


@fails("all reports make the excess that was paid")
class NeverMoreThanDue(SepaProvider):
    def translate(self, event: ProviderEvent) -> Any:
        said: Any = super().translate(event)
        return [one for one in said if sum(receipt.amount for receipt in one.fact) <= 14_900]


@fails("payments in one report each get their money", remote=open_instant)
class TheFirstOfABatch(InstantProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return super().translate(event)[:1]


@fails("money completes a payment when it is final")
class NothingIsFinal(SepaProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return of_receipts(super().translate(event), state=ReceiptState.SEEN)


@fails("money completes a payment when it is final", remote=open_instant)
class EverythingIsFinal(InstantProvider):
    def translate(self, event: ProviderEvent) -> Any:
        return of_receipts(super().translate(event), state=ReceiptState.CONFIRMED)


@fails("money in another asset does not count", remote=open_instant)
class TakesAnyCurrency(InstantProvider):
    def receipt(self, one: Any, event: ProviderEvent) -> Any:
        return attrs.evolve(super().receipt(one, event), asset="USD")


@fails("money has the time at which it moved", remote=open_instant)
class DropsTheZone(InstantProvider):
    def receipt(self, one: Any, event: ProviderEvent) -> Any:
        time = datetime.fromisoformat(one["time"]).replace(tzinfo=UTC)
        return attrs.evolve(super().receipt(one, event), time=time)


@fails("late money is late by every channel")
class LateIsInTime(MockProvider):
    async def fetch(self, ref: Any) -> Any:
        found: Any = await super().fetch(ref)
        if not found.snapshot.received:
            return found
        status, received = ProviderStatus.PAID, found.snapshot.received
        return saying(found, status=status, confirmed=received)


@fails("amounts that binary fractions miss are exact")
class AsksInFloats(AcmeProvider):
    async def create(self, operation: Any) -> Created:
        cents = int(operation.amount.minor_units / 100 * 100)
        amount = Money(currency_code=operation.amount.currency_code, minor_units=cents)
        return await super().create(attrs.evolve(operation, amount=amount))


@fails("refunds without payd are the same by every channel")
class RefundsAsTotals(AcmeProvider):
    """The second refund is reported with the first in it."""

    async def fetch(self, ref: Any) -> Any:
        found: Any = await super().fetch(ref)
        return saying(found, refunds=_totals(found.snapshot.refunds))

    def translate(self, event: ProviderEvent) -> Any:
        said: Any = super().translate(event)
        return [
            attrs.evolve(one, fact=attrs.evolve(one.fact, refunds=_totals(one.fact.refunds)))
            for one in said
        ]


def _totals(refunds: Any) -> Any:
    return tuple(
        attrs.evolve(one, amount=sum(past.amount for past in refunds[: number + 1]))
        for number, one in enumerate(refunds)
    )


@fails("a refund of payd is the same by every channel")
class EveryRefundHasArrived(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        said: Any = super().translate(event)
        return [attrs.evolve(one, fact=_arrived(one.fact)) for one in said]


def _arrived(snapshot: Any) -> Any:
    refunds = tuple(attrs.evolve(r, state=RefundState.SUCCEEDED) for r in snapshot.refunds)
    return attrs.evolve(snapshot, refunds=refunds)


@fails("a dispute is the same by every channel")
class ADisputeForEachReport(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        said: Any = super().translate(event)
        return [
            attrs.evolve(
                one,
                fact=attrs.evolve(
                    one.fact,
                    disputes=tuple(attrs.evolve(d, id=event.id) for d in one.fact.disputes),
                ),
            )
            for one in said
        ]


@fails("an event that appears late is read")
class NothingBeforeTheNewest(AcmeProvider):
    """Its cursor is a time: what appears late, with an older time, is not read."""

    async def scan(self, cursor: str | None) -> Any:
        page = await super().scan(None)
        since = int(cursor or 0)
        while page.more:
            rest = await super().scan(page.cursor)
            page = attrs.evolve(rest, events=(*page.events, *rest.events))
        new = tuple(one for one in page.events if one.content["charge"]["as_of"] > since)
        newest = max([since, *(one.content["charge"]["as_of"] for one in new)])
        return attrs.evolve(page, events=new, cursor=str(newest))


# -- refused payments --------------------------------------------------------------------------


class RetoldRefusal(StripeProvider):
    """Stripe with another snapshot of a refused payment, in each channel."""

    def change(self, snapshot: Any) -> Any:
        raise NotImplementedError

    def retold(self, fact: Any) -> Any:
        is_declined = isinstance(fact, Snapshot) and fact.status is ProviderStatus.DECLINED
        return self.change(fact) if is_declined else fact

    async def fetch(self, ref: Any) -> Any:
        found: Any = await super().fetch(ref)
        return attrs.evolve(found, snapshot=self.retold(found.snapshot))

    def translate(self, event: ProviderEvent) -> Any:
        said = super().translate(event)
        return [attrs.evolve(one, fact=self.retold(one.fact)) for one in said]


@fails("a refused payment is found declined")
@fails("a refused payment has failed by every channel")
class RefusedIsPaid(RetoldRefusal):
    def change(self, snapshot: Any) -> Any:
        return attrs.evolve(snapshot, status=ProviderStatus.PAID)


@fails("a refused payment is found declined")
@fails("a refused payment has failed by every channel")
class RefusedIsOnItsWay(RetoldRefusal):
    def change(self, snapshot: Any) -> Any:
        return attrs.evolve(snapshot, status=ProviderStatus.PROCESSING)


@fails("a refused payment is found declined")
@fails("a refused payment has failed by every channel")
class RefusedIsMoney(RetoldRefusal):
    def change(self, snapshot: Any) -> Any:
        return attrs.evolve(snapshot, received=snapshot.due, confirmed=snapshot.due)


# -- pages of a scan ---------------------------------------------------------------------------


class PaysInTwo(AcmeRemote):
    """Each payment has two events: the first names it, the second has all of its money."""

    async def pay(self, ref: Any, amount: int) -> None:
        await super().pay(ref, amount // 2)
        await super().pay(ref, amount - amount // 2)


@fails("every page of a scan has its money", remote=opening(PaysInTwo))
class LosesTheLastOfAFullPage(AcmeProvider):
    async def scan(self, cursor: str | None) -> Any:
        page = await super().scan(cursor)
        return attrs.evolve(page, events=page.events[:-1]) if page.more else page
