"""InitiatePayment: price → write → ask the provider → write what it said.

Once per idempotency key, which the database holds. Dying between two lines loses nothing:
before the write nothing happened; after it recovery finds the payment in CREATING and asks
the provider what became of its operation. An unknown outcome is not an error of the call.
"""

from datetime import timedelta

import attrs

from payd.domain.errors import IdempotencyKeyReused, PaydError, ProviderUnavailable
from payd.domain.payment import Asking, Origin, Payment, Status
from payd.domain.request import InitiateRequest
from payd.ports import Clock, CrashPoints, Ids, PaymentStore
from payd.service.ask import Ask, is_asked
from payd.service.operation import create_operation
from payd.service.query import Query


@attrs.frozen(kw_only=True)
class Initiate:
    """Use case: start a payment."""

    store: PaymentStore
    query: Query
    ask: Ask
    clock: Clock
    ids: Ids
    crash: CrashPoints
    first_check: timedelta = timedelta(seconds=30)

    async def initiate(self, request: InitiateRequest, origin: Origin, wait_s: float) -> Payment:
        """The payment of this idempotency key, as it stands now.

        Waits at most `wait_s` seconds for another call that is asking the provider.
        """
        try:
            draft = self._draft(request, origin)
        except PaydError:
            # A key that is taken answers before prices and products are looked at.
            known = await self.store.get_by_key(request.idempotency_key)
            if known is None:
                raise
            return await self._replay(known, request, origin, wait_s)
        self.crash.reach("initiate.before_insert")
        stored = await self.store.insert(draft, origin)
        self.crash.reach("initiate.after_insert")
        if stored.id != draft.id:
            return await self._replay(stored, request, origin, wait_s)
        return _answer(*await self.ask.send(stored, origin))

    def _draft(self, request: InitiateRequest, origin: Origin) -> Payment:
        quote = self.query.quote(request.quote_request)
        registered = self.query.method(request.method)
        now = self.clock.now()
        draft = Payment(
            id=self.ids.new(),
            idempotency_key=request.idempotency_key,
            request_hash=request.fingerprint(),
            customer=request.customer,
            method=request.method,
            provider=registered.provider.name,
            amount=quote.total,
            crypto=quote.crypto,
            items=quote.items,
            subscription_ids=request.subscription_ids,
            return_url=request.return_url,
            cancel_url=request.cancel_url,
            metadata=request.metadata,
            pricing_version=quote.pricing_version,
            request_id=origin.request_id,
            traceparent=origin.traceparent,
            create_time=now,
            update_time=now,
            expire_time=now + registered.method.default_expiry,
            ask_deadline=self.ask.deadline(registered.provider),
            next_check_time=now + self.first_check,
        )
        # Stored before the first call, so that every later one sends the same.
        parameters = registered.provider.prepare(create_operation(draft))
        return attrs.evolve(draft, parameters=parameters) if parameters else draft

    async def _replay(
        self, payment: Payment, request: InitiateRequest, origin: Origin, wait_s: float
    ) -> Payment:
        if payment.request_hash != request.fingerprint():
            raise IdempotencyKeyReused(
                "the idempotency key belongs to a payment that was asked for differently",
                payment_id=str(payment.id),
            )
        if _was_never_sent(payment) and self.clock.now() < payment.expire_time:
            payment = _answer(*await self.ask.send_again(payment, origin))
        if is_asked(payment, self.clock.now()):
            payment = await self.store.await_answer(payment.id, wait_s) or payment
        if _was_never_sent(payment):
            # What the call was told that asked for all of us.
            raise ProviderUnavailable(
                f"the provider {payment.provider} was not asked",
                retry_after_s=1.0,
                provider=payment.provider,
            )
        return payment


def _answer(payment: Payment, error: PaydError | None) -> Payment:
    """What passes gives way to what the payment has become meanwhile."""
    if error is None or (error.may_retry and not _was_never_sent(payment)):
        return payment
    raise error


def _was_never_sent(payment: Payment) -> bool:
    return payment.status is Status.CREATING and payment.asking is Asking.NOT_ATTEMPTED
