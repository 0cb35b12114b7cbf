"""RefundPayment: grant → send to the provider → settle its answer.

Granting reserves the amount: it is a new version of the payment, written by compare-and-set, so no
two requests get the same money. A request that loses reads the payment and decides again, until its
call's time is over. A crash between two steps loses nothing: recovery finds the refund in CREATING,
and asks the provider what became of it. An unknown outcome is not an error for the caller.
"""

from datetime import datetime, timedelta
from uuid import UUID

import attrs

from payd.domain.errors import IdempotencyKeyReused, InvalidField, PaydError, StoreUnavailable
from payd.domain.evidence import RefundRequested
from payd.domain.forget import is_refund_repeated
from payd.domain.money import Money, base_units
from payd.domain.outcome import Asking
from payd.domain.payment import Origin, Payment
from payd.domain.refund import Refund, RefundStatus, RefundTerms
from payd.domain.refunds import refund_of
from payd.domain.request import RefundRequest
from payd.plugins.capabilities import RefundCapabilities, Sends
from payd.ports import Clock, CrashPoints, Ids, PaymentStore
from payd.service.operation import claim_deadline
from payd.service.send_refund import SendRefund, was_never_sent
from payd.service.settle import Settle


@attrs.frozen(kw_only=True)
class RefundPayment:
    """Use case: refund a payment."""

    store: PaymentStore
    settle: Settle
    sender: SendRefund
    clock: Clock
    ids: Ids
    crash: CrashPoints
    #: From how many minor units on a second person has to approve; None is never.
    approval_from: int | None = None

    async def refund(
        self, request: RefundRequest, origin: Origin, wait_s: float
    ) -> tuple[Payment, Refund]:
        """Return the refund of this idempotency key with its payment; grant it if the key is new.

        Waits at most `wait_s` seconds for other changes of the payment. Raises PaymentNotFound,
        InvalidField, IdempotencyKeyReused, NotRefundable, RefundExceedsPaid, PaymentDisputed,
        RefundDestinationRequired, ProviderUnavailable and StoreUnavailable.
        """
        known = await self.store.get_refund_by_key(request.idempotency_key)
        if known is not None:
            return await self._replay(known, request, origin)
        give_up = self.clock.now() + timedelta(seconds=wait_s)
        async with self.settle.turns.of(request.payment_id):
            payment, refund, is_new = await self._grant(request, origin, give_up)
        if not is_new:
            return await self._replay((payment, refund), request, origin)
        self.crash.reach("refund.after_insert")
        return _answer(*await self.sender.send(payment, refund.id, origin), refund)

    async def _grant(
        self, request: RefundRequest, origin: Origin, give_up: datetime
    ) -> tuple[Payment, Refund, bool]:
        """Return the granted refund, or the one that has the key already."""
        payment = await self.settle.newest(request.payment_id)
        refund_id = self.ids.new()
        self.crash.reach("refund.before_insert")
        while True:
            evidence = self._evidence(payment, refund_id, request, origin)
            after, mine = await self.settle.claim(payment, evidence, origin)
            if mine:
                return after, refund_of(after, refund_id), True
            # Another call with the same key may have been faster, for this payment or another one.
            known = await self.store.get_refund_by_key(request.idempotency_key)
            if known is not None:
                return *known, False
            if self.clock.now() >= give_up:
                raise StoreUnavailable(
                    "the payment was changed by others all the time: retry", retry_after_s=1.0
                )
            await self.settle.turns.rest()
            payment = after

    def _evidence(
        self, payment: Payment, refund_id: UUID, request: RefundRequest, origin: Origin
    ) -> RefundRequested:
        provider, capabilities = self.sender.provider(payment)
        now = self.clock.now()
        draft = Refund(
            id=refund_id,
            status=RefundStatus.CREATING,
            amount=0 if request.amount is None else _in_units_of_due(payment, request.amount),
            idempotency_key=request.idempotency_key,
            request_hash=request.fingerprint(),
            reason=request.reason,
            destination=request.destination,
            requester=requester(origin),
            request_id=origin.request_id,
            create_time=now,
            update_time=now,
            asking=Asking.ASKING,
            ask_deadline=claim_deadline(provider, now),
        )
        terms = refund_terms(capabilities, self.approval_from)
        return RefundRequested(refund=draft, terms=terms, is_all_left=request.amount is None)

    async def _replay(
        self, known: tuple[Payment, Refund], request: RefundRequest, origin: Origin
    ) -> tuple[Payment, Refund]:
        payment, refund = known
        if not is_refund_repeated(payment, refund, request):
            raise IdempotencyKeyReused(
                "the idempotency key was used for a refund with other contents: use a new key",
                refund_id=str(refund.id),
            )
        if was_never_sent(refund):
            return _answer(*await self.sender.send_again(payment, refund.id, origin), refund)
        return payment, refund


def refund_terms(capabilities: RefundCapabilities, approval_from: int | None) -> RefundTerms:
    """What the provider and the operator's settings allow."""
    return RefundTerms(
        partial=capabilities.partial,
        several=capabilities.several,
        window=capabilities.window,
        needs_destination=capabilities.sends is Sends.INSTRUCTIONS,
        approval_from=approval_from,
    )


def requester(origin: Origin) -> str:
    """Name of the person or program that calls, as its connection proves it, if there is one."""
    return origin.certificate or origin.actor


def _in_units_of_due(payment: Payment, amount: Money) -> int:
    if amount.currency_code != payment.amount.currency_code:
        raise InvalidField("amount.currency_code", f"must be {payment.amount.currency_code}")
    if payment.crypto is None:
        return amount.minor_units
    try:
        return base_units(amount, payment.crypto.decimals)
    except ValueError as error:
        raise InvalidField("amount", str(error)) from error


def _answer(payment: Payment, error: PaydError | None, refund: Refund) -> tuple[Payment, Refund]:
    """Return the refund as it stands; raise only what the caller has to correct."""
    if error is not None and not error.may_retry:
        raise error
    return payment, refund_of(payment, refund.id)
