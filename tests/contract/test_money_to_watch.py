"""The gauges of money that waits: every payment counts, whichever version of payd changed it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
import attrs
import pytest
from contract.stores import CALLER, NOW, a_new_payment
from contract.test_refunds import a_refund

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.money_to_watch import PostgresMoneyToWatch, Waiting
from payd.adapters.postgres.store import PostgresStore
from payd.domain.attention import Attention, AttentionRecord
from payd.domain.decide import Decision, Rules
from payd.domain.payment import Payment
from payd.domain.refund import RefundStatus

R = TypeVar("R")
DAY_S = 86400.0
YESTERDAY = NOW - timedelta(days=1)
TWO_DAYS_AGO = NOW - timedelta(days=2)

EMPTY = """
TRUNCATE customers, payments, payment_line_items, receipts, refunds, disputes, outbox,
    payment_personal_values CASCADE
"""


@attrs.frozen
class Bench:
    """A store, what counts in it, and a session for what the previous version would write."""

    store: PostgresStore
    watch: PostgresMoneyToWatch
    session: "asyncpg.Connection[asyncpg.Record]"

    async def put(self, **changes: Any) -> Payment:
        """A payment with these changes."""
        payment = await self.store.insert(a_new_payment(), CALLER)
        after = attrs.evolve(payment, version=2, update_time=TWO_DAYS_AGO, **changes)
        decision = Decision(payment=after, audit_event="changed")
        assert await self.store.commit(payment, decision, CALLER)
        return after

    async def attention(self) -> dict[Attention, Waiting]:
        """What is open, without the reasons that nothing has."""
        found = await self.watch.open_attention()
        assert found.keys() == set(Attention)
        return {reason: waiting for reason, waiting in found.items() if waiting.count}

    async def previous_version(self, payment: Payment, attention: list[str]) -> None:
        """Change a payment's attention as the previous version does."""
        await self.session.execute(
            "UPDATE payments SET attention = $2 WHERE id = $1", payment.id, attention
        )


@pytest.fixture
def with_bench(
    migrated_database: DatabaseSettings,
) -> Callable[[Callable[[Bench], Awaitable[R]]], R]:
    """Run a coroutine with an empty store."""

    async def run(act: Callable[[Bench], Awaitable[R]]) -> R:
        database = Database(migrated_database)
        session = await database.connect()
        await session.execute(
            "ALTER TABLE payment_events DISABLE TRIGGER payment_events_are_append_only;"
            f"{EMPTY};"
            "ALTER TABLE payment_events ENABLE TRIGGER payment_events_are_append_only"
        )
        store = PostgresStore(database, "test", Rules())
        try:
            return await act(Bench(store, PostgresMoneyToWatch(database), session))
        finally:
            await session.close()
            await store.drain()
            await database.close()

    return lambda act: asyncio.run(run(act))


def test_open_attention_is_counted_by_reason_with_the_age_of_the_oldest(with_bench: Any) -> None:
    async def act(bench: Bench) -> None:
        assert await bench.attention() == {}
        resolved = attrs.evolve(
            _open(Attention.OVERPAID, TWO_DAYS_AGO), resolved_time=NOW, resolved_by="operator"
        )
        for records in (
            (_open(Attention.OVERPAID, YESTERDAY),),
            (_open(Attention.OVERPAID, NOW), _open(Attention.DISPUTED, TWO_DAYS_AGO)),
            (resolved,),
        ):
            await bench.put(attention_records=records)

        found = await bench.attention()

        assert {reason: waiting.count for reason, waiting in found.items()} == {
            Attention.OVERPAID: 2,
            Attention.DISPUTED: 1,
        }
        assert found[Attention.OVERPAID].oldest_age_s == pytest.approx(DAY_S, abs=3600)
        assert found[Attention.DISPUTED].oldest_age_s == pytest.approx(2 * DAY_S, abs=3600)

    with_bench(act)


def test_what_the_previous_version_raised_or_ended_counts_as_it_is_read(with_bench: Any) -> None:
    async def act(bench: Bench) -> None:
        bare = await bench.put()
        stuck = await bench.put(attention_records=(_open(Attention.STUCK, YESTERDAY),))

        await bench.previous_version(bare, ["OVERPAID"])
        await bench.previous_version(stuck, [])

        assert (await bench.attention()).keys() == {Attention.OVERPAID}
        found = (await bench.attention())[Attention.OVERPAID]
        assert found.count == 1
        assert found.oldest_age_s == pytest.approx(2 * DAY_S, abs=3600)

    with_bench(act)


def test_refunds_without_an_outcome_are_counted_by_status(with_bench: Any) -> None:
    async def act(bench: Bench) -> None:
        for statuses in (
            (RefundStatus.CREATING, RefundStatus.AWAITING_TRANSFER, RefundStatus.SUCCEEDED),
            (RefundStatus.CREATING, RefundStatus.FAILED, RefundStatus.CANCELED),
        ):
            refunds = [a_refund(status=status, create_time=YESTERDAY) for status in statuses]
            await bench.put(refunds=tuple(refunds))

        found = await bench.watch.open_refunds()

        assert found.keys() == {status for status in RefundStatus if status.is_open}
        assert {status: waiting.count for status, waiting in found.items() if waiting.count} == {
            RefundStatus.CREATING: 2,
            RefundStatus.AWAITING_TRANSFER: 1,
        }
        assert found[RefundStatus.CREATING].oldest_age_s == pytest.approx(DAY_S, abs=3600)
        assert found[RefundStatus.PENDING] == Waiting(0, 0.0)

    with_bench(act)


def test_a_refund_is_counted_once_for_each_status_that_it_enters(
    migrated_database: DatabaseSettings,
) -> None:
    entered: list[RefundStatus] = []

    async def act() -> None:
        database = Database(migrated_database)
        store = PostgresStore(
            database, "test", Rules(), on_refund=lambda refund: entered.append(refund.status)
        )
        payment = await store.insert(a_new_payment(), CALLER)
        refund = a_refund()
        done = attrs.evolve(refund, status=RefundStatus.SUCCEEDED, next_check_time=None)
        for refunds in ((refund,), (attrs.evolve(refund, checks=1),), (done,), (done,)):
            after = attrs.evolve(payment, version=payment.version + 1, refunds=refunds)
            assert await store.commit(payment, Decision(payment=after, audit_event="x"), CALLER)
            payment = after
        await store.drain()
        await database.close()

    asyncio.run(act())

    assert entered == [RefundStatus.CREATING, RefundStatus.SUCCEEDED]


def _open(reason: Attention, since: datetime) -> AttentionRecord:
    return AttentionRecord(reason=reason, since=since, facts=frozenset({str(uuid4())}))
