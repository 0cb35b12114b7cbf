"""InitiatePayment: price → insert → send to the provider → settle its answer.

A unique key in the database allows one payment per idempotency key. A crash between two steps loses
nothing: before the insert nothing happened; after it recovery finds the payment in CREATING, and
asks the provider what became of the operation. An unknown outcome is not an error for the caller.
"""

from datetime import timedelta

import attrs

from payd.domain.errors import IdempotencyKeyReused, PaydError, ProviderUnavailable
from payd.domain.forget import is_repeated
from payd.domain.outcome import Asking
from payd.domain.payment import Origin, Payment, Status
from payd.domain.request import InitiateRequest
from payd.ports import Clock, CrashPoints, Ids, PaymentStore, Tags
from payd.service.ask import Ask, is_asked
from payd.service.operation import claim_deadline, create_operation
from payd.service.query import Query


@attrs.frozen(kw_only=True)
class Initiate:
    """Use case: start a payment."""

    store: PaymentStore
    query: Query
    ask: Ask
    clock: Clock
    ids: Ids
    tags: Tags
    crash: CrashPoints
    first_check: timedelta = timedelta(seconds=30)

    async def initiate(self, request: InitiateRequest, origin: Origin, wait_s: float) -> Payment:
        """Return the payment of this idempotency key; create it if the key is new.

        Waits at most `wait_s` seconds for another call that is creating the same payment. Raises
        InvalidField, UnknownMethod, UnknownProduct, CurrencyNotSupported, QuoteInvalid,
        QuoteExpired, QuoteMismatch, PriceChanged, IdempotencyKeyReused, ProviderUnavailable and
        StoreUnavailable.
        """
        try:
            draft = await self._draft(request, origin)
        except PaydError:
            # A key that exists returns its payment, even if its quote has expired, or prices or
            # products have changed since.
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

    async def _draft(self, request: InitiateRequest, origin: Origin) -> Payment:
        quote = self.query.price(request, request.quote_token, request.expected_total)
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
            ask_deadline=claim_deadline(registered.provider, now),
            next_check_time=now + self.first_check,
        )
        operation = create_operation(draft)
        if registered.provider.capabilities.tags:
            operation = attrs.evolve(operation, tag=await self.tags.next())
        # Stored before the first call, so that every retry sends the same parameters.
        parameters = registered.provider.prepare(operation)
        return attrs.evolve(draft, parameters=parameters) if parameters else draft

    async def _replay(
        self, payment: Payment, request: InitiateRequest, origin: Origin, wait_s: float
    ) -> Payment:
        if not is_repeated(payment, request):
            raise IdempotencyKeyReused(
                "the idempotency key was used for a request with other contents: use a new key",
                payment_id=str(payment.id),
            )
        if _was_never_sent(payment) and self.clock.now() < payment.expire_time:
            payment = _answer(*await self.ask.send_again(payment, origin))
        if is_asked(payment, self.clock.now()):
            payment = await self.store.await_answer(payment.id, wait_s) or payment
        if _was_never_sent(payment):
            # The call that sent for all waiting calls got the same error.
            raise ProviderUnavailable(
                f"nothing was sent to the provider {payment.provider}: retry with the same key",
                retry_after_s=1.0,
                provider=payment.provider,
            )
        return payment


def _answer(payment: Payment, error: PaydError | None) -> Payment:
    """Return the payment, or raise the error; a temporary error yields to progress meanwhile."""
    if error is None or (error.may_retry and not _was_never_sent(payment)):
        return payment
    raise error


def _was_never_sent(payment: Payment) -> bool:
    return payment.status is Status.CREATING and payment.asking is Asking.NOT_ATTEMPTED
