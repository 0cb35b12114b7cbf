"""Providers whose refunds are broken on purpose, one for each check of that level."""

import uuid
from typing import Any

import attrs
import trio
from acme_provider import MANIFEST as ACME
from acme_provider.provider import AcmeProvider
from integration.kit.broken import anew, fails, misnamed_refund
from integration.kit.broken_reports import BROKEN
from sepa_provider.provider import SepaProvider

from payd.plugins import (
    Absent,
    Declined,
    IdempotencyConflict,
    InvalidRequest,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    PaymentRef,
    ProviderError,
    ProviderEvent,
    RefundInstructions,
    RefundState,
)

__all__ = ["BROKEN"]


@fails("refunds are announced", capabilities=attrs.evolve(ACME.capabilities, refunds=None))
class UnannouncedRefunds(AcmeProvider):
    """Its manifest declares no refunds."""


@fails("the same refund twice is one refund")
@fails("the same refund concurrently is one refund")
class RefundsEveryTime(AcmeProvider):
    async def refund(self, operation: Any) -> Any:
        return await super().refund(anew(operation))


@fails("the same refund twice is one refund")
class MadeWheneverItIsSent(AcmeProvider):
    context: Any

    async def refund(self, operation: Any) -> Any:
        said: Any = await super().refund(operation)
        return attrs.evolve(said, time=self.context.clock.now())


@fails("another amount under one key is a conflict")
class RefundsAnotherAmountToo(AcmeProvider):
    async def refund(self, operation: Any) -> Any:
        try:
            return await super().refund(operation)
        except IdempotencyConflict:
            return await super().refund(anew(operation))


@fails("what was never refunded is absent")
class FindsAnyRefund(AcmeProvider):
    async def fetch_refund(self, ref: Any) -> Any:
        found: Any = await super().fetch_refund(ref)
        if not isinstance(found, Absent):
            return found
        operation_id = str(uuid.uuid4())
        made = {"charge": ref.payment_reference, "refund_id": "", "amount": 1, "reason": ""}
        document = await self._api.post("/refunds", made, idempotency_key=operation_id)
        assert document is not None
        return attrs.evolve(await self._found(document["id"], ref), amount=ref.amount)

    async def _found(self, reference: str, ref: Any) -> Any:
        return await super().fetch_refund(attrs.evolve(ref, reference=reference))


@fails("parts are refunded exactly")
class WholeUnitsBack(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        found: Any = await super().fetch(ref)
        rounded = tuple(
            attrs.evolve(one, amount=round(one.amount, -2)) for one in found.snapshot.refunds
        )
        return attrs.evolve(found, snapshot=attrs.evolve(found.snapshot, refunds=rounded))


@fails("parts are refunded exactly")
class RefundsMakeItPayable(AcmeProvider):
    async def fetch(self, ref: Any) -> Any:
        found: Any = await super().fetch(ref)
        left = found.snapshot.received - sum(one.amount for one in found.snapshot.refunds)
        return attrs.evolve(found, snapshot=attrs.evolve(found.snapshot, received=left))


@fails("each of several refunds is found as itself")
class FindsTheFirstRefund(AcmeProvider):
    """Of the refunds of one amount it takes the first, and calls it what was asked for."""

    async def fetch_refund(self, ref: Any) -> Any:
        looked_for: Any = await super().fetch_refund(ref)
        if isinstance(looked_for, Absent):
            return looked_for
        charge: Any = await super().fetch(ref_of_payment(ref))
        same = [one for one in charge.snapshot.refunds if one.amount == ref.amount]
        return attrs.evolve(same[0], refund_id=ref.refund_id)


@fails("each of several refunds is found as itself")
class FindsAnyRefundOfTheCharge(AcmeProvider):
    """A refund that was never sent is taken for another one of the payment."""

    async def fetch_refund(self, ref: Any) -> Any:
        found: Any = await super().fetch_refund(ref)
        if not isinstance(found, Absent):
            return found
        charge: Any = await super().fetch(ref_of_payment(ref))
        same = [one for one in charge.snapshot.refunds if one.amount == ref.amount]
        return attrs.evolve(same[0], refund_id=None) if same else found


def ref_of_payment(ref: Any) -> PaymentRef:
    """The reference to a refund's payment."""
    return PaymentRef(
        operation_id="",
        payment_id=ref.payment_id,
        reference=ref.payment_reference,
        asset=ref.asset,
        create_time=ref.create_time,
    )


@fails("more than what is left is declined")
class RefundsWhatIsLeft(AcmeProvider):
    async def refund(self, operation: Any) -> Any:
        try:
            return await super().refund(operation)
        except Declined:
            raise OutcomeUnknown("the API refuses it") from None


@fails("an unpaid object is not refunded")
class TakesThatForAFault(AcmeProvider):
    async def refund(self, operation: Any) -> Any:
        try:
            return await super().refund(operation)
        except Declined as error:
            raise NotAttempted(error.code) from None


@fails("a disputed object is not refunded")
class WithoutACode(AcmeProvider):
    async def refund(self, operation: Any) -> Any:
        try:
            return await super().refund(operation)
        except Declined as error:
            raise Declined("", error.message) from None


@fails("a refund on its way is pending until it arrives")
class SaysItSucceeded(AcmeProvider):
    async def refund(self, operation: Any) -> Any:
        return attrs.evolve(await super().refund(operation), state=RefundState.SUCCEEDED)


@fails("a refund on its way is pending until it arrives")
class NeverArrives(AcmeProvider):
    async def fetch_refund(self, ref: Any) -> Any:
        found: Any = await super().fetch_refund(ref)
        return attrs.evolve(found, state=RefundState.PENDING)


@fails("a refund that fails later is reported")
class SucceededForEver(AcmeProvider):
    async def fetch_refund(self, ref: Any) -> Any:
        found: Any = await super().fetch_refund(ref)
        return attrs.evolve(found, state=RefundState.SUCCEEDED)


@fails("a refund that fails later is reported")
class SilentAboutTheFailure(AcmeProvider):
    """It says so when it is asked, and not by itself."""

    async def fetch(self, ref: Any) -> Any:
        found: Any = await super().fetch(ref)
        return attrs.evolve(found, snapshot=_well(found.snapshot))

    def translate(self, event: ProviderEvent) -> Any:
        said: Any = super().translate(event)
        return [attrs.evolve(one, fact=_well(one.fact)) for one in said]


def _well(snapshot: Any) -> Any:
    """The snapshot with all its refunds as if they had succeeded."""
    refunds = tuple(
        attrs.evolve(one, state=RefundState.SUCCEEDED, failure_code=None)
        for one in snapshot.refunds
    )
    return attrs.evolve(snapshot, refunds=refunds)


@fails("every report of a refund names the same")
class TwoNamesOfOneRefund(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        said: Any = super().translate(event)
        return [
            attrs.evolve(one, fact=attrs.evolve(one.fact, refunds=renamed(one.fact.refunds)))
            for one in said
        ]


@fails("every report of a refund names the same")
class NoEventAboutRefunds(AcmeProvider):
    def translate(self, event: ProviderEvent) -> Any:
        said: Any = super().translate(event)
        return [attrs.evolve(one, fact=attrs.evolve(one.fact, refunds=())) for one in said]


def renamed(refunds: Any) -> Any:
    """The same refunds under the names of their charge."""
    return tuple(attrs.evolve(one, reference=f"charge/{one.reference}") for one in refunds)


# -- faults ------------------------------------------------------------------------------------


for check, mistaken, name in (
    (
        "a refund whose request was lost is made once",
        OutcomeUnknown,
        lambda: Declined("x", "y"),
    ),
    (
        "a refund without a readable response is unknown and made once",
        OutcomeUnknown,
        lambda: NotAttempted("z"),
    ),
    (
        "refused credentials stop no refund for good",
        Misconfigured,
        lambda: Declined("x", "y"),
    ),
):
    fails(check)(misnamed_refund(mistaken, name))


@fails("a refund whose response was lost is found")
class FindsNoRefundWithoutReference(AcmeProvider):
    async def fetch_refund(self, ref: Any) -> Any:
        return Absent() if ref.reference is None else await super().fetch_refund(ref)


@fails("a failed look for a refund is not absence")
class BlindLookForRefunds(AcmeProvider):
    async def fetch_refund(self, ref: Any) -> Any:
        try:
            return await super().fetch_refund(ref)
        except ProviderError:
            return Absent()


@fails("cancelled at any moment a refund is made at most once")
class RefundKeyOfEachAttempt(AcmeProvider):
    async def refund(self, operation: Any) -> Any:
        # All of it may go back twice: it is refunded as if it were several payments.
        part = attrs.evolve(anew(operation), amount=operation.amount // 2, is_all=False)
        refunded: Any = await super().refund(part)
        await trio.lowlevel.checkpoint()
        return attrs.evolve(refunded, amount=operation.amount)


# -- instructions ------------------------------------------------------------------------------


@fails("instructions are the same for the same operation")
class AsksForMoreEachTime(SepaProvider):
    async def refund(self, operation: Any) -> Any:
        return await super().refund(anew(operation))


@fails("instructions are the same for the same operation")
class OneReferenceForAll(SepaProvider):
    async def refund(self, operation: Any) -> Any:
        said: Any = await super().refund(operation)
        fields = tuple(one for one in said.next_action.fields if one.label != "Reference")
        return RefundInstructions(next_action=attrs.evolve(said.next_action, fields=fields))


@fails("an invalid destination is refused")
class SendsAnywhere(SepaProvider):
    async def refund(self, operation: Any) -> Any:
        try:
            return await super().refund(operation)
        except InvalidRequest:
            return await super().refund(
                attrs.evolve(operation, destination="FR1420041010050500013M02606")
            )


@fails("the transfer that was asked for ends the refund")
class BlindToItsTransfers(SepaProvider):
    async def fetch(self, ref: Any) -> Any:
        found: Any = await super().fetch(ref)
        return attrs.evolve(found, snapshot=attrs.evolve(found.snapshot, refunds=()))

    def translate(self, event: ProviderEvent) -> Any:
        return [] if event.type == "transfer" else super().translate(event)
