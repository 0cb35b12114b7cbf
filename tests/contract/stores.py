"""The stores under contract, and steps with which a test changes a payment in them."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid4

import attrs
import trio

from payd.adapters.audit.keys import SigningKey
from payd.adapters.events import AuditRow
from payd.domain.decide import decide
from payd.domain.evidence import Created, Evidence, ProviderStatus, Snapshot
from payd.domain.money import Money
from payd.domain.next_action import Redirect
from payd.domain.payment import Customer, LineItem, Origin, Payment
from payd.ports import (
    Accounts,
    Cursors,
    Histories,
    Inbox,
    Leases,
    Outbox,
    PaymentLists,
    PaymentStore,
    PublishedEvents,
    Receipts,
    Reconciliations,
    StoredRows,
    Tags,
)

T = TypeVar("T")

#: A real time: PostgreSQL's own clock judges some of what the tests write.
NOW = datetime.now(UTC)
CALLER = Origin(
    actor="user:42",
    request_id="req-1",
    ip="203.0.113.7",
    certificate="main-app",
    peer="10.0.0.7",
    traceparent="00-0af7651916cd43dd-b7ad-01",
)
PRICE = Money(currency_code="USD", minor_units=14900)
FULL_30D = LineItem(
    chain_profile_id="ethereum-mainnet", node_type="full", duration="30d", unit_price=PRICE
)


class AuditedStore(PaymentStore, Protocol):
    """The port, and the trail that the tests replay."""

    async def audit_trail(self, payment_id: UUID) -> Sequence[AuditRow]:
        """Every audit row of the payment, oldest first."""


@attrs.frozen(kw_only=True)
class Stores:
    """One implementation of the ports over one state, empty at first."""

    payments: AuditedStore
    #: Of the same payments.
    lists: PaymentLists
    accounts: Accounts
    histories: Histories
    stored_rows: StoredRows
    inbox: Inbox
    outbox: Outbox
    #: The outbox, too.
    published: PublishedEvents
    #: The inbox, too.
    cursors: Cursors
    reconciliations: Reconciliations
    receipts: Receipts
    leases: Leases
    tags: Tags
    #: Writes the audit trail of all payments, signed.
    export_audit: Callable[[Callable[[str], object], SigningKey], Awaitable[object]]

    async def add(self, **overrides: Any) -> Payment:
        """A new payment with an id and a key of its own, stored."""
        return await self.payments.insert(a_new_payment(**overrides), CALLER)

    async def learn(self, payment: Payment, evidence: Evidence) -> Payment:
        """The payment after a decision that was committed."""
        decision = decide(payment, evidence, NOW)
        assert decision is not None, f"{evidence} says nothing new about {payment}"
        assert await self.payments.commit(payment, decision, CALLER)
        return decision.payment

    async def newest(self, payment: Payment) -> Payment:
        """The payment as it is stored now, with the receipts that the given one has."""
        ids = [receipt.id for receipt in payment.receipts]
        stored = await self.payments.get(payment.id, ids)
        assert stored is not None
        return stored


OpenStores = Callable[[], AbstractAsyncContextManager[Stores]]


def a_new_payment(**overrides: Any) -> Payment:
    """149.00 USD by card, that no store has seen, written now."""
    fields: dict[str, Any] = {
        "id": uuid4(),
        "idempotency_key": f"key-{uuid4()}",
        "request_hash": bytes(range(32)),
        "customer": Customer(id="user-1", email="user@example.org"),
        "method": "card",
        "provider": "mock",
        "amount": PRICE,
        "items": (FULL_30D,),
        "subscription_ids": ("sub-1",),
        "metadata": {"order": "7"},
        "pricing_version": "prices-1",
        "request_id": CALLER.request_id,
        "traceparent": CALLER.traceparent,
        "create_time": NOW,
        "update_time": NOW,
        "expire_time": NOW + timedelta(minutes=30),
    }
    return Payment(**{**fields, **overrides})


def created(**overrides: Any) -> Created:
    """The provider's answer, under a reference of its own."""
    fields = {
        "reference": f"cs_{uuid4()}",
        "next_action": Redirect(url="https://pay.example/1"),
    }
    return Created(**{**fields, **overrides})


def paid(payment: Payment, **overrides: Any) -> Snapshot:
    """The whole sum, final at the provider."""
    fields = {
        "status": ProviderStatus.PAID,
        "asset": payment.asset,
        "received": payment.due,
        "confirmed": payment.due,
        "as_of": NOW,
    }
    return Snapshot(**{**fields, **overrides})


async def all_at_once(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of calls that ran at the same time."""
    results: list[T] = []

    async def collect(call: Callable[[], Awaitable[T]]) -> None:
        results.append(await call())

    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(collect, call)
    return results


async def eventually(look: Callable[[], Awaitable[Sequence[T]]]) -> Sequence[T]:
    """What `look` finds, as soon as it finds something; never later than in ten seconds."""
    with trio.fail_after(30):
        while not (found := await look()):  # noqa: ASYNC110 - a lease ends without an event
            await trio.sleep(0.02)
    return found
