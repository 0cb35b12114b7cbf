"""Sums of payments by day, method, status and currency equal the payments, while daemons write."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from contract.stores import CALLER, a_new_payment

from payd.adapters.maintenance import until_short
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.money_to_watch import PostgresMoneyToWatch
from payd.adapters.postgres.outbox import PostgresOutbox
from payd.adapters.postgres.receipts import PostgresReceipts
from payd.adapters.postgres.statements import STATEMENTS
from payd.adapters.postgres.store import PostgresStore
from payd.adapters.postgres.sums import PostgresSums
from payd.domain.decide import Rules, decide
from payd.domain.evidence import Declined
from payd.domain.money import MINOR_UNITS_MAX, Money
from payd.domain.payment import Status

pytestmark = pytest.mark.usefixtures("open_postgres")

FIRST = date(2020, 1, 1)
DECLINED = Declined(code="no", message="No.")
Counted = dict[tuple[str, str, str, str], tuple[int, int]]


def sums_on(database: Database) -> PostgresSums:
    return PostgresSums(
        database,
        PostgresOutbox(database),
        PostgresInbox(database),
        PostgresReceipts(database),
        PostgresMoneyToWatch(database),
    )


def on(settings: DatabaseSettings, act: Callable[[Database], Awaitable[None]]) -> None:
    async def run() -> None:
        database = Database(settings)
        try:
            await act(database)
        finally:
            await database.close()

    asyncio.run(run())


async def daily(sums: PostgresSums) -> Counted:
    return {
        (one.day.isoformat(), one.method, one.status.value, one.amount.currency_code): (
            one.payments,
            one.amount.minor_units,
        )
        for one in await sums.daily(FIRST)
    }


#: What the sums should be, and what they are, in one snapshot.
BOTH = f"""
    SELECT
        (
            SELECT coalesce(
                jsonb_agg(jsonb_build_array(day, m, s, c, n, u) ORDER BY day, m, s, c), '[]'
            )
            FROM (
                SELECT
                    (create_time AT TIME ZONE 'UTC')::date AS day, method AS m, status AS s,
                    currency_code AS c, count(*) AS n, sum(amount_minor_units) AS u
                FROM payments GROUP BY 1, 2, 3, 4
            ) AS counted
        ) AS counted,
        (
            SELECT coalesce(
                jsonb_agg(
                    jsonb_build_array(day, method, status, currency_code, payments, minor_units)
                    ORDER BY day, method, status, currency_code
                ), '[]'
            )
            FROM ({STATEMENTS["daily_sums"].sql}) AS kept
        ) AS kept
"""


def test_a_payment_is_counted_where_it_stands(migrated_database: DatabaseSettings) -> None:
    """On its day in UTC, once, whatever happens to it."""
    late = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)

    async def act(database: Database) -> None:
        store, sums = PostgresStore(database, "test", Rules()), sums_on(database)
        payment = await store.insert(a_new_payment(create_time=late), CALLER)
        creating = ("2026-03-01", "card", "CREATING", "USD")
        assert await daily(sums) == {creating: (1, 14900)}
        decision = decide(payment, DECLINED, late)
        assert decision is not None
        await store.commit(payment, decision, CALLER)
        failed = {("2026-03-01", "card", "FAILED", "USD"): (1, 14900)}
        assert await daily(sums) == failed
        assert await sums.fold(100) == 3
        assert await daily(sums) == failed
        assert await sums.fold(100) == 0
        assert await sums.daily(date(2026, 3, 2)) == []

    on(migrated_database, act)


def test_sums_are_exact_in_every_moment_while_daemons_write_and_fold(
    migrated_database: DatabaseSettings,
) -> None:
    async def act(database: Database) -> None:
        sums, done = sums_on(database), asyncio.Event()

        async def write(method: str) -> None:
            store = PostgresStore(database, "test", Rules())
            for n in range(20):
                new = a_new_payment(
                    method=method, amount=Money(currency_code="EUR", minor_units=n + 1)
                )
                payment = await store.insert(new, CALLER)
                if n % 2 == 0:
                    decision = decide(payment, DECLINED, payment.update_time)
                    assert decision is not None
                    assert await store.commit(payment, decision, CALLER)

        async def fold() -> None:
            while not done.is_set():
                await sums.fold(7)
                await asyncio.sleep(0)

        async def look() -> None:
            session = await database.connect()
            while not done.is_set():
                row = await session.fetchrow(BOTH, FIRST)
                assert row is not None
                assert row["counted"] == row["kept"]
            await session.close()

        others = [asyncio.create_task(one()) for one in (fold, fold, look)]
        await asyncio.gather(*(write(method) for method in ("card", "card", "crypto")))
        done.set()
        await asyncio.gather(*others)
        await until_short(sums.fold, 100)

        found: Counter[str] = Counter()
        for one in await sums.daily(FIRST):
            found[f"{one.method} {one.status.value}"] += one.payments
        assert found == {
            "card CREATING": 20,
            "card FAILED": 20,
            "crypto CREATING": 10,
            "crypto FAILED": 10,
        }

    on(migrated_database, act)


def test_what_was_changed_without_the_triggers_is_recounted(
    migrated_database: DatabaseSettings,
) -> None:
    """As by the migration, for the payments that were there before."""

    async def act(database: Database) -> None:
        store, sums = PostgresStore(database, "test", Rules()), sums_on(database)
        await store.insert(a_new_payment(), CALLER)
        right = await daily(sums)
        session = await database.connect()
        await session.execute("TRUNCATE payment_sums, payment_sum_changes")
        assert await daily(sums) == {}
        for _ in range(2):
            await session.execute("SELECT recount_payments()")
            assert await daily(sums) == right
        await session.close()

    on(migrated_database, act)


def test_a_removed_payment_is_counted_no_longer(migrated_database: DatabaseSettings) -> None:
    async def act(database: Database) -> None:
        session = await database.connect()
        sums = sums_on(database)
        payment = await PostgresStore(database, "test", Rules()).insert(a_new_payment(), CALLER)
        await session.execute(
            "ALTER TABLE payment_events DISABLE TRIGGER payment_events_are_append_only"
        )
        for table in ("payment_events", "payment_line_items", "outbox"):
            await session.execute(f"DELETE FROM {table} WHERE payment_id = $1", payment.id)
        await session.execute(
            "ALTER TABLE payment_events ENABLE TRIGGER payment_events_are_append_only"
        )
        await session.execute("DELETE FROM payments WHERE id = $1", payment.id)
        assert await sums.daily(FIRST) == []
        await session.close()

    on(migrated_database, act)


def test_a_sum_beyond_int64_is_shown_as_the_most_that_can_be_said(
    migrated_database: DatabaseSettings,
) -> None:
    async def act(database: Database) -> None:
        store = PostgresStore(database, "test", Rules())
        most = Money(currency_code="USD", minor_units=MINOR_UNITS_MAX)
        for _ in range(2):
            await store.insert(a_new_payment(amount=most), CALLER)
        [one] = await sums_on(database).daily(FIRST)
        assert (one.payments, one.amount.minor_units) == (2, MINOR_UNITS_MAX)
        assert one.status is Status.CREATING

    on(migrated_database, act)


def test_an_overview_reads_no_payment(migrated_database: DatabaseSettings) -> None:
    """However many there are."""

    async def act(database: Database) -> None:
        session: Any = await database.connect()
        plan = await session.fetch(f"EXPLAIN {STATEMENTS['daily_sums'].sql}", FIRST)
        tables = "\n".join(row[0] for row in plan)
        assert "payment_sums" in tables
        assert " on payments" not in tables
        await session.close()

    on(migrated_database, act)
