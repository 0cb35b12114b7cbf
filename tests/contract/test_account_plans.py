"""The export of a month reads what the month has, however many payments there are."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from payd.adapters.postgres.accounts import asked_for
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.statements import STATEMENTS
from payd.ports import Position

pytestmark = pytest.mark.usefixtures("open_postgres")

#: One payment every five minutes, and of every third a refund and a dispute.
STORED = 30_000
LIMIT = 100
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)

_STORED = (
    """
    INSERT INTO customers (id, wallet_address, email, create_time, update_time)
    VALUES ('user-1', '', '', now(), now())
    """,
    f"""
    INSERT INTO payments (
        id, version, status, idempotency_key, request_hash, customer_id, method, provider,
        currency_code, amount_minor_units, subscription_ids, return_url, cancel_url, metadata,
        pricing_version, request_id, traceparent, create_time, update_time, expire_time,
        complete_time, asking, provider_reference, aliases, snapshot_received, snapshot_confirmed,
        snapshot_refunded, attention, late, looks
    )
    SELECT
        md5('p' || n)::uuid, 1,
        CASE WHEN n % 5 = 4 THEN 'EXPIRED' ELSE 'COMPLETED' END,
        'key-' || n, '', 'user-1', 'card', 'stripe', 'USD', 14900, '{{}}', '', '', '{{}}', '', '',
        '', time.stored, time.stored, time.stored, CASE WHEN n % 5 <> 4 THEN time.stored END,
        'ANSWERED', 'cs_' || n, ARRAY['pi_' || n], 14900, 14900, 0, '{{}}', false, 0
    FROM
        generate_series(1, {STORED}) AS n,
        LATERAL (SELECT '{NOW.isoformat()}'::timestamptz - n * interval '5 min' AS stored) AS time
    """,
    f"""
    INSERT INTO refunds (
        id, payment_id, provider, status, amount, external, idempotency_key, request_hash, reason,
        destination, requester, request_id, create_time, update_time, complete_time, asking, looks
    )
    SELECT
        md5('r' || n)::uuid, md5('p' || n)::uuid, 'stripe', 'SUCCEEDED', 1, false, 'refund-' || n,
        '', '', '', '', '', now(), now(),
        '{NOW.isoformat()}'::timestamptz - n * interval '5 min', 'ANSWERED', 0
    FROM generate_series(1, {STORED}, 3) AS n
    """,
    f"""
    INSERT INTO disputes (
        provider, id, payment_id, status, asset, amount, reason, open_time, as_of
    )
    SELECT
        'stripe', 'dp_' || n, md5('p' || n)::uuid, 'WON', 'USD', 1, '', time.stored, time.stored
    FROM
        generate_series(1, {STORED}, 3) AS n,
        LATERAL (SELECT '{NOW.isoformat()}'::timestamptz - n * interval '5 min' AS stored) AS time
    """,
    "ANALYZE customers, payments, refunds, disputes",
)
FIRST_ID = UUID(int=0)
#: After a position, and before a time: a whole month, the rest of one, and a day without movements.
ASKED = (
    (Position(NOW - 60 * DAY, FIRST_ID), NOW - 30 * DAY),
    (Position(NOW - 40 * DAY, UUID(int=7)), NOW - 30 * DAY),
    (Position(NOW - 600 * DAY, FIRST_ID), NOW - 599 * DAY),
)


@pytest.mark.parametrize("name", ["list_movements", "sum_movements"])
def test_a_statement_reads_no_more_than_it_is_asked_for(
    migrated_database: DatabaseSettings, name: str
) -> None:
    plans = asyncio.run(_plans(migrated_database, name))

    for plan, is_empty in zip(plans, (False, False, True), strict=True):
        assert "Seq Scan" not in plan, plan
        read = _rows_read(plan)
        # Each kind of movement is read up to the limit, and one page of them is looked up.
        assert read <= (1 if is_empty else 4 * LIMIT), plan
        assert is_empty or read >= LIMIT, plan


def _rows_read(plan: str) -> float:
    """Rows of the step of the plan that has read most, with those that it dropped."""
    read = [float(rows) * int(loops) for rows, loops in re.findall(r"rows=(\S+) loops=(\d+)", plan)]
    dropped = [float(rows) for rows in re.findall(r"Rows Removed by [\w ]+: (\d+)", plan)]
    return max(read + dropped)


async def _plans(settings: DatabaseSettings, name: str) -> list[str]:
    """The generic plan and what it did, for each of ASKED; nothing stays stored."""
    statement = STATEMENTS[name]
    session = await Database(settings).connect()
    rolled_back = session.transaction()
    await rolled_back.start()
    try:
        for step in (
            "SET LOCAL statement_timeout = 0",
            "SET LOCAL plan_cache_mode = force_generic_plan",
            *_STORED,
            f"PREPARE asked AS {statement.sql}",
        ):
            await session.execute(step)
        plans = []
        for after, before in ASKED:
            values = statement.arguments(asked_for(after, before, LIMIT))
            arguments = ", ".join(f"'{value}'" for value in values)
            rows = await session.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) EXECUTE asked ({arguments})")
            plans.append("\n".join(row[0] for row in rows))
        return plans
    finally:
        await rolled_back.rollback()
        await session.close()
