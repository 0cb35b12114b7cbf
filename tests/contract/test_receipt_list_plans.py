"""A list of receipts reads about a page, whatever is asked for and however many wait."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any
from uuid import UUID

import pytest

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.statements import STATEMENTS

PAGE = 50
#: Two providers, each matched and not, and what each index entry costs.
ROWS_MAX = 4 * (PAGE + 2)
NOW = datetime.now(UTC)
MIDDLE = NOW - timedelta(days=5)
#: Almost all are dust of one provider that no payment has.
_RECEIPTS = """
    INSERT INTO receipts (provider, id, payment_id, asset, amount, state, time)
    SELECT
        CASE WHEN n % 1000 = 0 THEN 'stripe' ELSE 'tempo' END, 'r' || n,
        CASE WHEN n % 500 = 1 THEN md5('p' || n % 1500)::uuid END, 'USD', 1, 'CONFIRMED',
        now() - n * interval '30 s'
    FROM generate_series(1, 30000) AS n
    UNION ALL
    SELECT 'tempo', 'f' || n, md5('flooded')::uuid, 'USD', 1, 'CONFIRMED',
        now() - n * interval '1 s'
    FROM generate_series(1, 5000) AS n
"""
FLOODED = UUID(md5(b"flooded", usedforsecurity=False).hexdigest())


@pytest.mark.parametrize("provider", ["", "tempo", "stripe", "nobody"])
@pytest.mark.parametrize("unmatched", [[True], [True, False]])
@pytest.mark.parametrize("before", [None, MIDDLE])
@pytest.mark.parametrize("since", [None, NOW - timedelta(days=6)])
def test_a_list_of_receipts_reads_few_rows(
    migrated_database: DatabaseSettings,
    provider: str,
    unmatched: list[bool],
    before: datetime | None,
    since: datetime | None,
) -> None:
    values = {
        "unmatched": unmatched,
        "time_from": since,
        "before_time": before,
        "before_provider": "",
        "before_id": "",
        "limit": PAGE,
        "provider": provider,
    }
    plan = asyncio.run(_plan(migrated_database, "list_receipts", values))
    _reads_at_most(ROWS_MAX, plan)


def test_the_newest_receipts_of_a_payment_cost_no_more_when_it_has_thousands(
    migrated_database: DatabaseSettings,
) -> None:
    values = {"payment_id": FLOODED, "limit": PAGE}
    plan = asyncio.run(_plan(migrated_database, "payment_receipts", values))
    assert "receipts_of_payment" in plan
    _reads_at_most(PAGE + 2, plan)


def test_the_receipts_of_a_payment_are_counted_in_an_index(
    migrated_database: DatabaseSettings,
) -> None:
    values = {"payment_id": FLOODED}
    plan = asyncio.run(_plan(migrated_database, "count_payment_receipts", values))
    assert "Index Only Scan using receipts_of_payment" in plan


def _reads_at_most(most: int, plan: str) -> None:
    read = [float(rows) * int(loops) for rows, loops in re.findall(r"rows=(\S+) loops=(\d+)", plan)]
    dropped = [float(rows) for rows in re.findall(r"Rows Removed by \w+: (\d+)", plan)]
    assert max(read + dropped) <= most, plan


async def _plan(settings: DatabaseSettings, name: str, values: dict[str, Any]) -> str:
    """The generic plan and what it did; no row stays."""
    session = await Database(settings).connect()
    rolled_back = session.transaction()
    await rolled_back.start()
    statement = STATEMENTS[name]
    try:
        for step in (
            "SET LOCAL statement_timeout = 0",
            "SET LOCAL plan_cache_mode = force_generic_plan",
            "SET LOCAL enable_seqscan = off",
            "ALTER TABLE receipts DROP CONSTRAINT receipts_payment_id_fkey",
            _RECEIPTS,
            "ANALYZE receipts",
        ):
            await session.execute(step)
        rows = await session.fetch(
            f"EXPLAIN (ANALYZE, TIMING OFF) {statement.sql}", *statement.arguments(values)
        )
        return "\n".join(row[0] for row in rows)
    finally:
        await rolled_back.rollback()
        await session.close()
