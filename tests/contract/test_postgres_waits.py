"""What PostgreSQL cannot do in time is "away", never a defect of ours."""

import asyncio

import asyncpg
import attrs
import pytest
from contract.stores import CALLER, a_new_payment

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Rules
from payd.domain.errors import StoreUnavailable


def test_a_key_that_another_transaction_holds_for_long_is_reported_as_unavailable(
    migrated_database: DatabaseSettings,
) -> None:
    """As when the first of two equal calls is committed slowly."""
    asyncio.run(_insert_while_the_key_is_held(migrated_database))


async def _insert_while_the_key_is_held(settings: DatabaseSettings) -> None:
    database = Database(attrs.evolve(settings, lock_timeout_ms=50))
    store = PostgresStore(database, "test", Rules())
    holder = await Database(settings).connect()
    held = holder.transaction()
    await held.start()
    await store_through(holder, "key-held")
    try:
        with pytest.raises(StoreUnavailable) as raised:
            await store.insert(a_new_payment(idempotency_key="key-held"), CALLER)
        assert isinstance(raised.value.__cause__, asyncpg.LockNotAvailableError)
        assert raised.value.may_retry
    finally:
        await held.rollback()
        await holder.close()
        await store.drain()
        await database.close()


async def store_through(session: "asyncpg.Connection[asyncpg.Record]", key: str) -> None:
    """A payment under this key, not committed yet."""
    await session.execute(
        "INSERT INTO customers VALUES ('held', '', '', now(), now()) ON CONFLICT DO NOTHING"
    )
    await session.execute(
        """
        INSERT INTO payments (
            id, version, status, idempotency_key, request_hash, customer_id, method, provider,
            currency_code, amount_minor_units, subscription_ids, return_url, cancel_url, metadata,
            pricing_version, request_id, traceparent, create_time, update_time, expire_time,
            asking, aliases, snapshot_received, snapshot_confirmed, snapshot_refunded, attention,
            late, looks
        )
        VALUES (
            gen_random_uuid(), 1, 'CREATING', $1, '', 'held', 'card', 'mock', 'USD', 1, '{}', '',
            '', '{}', '', '', '', now(), now(), now(), 'ASKING', '{}', 0, 0, 0, '{}', false, 0
        )
        """,
        key,
    )
