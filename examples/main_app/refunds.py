"""Refunds: a customer asks, an employee decides, payd sends the money back.

What the customer had ends when payd's event says that the money is back in full, and not before.
"""

from uuid import UUID

from payd_client import Caller, PaydClientError, PaymentClient, RefundRequest, Unavailable

from main_app import store
from main_app.checkout import Refused
from main_app.database import Database
from main_app.store import RefundWish, Subscription


class Refunds:
    """Wishes of customers for their money, and what becomes of them."""

    def __init__(self, database: Database, payd: PaymentClient) -> None:
        self._database = database
        self._payd = payd

    async def request(self, user_id: str, subscription_id: UUID) -> Subscription:
        """Store that the customer wants the money back; a repeated wish changes nothing.

        Raises Refused and DatabaseAway.
        """
        subscription = await self._subscription(user_id, subscription_id)
        if subscription.status != "active" or subscription.payment_id is None:
            raise Refused(409, "NOT_ACTIVE", "only an active subscription can be refunded")
        await self._database.run(store.request_refund, user_id, subscription.payment_id)
        return await self._subscription(user_id, subscription_id)

    async def open(self, user_id: str) -> list[RefundWish]:
        """List what waits for an employee. Raises Refused for anybody else."""
        await self._check_staff(user_id)
        return await self._database.run(store.open_refund_wishes)

    async def grant(self, user_id: str, payment_id: UUID, caller: Caller) -> RefundWish:
        """Send all that is left of the payment back. May be repeated when payd did not answer.

        Raises Refused, PaydClientError and DatabaseAway.
        """
        await self._check_staff(user_id)
        run = self._database.run
        wish = await run(store.grant, payment_id)
        if wish is None:
            raise Refused(404, "NOT_REQUESTED", "no customer waits for this refund")
        request = RefundRequest(
            payment_id=payment_id, idempotency_key=wish.key, reason="requested by the customer"
        )
        try:
            refund = await self._payd.refund(request, caller=caller)
        except Unavailable:
            # The refund may exist: the wish stays granted, and the same key finds it again.
            raise
        except PaydClientError:
            await run(store.take_back_grant, wish)
            raise
        await run(store.record_refund, wish, refund.id)
        return wish

    async def refuse(self, user_id: str, payment_id: UUID) -> RefundWish:
        """Refuse a wish. Raises Refused and DatabaseAway."""
        await self._check_staff(user_id)
        wish = await self._database.run(store.refuse, payment_id)
        if wish is None:
            raise Refused(409, "NOT_REQUESTED", "it is granted already, or nobody asked for it")
        return wish

    async def _subscription(self, user_id: str, subscription_id: UUID) -> Subscription:
        found = await self._database.run(store.subscriptions_by_id, user_id, [subscription_id])
        if subscription_id not in found:
            raise Refused(404, "SUBSCRIPTION_NOT_FOUND", "no subscription has this id")
        return found[subscription_id]

    async def _check_staff(self, user_id: str) -> None:
        if not await self._database.run(store.is_staff, user_id):
            raise Refused(403, "NOT_STAFF", "only an employee of the shop may do this")
