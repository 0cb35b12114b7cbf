"""Batches of two daemons with the same rows never deadlock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import attrs
from contract.stores import CALLER, NOW, a_new_payment, created, paid
from contract.test_refunds import a_refund

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Decision, Rules, decide
from payd.domain.errors import RefundExceedsPaid
from payd.domain.evidence import RefundRequested
from payd.domain.payment import Customer, Payment
from payd.domain.refund import Refund, RefundTerms

if TYPE_CHECKING:
    Session = asyncpg.Connection[asyncpg.Record]

R = TypeVar("R")
Write = Callable[[], Awaitable[R]]

#: A wait ends when the test ends it, on a loaded machine too.
PATIENT: dict[str, Any] = {
    "lock_timeout_ms": 40_000,
    "statement_timeout_ms": 50_000,
    "command_timeout_s": 60.0,
}
#: No other test has these rows.
LOW, HIGH = UUID(int=1), UUID(int=(1 << 128) - 1)
#: No refund of another test is due by then.
LONG_AGO = NOW - timedelta(days=365)


# -- payments --------------------------------------------------------------------------------


def test_two_daemons_that_commit_the_same_payments_in_opposite_orders_do_not_deadlock(
    migrated_database: DatabaseSettings,
) -> None:
    asyncio.run(without_deadlock(migrated_database, _commit_in_opposite_orders))


async def _commit_in_opposite_orders(settings: DatabaseSettings) -> None:
    async with two_daemons(settings) as (one, other):
        low, high = [await one.insert(_payment(one_id), CALLER) for one_id in (LOW, HIGH)]
        entries = [await one.insert(_payment(uuid4()), CALLER) for _ in range(2)]
        gates = [await one.insert(_payment(uuid4()), CALLER) for _ in range(2)]

        first, second = await both_at_once(
            settings,
            ("payments", [entry.id for entry in entries], [gate.id for gate in gates]),
            [partial(_commit, one, p) for p in (entries[0], low, gates[0], high)],
            [partial(_commit, other, p) for p in (entries[1], high, gates[1], low)],
        )

        # Each of the two that both wanted was written once.
        assert first[0] + second[2] == first[2] + second[0] == 1
        assert (first[1], second[1]) == (True, True)


async def _commit(store: PostgresStore, payment: Payment) -> bool:
    decision = decide(payment, created(), NOW)
    assert decision is not None
    return await store.commit(payment, decision, CALLER)


# -- refunds ---------------------------------------------------------------------------------


def test_two_daemons_that_refund_the_same_payments_in_opposite_orders_do_not_deadlock(
    migrated_database: DatabaseSettings,
) -> None:
    asyncio.run(without_deadlock(migrated_database, _refund_in_opposite_orders))


async def _refund_in_opposite_orders(settings: DatabaseSettings) -> None:
    async with two_daemons(settings) as (one, other):
        low, high, *more = [await one.insert(_payment(uuid4()), CALLER) for _ in range(6)]
        low, high = sorted((low, high), key=lambda payment: payment.id)
        entries, gates = more[:2], more[2:]

        first, second = await both_at_once(
            settings,
            ("payments", [entry.id for entry in entries], [gate.id for gate in gates]),
            [partial(_refund, one, p) for p in (entries[0], low, gates[0], high)],
            [partial(_refund, other, p) for p in (entries[1], high, gates[1], low)],
        )

        assert first[0] + second[2] == first[2] + second[0] == 1
        assert (first[1], second[1]) == (True, True)
        for payment in (low, high):
            stored = await one.get(payment.id)
            assert stored is not None
            assert len(stored.refunds) == 1


def test_two_daemons_that_use_the_same_keys_in_opposite_orders_do_not_deadlock(
    migrated_database: DatabaseSettings,
) -> None:
    asyncio.run(without_deadlock(migrated_database, _use_keys_in_opposite_orders))


async def _use_keys_in_opposite_orders(settings: DatabaseSettings) -> None:
    async with two_daemons(settings) as (one, other):
        payments = [await one.insert(_payment(uuid4()), CALLER) for _ in range(8)]
        low, high = (f"{number} {uuid4()}" for number in (1, 9))
        mine, others = payments[:4], payments[4:]

        first, second = await both_at_once(
            settings,
            ("payments", [mine[0].id, others[0].id], [mine[2].id, others[2].id]),
            [
                partial(_refund, one, p, key)
                for p, key in zip(mine, ("", low, "", high), strict=True)
            ],
            [
                partial(_refund, other, p, key)
                for p, key in zip(others, ("", high, "", low), strict=True)
            ],
        )

        # Each key gives one refund, and the other payments get theirs.
        assert first[0] + second[2] == first[2] + second[0] == 1
        assert (first[1], second[1]) == (True, True)


def test_fifty_grants_at_once_over_two_pools_give_what_was_paid_and_no_more(
    migrated_database: DatabaseSettings,
) -> None:
    asyncio.run(_grant_fifty_at_once(migrated_database))


async def _grant_fifty_at_once(settings: DatabaseSettings) -> None:
    async with two_daemons(settings) as daemons:
        payment = await daemons[0].insert(_payment(uuid4()), CALLER)
        decision = decide(payment, paid(payment), NOW)
        assert decision is not None
        assert await daemons[0].commit(payment, decision, CALLER)

        granted = await asyncio.gather(
            *(_grant(daemons[number % 2], payment.id, payment.due // 10) for number in range(50))
        )

        stored = await daemons[1].get(payment.id)
        assert stored is not None
        assert (sum(granted), len(stored.refunds)) == (10, 10)


async def _grant(store: PostgresStore, payment_id: UUID, amount: int) -> bool:
    """Whether the refund was granted; losing a race is no refusal."""
    refund = a_refund(amount=amount)
    while True:
        payment = await store.get(payment_id)
        assert payment is not None
        try:
            decision = decide(payment, RefundRequested(refund=refund, terms=RefundTerms()), NOW)
        except RefundExceedsPaid:
            return False
        assert decision is not None
        if await store.commit(payment, decision, CALLER):
            return True


def test_a_commit_waits_for_a_claim_and_a_claim_for_nothing(
    migrated_database: DatabaseSettings,
) -> None:
    asyncio.run(without_deadlock(migrated_database, _commit_during_a_claim))


async def _commit_during_a_claim(settings: DatabaseSettings) -> None:
    async with two_daemons(settings) as (one, other):
        payment = await one.insert(_payment(uuid4()), CALLER)
        first, last = (
            a_refund(idempotency_key=f"{number} {uuid4()}", next_check_time=LONG_AGO)
            for number in (1, 9)
        )
        refunds = (first, last)
        assert await _change(one, payment, refunds)
        async with (
            a_session(settings) as claimer,
            a_session(settings) as watch,
            held(claimer, "refunds", [last.id]) as release,
        ):
            changed = tuple(attrs.evolve(refund, amount=7) for refund in refunds)
            after = attrs.evolve(payment, version=2, refunds=refunds)
            commit = asyncio.ensure_future(_change(one, after, changed))
            await until_waiting(watch, 1)
            # Both are locked now: the last by the claim, the first by the commit that waits.
            assert await other.claim_refund_checks(LONG_AGO, 10, 60.0) == []
            await release()
            assert await commit
        claimed = await other.claim_refund_checks(LONG_AGO, 10, 60.0)
        assert {refund_id for _, refund_id in claimed} == {refund.id for refund in refunds}


async def _refund(store: PostgresStore, payment: Payment, key: str = "") -> bool:
    return await _change(store, payment, (a_refund(idempotency_key=key or str(uuid4())),))


async def _change(store: PostgresStore, payment: Payment, refunds: tuple[Refund, ...]) -> bool:
    after = attrs.evolve(payment, version=payment.version + 1, refunds=refunds)
    return await store.commit(payment, Decision(payment=after, audit_event="refunded"), CALLER)


# -- customers -------------------------------------------------------------------------------


def test_two_daemons_that_change_the_same_customers_in_opposite_orders_do_not_deadlock(
    migrated_database: DatabaseSettings,
) -> None:
    asyncio.run(without_deadlock(migrated_database, _insert_in_opposite_orders))


async def _insert_in_opposite_orders(settings: DatabaseSettings) -> None:
    async with two_daemons(settings) as (one, other):
        prefix = f"user-{uuid4()}"
        low, high = f"{prefix}-0", f"{prefix}-9"
        entries, gates = ([f"{prefix}-{kind}{n}" for n in range(2)] for kind in (1, 5))
        for customer in (low, high, *entries, *gates):
            await one.insert(a_new_payment(customer=Customer(id=customer)), CALLER)

        first, second = await both_at_once(
            settings,
            ("customers", entries, gates),
            [
                partial(_return, one, n, id)
                for n, id in enumerate((entries[0], low, gates[0], high))
            ],
            [
                partial(_return, other, n, id)
                for n, id in enumerate((entries[1], high, gates[1], low))
            ],
        )

        for payment in (*first, *second):
            assert await one.get(payment.id) is not None


async def _return(store: PostgresStore, number: int, customer: str) -> Payment:
    """The customer comes back with another address; keys are in the order of the calls."""
    payment_id = uuid4()
    returning = Customer(id=customer, email=f"{payment_id}@example.org")
    payment = a_new_payment(
        id=payment_id, idempotency_key=f"{number} {payment_id}", customer=returning
    )
    return await store.insert(payment, CALLER)


# -- what a deadlock with a stranger costs ---------------------------------------------------


def test_a_batch_that_a_deadlock_ended_is_run_again(migrated_database: DatabaseSettings) -> None:
    """With payd's default timeouts the server detects the deadlock before the lock wait ends."""
    asyncio.run(_deadlock_with_an_operator(migrated_database))


async def _deadlock_with_an_operator(settings: DatabaseSettings) -> None:
    async with a_session(settings) as watch:
        before = await _deadlocks(watch)
        # The server may cancel either transaction; on a busy machine the operator's.
        while not await _is_ended_for_the_operator(settings, watch):
            pass
        assert await _deadlocks(watch) > before


async def _is_ended_for_the_operator(settings: DatabaseSettings, watch: "Session") -> bool:
    """Whether the batch gave way; it is written in any case."""
    database = Database(settings)
    store = PostgresStore(database, "test", Rules())
    low, high = sorted(
        [await store.insert(_payment(uuid4()), CALLER) for _ in range(2)], key=lambda p: p.id
    )
    entry = await store.insert(_payment(uuid4()), CALLER)
    async with a_session(settings) as operator, a_session(settings) as blocker:
        async with held(operator, "payments", [high.id]):
            async with held(blocker, "payments", [entry.id]) as release_entry:
                commits = [asyncio.ensure_future(_commit(store, p)) for p in (entry, low, high)]
                await until_waiting(watch, 1)
                await release_entry()
            assert await commits[0]
            await until_waiting(watch, 1)
            try:
                await operator.fetch("SELECT 1 FROM payments WHERE id = $1 FOR UPDATE", low.id)
                gave_way = True
            except asyncpg.DeadlockDetectedError:
                gave_way = False
        assert await asyncio.gather(*commits) == [True, True, True]
    await store.drain()
    await database.close()
    return gave_way


# -- words for the above ---------------------------------------------------------------------


async def without_deadlock(
    settings: DatabaseSettings, act: Callable[[DatabaseSettings], Awaitable[None]]
) -> None:
    """A deadlock fails the test even where the statement that it ended was run again."""
    async with a_session(settings) as watch:
        before = await _deadlocks(watch)
        await act(settings)
        assert await _deadlocks(watch) == before


async def both_at_once(
    settings: DatabaseSettings,
    rows: tuple[str, Sequence[object], Sequence[object]],
    first: Sequence[Write[R]],
    second: Sequence[Write[R]],
) -> tuple[Sequence[R], Sequence[R]]:
    """The results of two batches that run at the same time.

    A daemon's first write waits for an entry row, so that its other writes become one batch. That
    batch waits for a gate row in its middle until the other daemon's batch waits, too. `rows` are
    the table, the entry rows and the gate rows.
    """
    table, entries, gates = rows
    async with (
        a_session(settings) as blocker,
        a_session(settings) as keeper,
        a_session(settings) as watch,
        held(blocker, table, entries) as release_entries,
        held(keeper, table, gates) as open_gates,
    ):
        arrivals = [asyncio.ensure_future(writes[0]()) for writes in (first, second)]
        await until_waiting(watch, 2)
        batches = [asyncio.gather(*(write() for write in writes[1:])) for writes in (first, second)]
        await asyncio.sleep(0)
        await release_entries()
        await asyncio.gather(*arrivals)
        await until_waiting(watch, 2)
        await open_gates()
        one, other = await asyncio.gather(*batches)
        return one, other


async def until_waiting(session: "Session", count: int) -> None:
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND datname = current_database()
    """
    async with asyncio.timeout(30):
        while await session.fetchval(waiting) < count:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.01)


async def _deadlocks(session: "Session") -> int:
    """How many there have been; a session reports them when it ends at the latest."""
    others = """
        SELECT count(*) FROM pg_stat_activity
        WHERE
            datname = current_database()
            AND pid <> pg_backend_pid()
            AND backend_type LIKE 'client%'
    """
    async with asyncio.timeout(30):
        while await session.fetchval(others):  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.01)
    count: int = await session.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    return count


def _payment(payment_id: UUID) -> Payment:
    return a_new_payment(id=payment_id, customer=Customer(id=f"user-{payment_id}"))


@asynccontextmanager
async def two_daemons(
    settings: DatabaseSettings,
) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    databases = [Database(attrs.evolve(settings, **PATIENT)) for _ in range(2)]
    one, other = [PostgresStore(database, "test", Rules()) for database in databases]
    try:
        yield one, other
    finally:
        await one.drain()
        await other.drain()
        for database in databases:
            await database.close()


@asynccontextmanager
async def held(
    session: "Session", table: str, ids: Sequence[object]
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """These rows are locked until the call that it gives, at the latest until the block ends."""
    transaction = session.transaction()
    await transaction.start()
    await session.fetch(
        f"SELECT 1 FROM {table} WHERE id = ANY ($1) FOR NO KEY UPDATE",
        list(ids),
    )
    is_open = False

    async def open_them() -> None:
        nonlocal is_open
        is_open = True
        await transaction.commit()

    try:
        yield open_them
    finally:
        if not is_open:
            await open_them()


@asynccontextmanager
async def a_session(settings: DatabaseSettings) -> "AsyncIterator[Session]":
    calm = attrs.evolve(settings, **PATIENT, idle_in_transaction_timeout_ms=60_000)
    session = await Database(calm).connect()
    try:
        yield session
    finally:
        await session.close()
