"""Newer versions of watched payments: read in one statement, and only what is newer."""

import asyncio
from uuid import uuid4

from contract.stores import Stores, created

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.statements import STATEMENTS


async def test_only_payments_with_a_newer_version_are_read(stores: Stores) -> None:
    changed = await stores.learn(await stores.add(), created())
    unchanged = await stores.add()

    newer = await stores.payments.newer(
        {changed.id: changed.version - 1, unchanged.id: unchanged.version, uuid4(): 0}
    )

    assert newer == [changed]
    assert await stores.payments.newer({changed.id: changed.version}) == []
    assert await stores.payments.newer({}) == []


def test_a_thousand_watched_payments_are_looked_up_by_their_ids(
    migrated_database: DatabaseSettings,
) -> None:
    """Without a scan of the table, however the planner guesses the number of ids."""

    async def plan() -> str:
        session = await Database(migrated_database).connect()
        try:
            await session.execute("SET plan_cache_mode = force_generic_plan")
            await session.execute("SET enable_seqscan = off")
            statement = STATEMENTS["newer_payments"].sql
            await session.execute(
                f"PREPARE newer (uuid[], integer[], double precision) AS {statement}"
            )
            rows = await session.fetch("EXPLAIN EXECUTE newer ('{}', '{}', 0)")
            return "\n".join(row[0] for row in rows)
        finally:
            await session.close()

    found = asyncio.run(plan())

    assert "Seq Scan" not in found, found
    assert found.count("Index Scan using payments_pkey on payments p") == 2, found
