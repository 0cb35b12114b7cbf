"""The schema that one reads is the schema that the migrations make."""

import asyncio
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from stack import Stack

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.migrate import migrate, migrations, pending

SCHEMA = Path(__file__).parent.parent.parent / "migrations" / "schema.sql"

#: Everything that a schema consists of, as the catalog tells it.
CATALOG = """
SELECT 'column' AS kind, table_name || '.' || column_name AS name,
       concat_ws(' ', data_type, numeric_precision, is_nullable, column_default,
                 collation_name, is_identity) AS definition
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'function', proname, pg_get_functiondef(oid) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'option', relname, array_to_string(reloptions, ',') FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
ORDER BY 1, 2
"""


def database_at(url: str) -> Database:
    parts = urlsplit(url)
    return Database(
        DatabaseSettings(
            host=str(parts.hostname),
            port=parts.port or 0,
            user=str(parts.username),
            password=str(parts.password),
            name=parts.path.removeprefix("/"),
            tls="disable",
        )
    )


async def catalog(url: str) -> list[Mapping[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        return [
            dict(row)
            for row in await connection.fetch(CATALOG)
            if "schema_migrations" not in row["name"]
        ]
    finally:
        await connection.close()


async def run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def new_database(stack: Stack) -> str:
    return stack.database(f"m{uuid.uuid4().hex}")


def test_the_schema_equals_the_sum_of_the_migrations(stack: Stack) -> None:
    read, migrated = new_database(stack), new_database(stack)
    asyncio.run(run(read, SCHEMA.read_text()))
    asyncio.run(migrate(database_at(migrated), lambda name: None))
    assert asyncio.run(catalog(read)) == asyncio.run(catalog(migrated))


def test_migrations_apply_once_when_several_run_at_once(stack: Stack) -> None:
    url = new_database(stack)

    def one(_: int) -> int:
        return len(asyncio.run(migrate(database_at(url), lambda name: None)))

    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(one, range(4)))
    assert sorted(applied) == [0, 0, 0, len(migrations())]
    assert asyncio.run(pending(database_at(url))) == []


def test_the_audit_trail_cannot_be_changed(stack: Stack) -> None:
    url = new_database(stack)
    asyncio.run(migrate(database_at(url), lambda name: None))
    for statement in ("UPDATE payment_events SET actor = 'x'", "DELETE FROM payment_events"):
        try:
            asyncio.run(run(url, statement))
        except asyncpg.RaiseError as error:
            refused = str(error)
        assert "append-only" in refused
