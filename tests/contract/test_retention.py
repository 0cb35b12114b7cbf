"""Retention: everything that is too old is deleted, however much has become due."""

import asyncio
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from contract.stores import CALLER, a_new_payment

from payd.adapters.maintenance import until_short
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.outbox import PostgresOutbox
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Rules

MONTH = timedelta(days=30)
#: $1 old rows and three young ones.
EVENTS = """
    INSERT INTO outbox (event_id, payment_id, subject, headers, body, create_time, publish_time)
    SELECT
        gen_random_uuid(), $2, 'payment.attention', '{}', '', now(),
        now() - CASE WHEN n > $1 THEN 1 ELSE 31 END * interval '1 day'
    FROM generate_series(1, $1 + 3) AS n
"""
WEBHOOKS = """
    INSERT INTO inbox (provider, event_id, content_hash, report, raw_body, receive_time)
    SELECT
        $2, n, '', '{}', 'bytes',
        now() - CASE WHEN n > $1 THEN 1 ELSE 31 END * interval '1 day'
    FROM generate_series(1, $1 + 3) AS n
"""


@pytest.mark.parametrize("old", [0, 99, 100, 250])
def test_retention_goes_on_until_nothing_old_is_left(
    migrated_database: DatabaseSettings, old: int
) -> None:
    asyncio.run(_keep_up(migrated_database, old))


async def _keep_up(settings: DatabaseSettings, old: int) -> None:
    database = Database(settings)
    payment = await PostgresStore(database, "test", Rules()).insert(a_new_payment(), CALLER)
    provider = str(uuid4())
    session = await database.connect()
    await session.execute(EVENTS, old, payment.id)
    await session.execute(WEBHOOKS, old, provider)

    events = await until_short(partial(PostgresOutbox(database).delete_published, MONTH), 100)
    bodies = await until_short(partial(PostgresInbox(database).forget_raw_bodies, MONTH), 100)

    # Another test may have left old rows behind.
    assert min(events, bodies) >= old
    left = "SELECT count(*) FROM outbox WHERE payment_id = $1"
    assert await session.fetchval(left, payment.id) == 3
    kept = "SELECT count(raw_body), count(*) FROM inbox WHERE provider = $1"
    assert tuple(await session.fetchrow(kept, provider) or ()) == (3, old + 3)
    await session.close()
    await database.close()


def test_two_daemons_share_the_work(migrated_database: DatabaseSettings) -> None:
    asyncio.run(_keep_up_together(migrated_database))


async def _keep_up_together(settings: DatabaseSettings) -> None:
    databases = [Database(settings), Database(settings)]
    payment = await PostgresStore(databases[0], "test", Rules()).insert(a_new_payment(), CALLER)
    session = await databases[0].connect()
    await session.execute(EVENTS, 500, payment.id)

    await asyncio.gather(
        *(
            until_short(partial(PostgresOutbox(one).delete_published, MONTH), 50)
            for one in databases
        )
    )

    left = "SELECT count(*) FROM outbox WHERE payment_id = $1"
    assert await session.fetchval(left, payment.id) == 3
    await session.close()
    for database in databases:
        await database.close()
