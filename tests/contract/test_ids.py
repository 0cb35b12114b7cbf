"""Payment ids, as PostgreSQL reads them."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
from support.stack import Stack

from payd.adapters.system import OrderedIds


def test_postgresql_reads_version_and_time_of_a_new_id(stack: Stack) -> None:
    async def read() -> tuple[int, datetime]:
        connection = await asyncpg.connect(stack.database("ids"))
        try:
            row = await connection.fetchrow(
                "SELECT uuid_extract_version($1) AS version, uuid_extract_timestamp($1) AS time",
                OrderedIds().new(),
            )
            assert row is not None
            return row["version"], row["time"]
        finally:
            await connection.close()

    before = datetime.now(UTC)
    version, made = asyncio.run(read())
    assert version == 7
    assert before - timedelta(milliseconds=1) <= made <= datetime.now(UTC)
