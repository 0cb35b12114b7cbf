"""A statement is planned once a session, also when a plan for its values would look cheaper."""

import asyncio
from uuid import uuid4

import pytest

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.statements import STATEMENTS, Statement
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Rules
from payd.ports import Name

_PLANNED = Statement(
    "planned",
    "SELECT sum(generic_plans)::integer AS once, sum(custom_plans)::integer AS anew"
    " FROM pg_prepared_statements WHERE statement ~ 'JOIN payment[s]'",
    (),
)


def test_payments_are_read_without_planning_again(
    migrated_database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STATEMENTS, _PLANNED.name, _PLANNED)

    async def run() -> tuple[int, int]:
        database = Database(migrated_database)
        store = PostgresStore(database, "test", Rules())
        for _ in range(10):
            await store.get(uuid4())
            await store.find_all({Name("mock", str(uuid4())): ()})
        row = await database.fetch_one(_PLANNED.name)
        await database.close()
        assert row is not None
        return row["once"], row["anew"]

    assert asyncio.run(run()) == (20, 0)
