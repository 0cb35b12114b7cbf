"""Apply payd's events to subscriptions, each once: events may come twice, late or out of order."""

from logging import getLogger
from uuid import UUID

from payd_client import DisputeStatus, Event, EventType, Payment, Reject

from main_app import store
from main_app.database import Connection, Database

_log = getLogger("main_app")


class Activation:
    """Handles the events of the event consumer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def handle(self, event: Event) -> None:
        """Apply an event and record it as applied, in one transaction."""
        if not event.payment.subscription_ids:
            # Not a payment of this shop, but one by `payd pay`, for example.
            return
        await self._database.run(_settle, event)


async def _settle(connection: Connection, event: Event) -> None:
    payment = event.payment
    first = await store.begin_event(connection, event.id, event.type.value, payment.id)
    if not first:
        return
    ids = await _known(connection, payment)
    match event.type:
        case EventType.COMPLETED:
            await _complete(connection, event, ids)
        case EventType.CANCELED:
            await store.close(connection, payment.customer_id, ids, payment.id, "canceled")
        case EventType.FAILED:
            reason = payment.failure.message if payment.failure else "declined"
            _log.warning("payment %s failed: %s", payment.id, reason)
            await store.close(connection, payment.customer_id, ids, payment.id, "pending_payment")
            await _inform(
                connection, payment, "failed", f"Your payment did not go through: {reason}"
            )
        case EventType.REFUNDED:
            await _refunded(connection, event, ids)
        case EventType.REFUND_FAILED:
            await _refund_failed(connection, event)
        case EventType.DISPUTED:
            # The bank holds the money. What was delivered stays until it has decided.
            _log.warning("payment %s is disputed: answer at the provider", payment.id)
            await _inform(connection, payment, "attention", f"disputed: {event.reason}")
        case EventType.DISPUTE_CLOSED:
            await _dispute_closed(connection, event, ids)
        case EventType.ATTENTION:
            # An employee must decide: no rule can assign this money.
            _log.warning("payment %s needs attention: %s", payment.id, payment.attention)
            await _inform(connection, payment, "attention", ", ".join(payment.attention))


async def _known(connection: Connection, payment: Payment) -> list[UUID]:
    """Return the payment's subscriptions; create them if its POST has not stored them yet.

    Its POST may also have died on the way: the payment is in the books of payd, so it counts.
    """
    try:
        ids = [UUID(one) for one in payment.subscription_ids]
    except ValueError as error:
        raise Reject(f"invalid subscription ids in the metadata: {error}") from None
    if not await store.has_user(connection, payment.customer_id):
        raise Reject(f"unknown user {payment.customer_id}")
    if len(ids) == len(payment.items):
        pairs = list(zip(ids, payment.items, strict=True))
        await store.add_subscriptions(connection, payment.customer_id, pairs)
    return ids


async def _complete(connection: Connection, event: Event, ids: list[UUID]) -> None:
    payment = event.payment
    activated = await store.activate(connection, payment.customer_id, ids, payment.id, event.id)
    for one in activated:
        _log.info("subscription %s is provisioned, paid by %s", one, payment.id)
    if len(activated) < len(set(ids)):
        # Another payment activated it first: refund this one, do not start a second machine.
        message = "paid, but the subscription was active already"
        _log.warning("payment %s: %s", payment.id, message)
        await _inform(connection, payment, "attention", message)


async def _refunded(connection: Connection, event: Event, ids: list[UUID]) -> None:
    """End what the payment bought once all of it has gone back, through the shop or not."""
    payment = event.payment
    if payment.refunded.minor_units >= payment.amount.minor_units:
        await _end(connection, event, ids)
    await _inform(connection, payment, "refund", "money of this payment went back to you")


async def _refund_failed(connection: Connection, event: Event) -> None:
    """Let an employee grant it again: the customer has no money, whatever was said before."""
    payment, refund = event.payment, event.refund
    if refund is None:
        return
    why = refund.failure.message if refund.failure else "unknown"
    _log.warning("refund %s of payment %s failed: %s", refund.id, payment.id, why)
    await store.fail_refund(connection, payment.id, refund.idempotency_key)
    await _inform(connection, payment, "attention", f"a refund failed: {why}")


async def _dispute_closed(connection: Connection, event: Event, ids: list[UUID]) -> None:
    if event.dispute is not None and event.dispute.status is DisputeStatus.LOST:
        await _end(connection, event, ids)
    await _inform(connection, event.payment, "attention", f"dispute closed: {event.reason}")


async def _end(connection: Connection, event: Event, ids: list[UUID]) -> None:
    payment = event.payment
    for one in await store.end(connection, payment.customer_id, ids, payment.id, event.id):
        _log.info("subscription %s is stopped: payment %s went back", one, payment.id)


async def _inform(connection: Connection, payment: Payment, kind: str, message: str) -> None:
    await store.notify(connection, payment.customer_id, payment.id, kind, message)
