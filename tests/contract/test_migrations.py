"""Migrations: they build the schema of schema.sql, and block neither payments nor webhooks."""

import asyncio
import re
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from support.stack import Stack

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.migrate import (
    _LOCK,
    Migration,
    MigrationError,
    migrate,
    migrations,
    pending,
)
from payd.plugins.interface import ProviderEvent

SCHEMA = Path(__file__).parent.parent.parent / "migrations" / "schema.sql"

#: Everything that a schema consists of, by the catalog.
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
    asyncio.run(migrate(database_at(migrated), lambda line: None, post=True))
    assert asyncio.run(catalog(read)) == asyncio.run(catalog(migrated))


def test_each_migration_has_a_number_of_its_own() -> None:
    numbers = [one.name.partition("_")[0] for one in migrations()]
    assert numbers == sorted(set(numbers))


def test_migrations_apply_once_when_several_run_at_once(stack: Stack) -> None:
    url = new_database(stack)

    def one(_: int) -> int:
        return len(asyncio.run(migrate(database_at(url), lambda name: None)))

    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(one, range(4)))
    assert sorted(applied) == [0, 0, 0, len(migrations())]
    assert asyncio.run(pending(database_at(url))) == []


def test_waiting_for_another_migrate_is_reported_once_and_ends(stack: Stack) -> None:
    url, lines = new_database(stack), list[str]()

    async def act() -> None:
        other = await asyncpg.connect(url)
        await other.execute("SELECT pg_advisory_lock($1)", _LOCK)
        # Long enough to ask more than twice.
        with pytest.raises(MigrationError, match="another `payd migrate` has been running"):
            async with asyncio.timeout(60):
                await migrate(database_at(url), lines.append, patience_s=1.5)
        assert len(lines) == 1
        assert "another `payd migrate`" in lines[0]
        await other.close()
        assert len(await migrate(database_at(url), lines.append)) == len(migrations())

    asyncio.run(act())


def test_the_audit_trail_cannot_be_changed(stack: Stack) -> None:
    url = new_database(stack)
    asyncio.run(migrate(database_at(url), lambda name: None))
    for statement in ("UPDATE payment_events SET actor = 'x'", "DELETE FROM payment_events"):
        try:
            asyncio.run(run(url, statement))
        except asyncpg.RaiseError as error:
            refused = str(error)
        assert "append-only" in refused


# -- beside payments -------------------------------------------------------------------------

SLOW = """
DROP INDEX CONCURRENTLY IF EXISTS inbox_by_attempts;
-- A comment; with a semicolon.
CREATE INDEX CONCURRENTLY inbox_by_attempts ON inbox (attempts);
"""
Add = Callable[..., str]


@pytest.fixture
def with_more(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Add:
    """The URL of a database with the whole schema, once further files are there to apply."""

    def add(**files: str) -> str:
        url = new_database(stack)
        asyncio.run(migrate(database_at(url), lambda line: None))
        more = [Migration(f"{name.removeprefix('f')}.sql", sql) for name, sql in files.items()]
        known = migrations()
        monkeypatch.setattr("payd.adapters.postgres.migrate.migrations", lambda: (*known, *more))
        return url

    return add


async def a_webhook(inbox: PostgresInbox) -> None:
    event = ProviderEvent(id=uuid.uuid4().hex, type="paid", content={})
    assert await inbox.put_webhook("mock", [event], b"{}")


def test_a_migration_behind_a_long_reader_lets_webhooks_pass(with_more: Add) -> None:
    asyncio.run(
        _migrate_behind_a_reader(with_more(f9000_pre_x="ALTER TABLE inbox ADD COLUMN x text"))
    )


async def _migrate_behind_a_reader(url: str) -> None:
    database, lines = database_at(url), list[str]()
    inbox = PostgresInbox(database)
    reader = await asyncpg.connect(url, server_settings={"application_name": "a backup"})
    reading = reader.transaction()
    await reading.start()
    await reader.fetch("SELECT * FROM inbox")
    migrating = asyncio.create_task(migrate(database, lines.append))

    async with asyncio.timeout(60):
        while len(lines) < 4:
            await a_webhook(inbox)
    assert not migrating.done()
    await reading.rollback()

    async with asyncio.timeout(60):
        assert [one.name for one in await migrating] == ["9000_pre_x.sql"]
    assert "a backup" in lines[1]
    await reader.close()
    await database.close()


def test_a_migration_that_never_gets_its_lock_names_the_probable_holder(with_more: Add) -> None:
    url = with_more(f9000_pre_x="ALTER TABLE inbox ADD COLUMN x text")

    async def act() -> None:
        reader = await asyncpg.connect(url, server_settings={"application_name": "a backup"})
        async with reader.transaction():
            await reader.fetch("SELECT * FROM inbox")
            with pytest.raises(MigrationError, match=r"'a backup' .*; one of them probably has it"):
                await migrate(database_at(url), lambda line: None, patience_s=0.1)
        await reader.close()

    asyncio.run(act())
    assert [one.name for one in asyncio.run(pending(database_at(url)))] == ["9000_pre_x.sql"]


def test_an_index_is_built_beside_open_transactions_and_webhooks(with_more: Add) -> None:
    asyncio.run(_build_beside_a_writer(with_more(f9000_pre_index=SLOW)))


async def _build_beside_a_writer(url: str) -> None:
    database = database_at(url)
    inbox = PostgresInbox(database)
    await a_webhook(inbox)
    writer = await asyncpg.connect(url)
    writing = writer.transaction()
    await writing.start()
    await writer.execute("UPDATE inbox SET attempts = 1")
    migrating = asyncio.create_task(migrate(database, lambda line: None))
    await _until_it_waits(url)

    for _ in range(5):
        await a_webhook(inbox)
    await writing.commit()

    async with asyncio.timeout(60):
        await migrating
    is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'inbox_by_attempts'::regclass"
    assert await writer.fetchval(is_valid)
    await writer.close()
    await database.close()


async def _until_it_waits(url: str) -> None:
    watch = await asyncpg.connect(url)
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    async with asyncio.timeout(60):
        while not await watch.fetchval(waiting):  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.01)
    await watch.close()


def test_an_index_whose_build_was_cut_is_built_anew(with_more: Add) -> None:
    url = with_more(f9000_pre_index=SLOW)
    cut = "CREATE UNIQUE INDEX CONCURRENTLY inbox_by_attempts ON inbox (attempts)"

    async def act() -> None:
        database = database_at(url)
        inbox = PostgresInbox(database)
        for _ in range(2):
            await a_webhook(inbox)
        with suppress(asyncpg.UniqueViolationError):
            await run(url, cut)
        await migrate(database, lambda line: None)
        session = await asyncpg.connect(url)
        found = await session.fetchrow(
            "SELECT indisvalid, indisunique FROM pg_index"
            " WHERE indexrelid = 'inbox_by_attempts'::regclass"
        )
        assert tuple(found or ()) == (True, False)
        await session.close()
        await database.close()

    asyncio.run(act())


def test_several_that_build_an_index_at_once_do_not_wait_in_a_circle(with_more: Add) -> None:
    url = with_more(f9000_pre_index=SLOW)

    def one(_: int) -> int:
        return len(asyncio.run(migrate(database_at(url), lambda line: None)))

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(one, range(4))) == [0, 0, 0, 1]


# -- two versions ----------------------------------------------------------------------------


def test_what_the_old_version_cannot_stand_waits_until_it_is_gone(with_more: Add) -> None:
    url = with_more(f9000_pre_a="SELECT 1", f9001_post_b="SELECT 1")
    database = database_at(url)

    def names(found: object) -> list[str]:
        return [one.name for one in found]  # type: ignore[attr-defined]

    assert names(asyncio.run(pending(database))) == ["9000_pre_a.sql"]
    assert names(asyncio.run(migrate(database, lambda line: None))) == ["9000_pre_a.sql"]
    assert names(asyncio.run(pending(database))) == []
    assert names(asyncio.run(pending(database, post=True))) == ["9001_post_b.sql"]
    done = asyncio.run(migrate(database, lambda line: None, post=True))
    assert names(done) == ["9001_post_b.sql"]


def test_what_the_version_before_left_for_later_comes_with_the_next_one(with_more: Add) -> None:
    url = with_more(f9000_pre_a="SELECT 1", f9001_post_b="SELECT 1", f9002_pre_c="SELECT 1")

    done = asyncio.run(migrate(database_at(url), lambda line: None))

    assert [one.name for one in done] == ["9000_pre_a.sql", "9001_post_b.sql", "9002_pre_c.sql"]


def test_a_daemon_runs_beside_the_next_version_until_its_post_files_apply(with_more: Add) -> None:
    url = with_more()
    record = "INSERT INTO schema_migrations (name, sha256) VALUES ('{}', '')"

    asyncio.run(run(url, record.format("9000_pre_of_the_next_version.sql")))
    assert asyncio.run(pending(database_at(url))) == []

    asyncio.run(run(url, record.format("9001_post_of_the_next_version.sql")))
    with pytest.raises(MigrationError, match="newer"):
        asyncio.run(pending(database_at(url)))


#: Statements that break a daemon of the previous version, or lock a table for long.
HARMFUL = re.compile(
    r"\bRENAME\b|\bDROP (COLUMN|TABLE|INDEX(?! CONCURRENTLY))|SET NOT NULL|\bSET DATA TYPE\b"
    r"|ADD COLUMN (?![^,;]*DEFAULT)[^,;]*NOT NULL|ALTER COLUMN \w+ TYPE\b"
    r"|CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)",
    re.IGNORECASE,
)


@pytest.mark.parametrize("migration", migrations()[5:], ids=lambda one: one.name)
def test_a_pre_file_takes_nothing_away_and_blocks_no_table(migration: Migration) -> None:
    """The first five came before two versions could share a database."""
    if "_pre_" in migration.name:
        sql = re.sub(r"--.*", "", migration.sql)
        assert HARMFUL.findall(sql) == []
