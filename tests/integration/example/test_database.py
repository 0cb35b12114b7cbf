"""The example's database: a server that is full or stops is away, not a defect."""

from typing import Any

import pytest
import trio_asyncio
from main_app.database import DatabaseAway, open_database
from support.daemon import Place


async def _be_canceled(connection: Any) -> None:
    await connection.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(30)")


async def _be_one_too_many(connection: Any) -> None:
    await connection.execute(
        "DO $$ BEGIN RAISE 'too many clients' USING ERRCODE = 'too_many_connections'; END $$"
    )


@pytest.mark.parametrize("act", [_be_canceled, _be_one_too_many])
async def test_a_database_that_cannot_serve_now_is_away(place: Place, act: Any) -> None:
    async with trio_asyncio.open_loop(), open_database(place.database) as database:
        with pytest.raises(DatabaseAway):
            await database.run(act)
