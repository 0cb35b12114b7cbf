"""Start, read and cancel payments: call payd, and store the result.

New subscriptions have ids that follow from the user and the idempotency key, and are written when
payd has made the payment: nothing is half-made when payd is away, and the same key always means the
same subscriptions. Existing ones are reserved for the time of the call.
"""

import hashlib
import json
from collections.abc import Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

import attrs
from payd_client import (
    Caller,
    Customer,
    InitiateRequest,
    Item,
    NotFound,
    PaydClientError,
    Payment,
    PaymentClient,
    Quote,
    QuoteRequest,
    Unavailable,
)

from main_app import store
from main_app.database import Connection, Database

_NAMESPACE = uuid5(NAMESPACE_URL, "https://payd.dev/examples/main_app")


class Refused(Exception):
    """The request is refused; `status` is the HTTP status."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotYet(Refused):
    """Another request is in progress; retry later."""

    retry_after_s = 5.0


@attrs.frozen(kw_only=True)
class Wish:
    """A validated POST request."""

    idempotency_key: str
    method: str
    items: tuple[Item, ...] = ()
    subscription_ids: tuple[UUID, ...] = ()
    crypto_currency: str = ""
    return_url: str = ""
    cancel_url: str = ""
    #: Of the quote whose total was on the button.
    quote_token: str = ""

    def fingerprint(self) -> bytes:
        """Hash of the request: equal for equal requests, be it with a newer quote."""
        asked = attrs.asdict(self, filter=attrs.filters.exclude("quote_token"))
        meaning = json.dumps(asked, sort_keys=True, default=str)
        return hashlib.sha256(meaning.encode()).digest()


class Checkouts:
    """Starts, reads and cancels payments of all users."""

    def __init__(self, database: Database, payd: PaymentClient) -> None:
        self._database = database
        self._payd = payd

    async def quote(self, items: Sequence[Item], method: str, crypto_currency: str) -> Quote:
        """Price items. Raises PaydClientError."""
        request = QuoteRequest(items=tuple(items), method=method, crypto_currency=crypto_currency)
        return await self._payd.quote(request)

    async def start(self, user_id: str, wish: Wish, caller: Caller) -> Payment:
        """Return the payment of this key, starting it if necessary.

        Raises Refused, PaydClientError, DatabaseAway.
        """
        run, key = self._database.run, wish.idempotency_key
        known = await run(store.checkout_of, user_id, key)
        if known is not None:
            if known.request_hash != wish.fingerprint():
                raise Refused(409, "IDEMPOTENCY_KEY_REUSED", "the key was used for another request")
            return await self._payd.get(known.payment_id, caller=caller)
        request = await self._request(user_id, wish)
        try:
            payment = await self._payd.initiate(request, caller=caller)
        except Unavailable:
            # The payment may exist: keep the reservation until it expires, so that a retry works.
            raise
        except PaydClientError:
            await run(store.release, user_id, key)
            raise
        await self._record(user_id, wish, payment)
        return payment

    async def get(self, user_id: str, payment_id: UUID, caller: Caller) -> Payment:
        """Read a payment of this user. Raises NotFound, also for a payment of another user."""
        payment = await self._payd.get(payment_id, caller=caller)
        if payment.customer_id != user_id:
            raise NotFound("NOT_FOUND", "no payment has this id")
        return payment

    async def cancel(self, user_id: str, payment_id: UUID, caller: Caller) -> Payment:
        """Cancel a payment. Its subscriptions are updated by payd's event."""
        await self.get(user_id, payment_id, caller)
        return await self._payd.cancel(payment_id, "canceled by the customer", caller=caller)

    async def _request(self, user_id: str, wish: Wish) -> InitiateRequest:
        if wish.subscription_ids:
            ids, items = wish.subscription_ids, await self._reserve(user_id, wish)
        else:
            names = [f"{user_id}\n{wish.idempotency_key}\n{n}" for n in range(len(wish.items))]
            ids, items = tuple(uuid5(_NAMESPACE, name) for name in names), wish.items
        return InitiateRequest(
            # Include the user: two users may choose the same key.
            idempotency_key=f"{user_id}:{wish.idempotency_key}",
            customer=Customer(id=user_id),
            items=items,
            method=wish.method,
            crypto_currency=wish.crypto_currency,
            subscription_ids=tuple(map(str, ids)),
            return_url=wish.return_url,
            cancel_url=wish.cancel_url,
            quote_token=wish.quote_token,
        )

    async def _reserve(self, user_id: str, wish: Wish) -> tuple[Item, ...]:
        """Read all these subscriptions; refuse if any is missing or not pending."""
        run, ids = self._database.run, wish.subscription_ids
        there = await run(store.subscriptions_by_id, user_id, ids)
        if set(there) != set(ids):
            raise Refused(404, "SUBSCRIPTION_NOT_FOUND", "no subscription has this id")
        if any(one.status != "pending_payment" for one in there.values()):
            raise Refused(409, "NOT_PENDING", "a subscription is not waiting for a payment")
        items = tuple(there[one].item for one in ids)
        if wish.items and wish.items != items:
            raise Refused(400, "ITEMS_DIFFER", "items differ from those of the subscriptions")
        kept = await run(store.reserve, user_id, ids, wish.idempotency_key)
        if kept != set(ids):
            await run(store.release, user_id, wish.idempotency_key)
            raise NotYet(409, "PAYMENT_UNDER_WAY", "another payment for it is in progress")
        return items

    async def _record(self, user_id: str, wish: Wish, payment: Payment) -> None:
        """Store the payment. If the app dies before this, payd's events store it."""
        ids = [UUID(one) for one in payment.subscription_ids]
        checkout = store.Checkout(request_hash=wish.fingerprint(), payment_id=payment.id)

        async def record(connection: Connection) -> None:
            # First, as its events do: else each could wait for the other.
            await store.lock_payment(connection, payment.id)
            if not wish.subscription_ids:
                pairs = list(zip(ids, payment.items, strict=True))
                await store.add_subscriptions(connection, user_id, pairs)
            key = wish.idempotency_key
            await store.record_checkout(connection, user_id, key, checkout, ids)

        await self._database.run(record)
