"""A clock that was moved: business times are its times, leases stay with the database's clock."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import attrs
from contract.stores import CALLER, a_new_payment
from contract.test_cursors import EVENT, LEASE_S
from support.waiting import PATIENCE_S

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.outbox import PostgresOutbox
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Rules
from payd.ports import Cursor

DAY = timedelta(days=1)


@attrs.frozen
class Ahead:
    """A clock that `payd clock` has moved by a day."""

    def now(self) -> datetime:
        return datetime.now(UTC) + DAY


def with_database(settings: DatabaseSettings, act: Callable[[Database], Awaitable[None]]) -> None:
    async def run() -> None:
        database = Database(settings, clock=Ahead())
        try:
            await act(database)
        finally:
            await database.close()

    asyncio.run(run())


def test_a_report_is_received_at_the_time_of_payments(
    migrated_database: DatabaseSettings,
) -> None:
    """Reports are given up by their age at that time."""

    async def act(database: Database) -> None:
        inbox, provider, begin = PostgresInbox(database), str(uuid4()), Ahead().now()
        await inbox.put(provider, [EVENT])
        await inbox.put_webhook(provider, [attrs.evolve(EVENT, id="evt_webhook")], b"{}")
        session = await database.connect()
        rows = await session.fetch(
            "SELECT receive_time, locked_until <= now() AS is_free FROM inbox WHERE provider = $1",
            provider,
        )
        await session.close()
        assert len(rows) == 2
        assert all(begin <= row["receive_time"] <= Ahead().now() for row in rows)
        assert all(row["is_free"] for row in rows), "a worker of any daemon may claim it"

    with_database(migrated_database, act)


def test_a_claim_to_ask_ends_at_the_time_of_payments(migrated_database: DatabaseSettings) -> None:
    async def act(database: Database) -> None:
        store, now = PostgresStore(database, "test", Rules()), Ahead().now()
        earlier = attrs.evolve(a_new_payment(), ask_deadline=now - timedelta(minutes=1))
        stored = await store.insert(earlier, CALLER)
        async with asyncio.timeout(PATIENCE_S):
            assert await store.await_answer(stored.id, 2 * PATIENCE_S) is not None
        await store.drain()

    with_database(migrated_database, act)


def test_the_oldest_event_has_waited_for_a_time_of_payments(
    migrated_database: DatabaseSettings,
) -> None:
    async def act(database: Database) -> None:
        store, real = PostgresStore(database, "test", Rules()), Database(migrated_database)
        session = await database.connect()
        await session.execute("TRUNCATE outbox")
        await session.execute(
            "INSERT INTO outbox (event_id, payment_id, subject, about, headers, body, create_time)"
            " VALUES (gen_random_uuid(), $1, 'payment.completed', '', '{}', '', now())",
            (await store.insert(a_new_payment(), CALLER)).id,
        )
        await session.close()
        _, ahead_s = await PostgresOutbox(database).depth()
        _, real_s = await PostgresOutbox(real).depth()
        assert ahead_s - real_s > DAY.total_seconds() - 3600
        await store.drain()
        await real.close()

    with_database(migrated_database, act)


def test_a_rest_passes_with_the_clock_and_a_lease_with_the_databases(
    migrated_database: DatabaseSettings,
) -> None:
    async def act(database: Database) -> None:
        inbox, provider = PostgresInbox(database), str(uuid4())
        assert await inbox.claim_cursor(provider, "events", LEASE_S) == (None,)
        assert await inbox.claim_cursor(provider, "events", LEASE_S) is None, "it is leased"
        await inbox.put(provider, [EVENT], Cursor(name="events", value="7", rest=DAY))
        await inbox.pass_rests(DAY - timedelta(minutes=1))
        assert await inbox.claim_cursor(provider, "events", LEASE_S) is None
        await inbox.pass_rests(timedelta(minutes=1))
        assert await inbox.claim_cursor(provider, "events", LEASE_S) == ("7",)

    with_database(migrated_database, act)
