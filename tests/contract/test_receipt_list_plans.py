"""A list of receipts reads about a page, whatever is asked for and however many wait."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

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
"""


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
    plan = asyncio.run(_plan(migrated_database, values))
    read = [float(rows) * int(loops) for rows, loops in re.findall(r"rows=(\S+) loops=(\d+)", plan)]
    dropped = [float(rows) for rows in re.findall(r"Rows Removed by \w+: (\d+)", plan)]
    assert max(read + dropped) <= ROWS_MAX, plan


async def _plan(settings: DatabaseSettings, values: dict[str, Any]) -> str:
    """The generic plan and what it did; no row stays."""
    session = await Database(settings).connect()
    rolled_back = session.transaction()
    await rolled_back.start()
    statement = STATEMENTS["list_receipts"]
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
