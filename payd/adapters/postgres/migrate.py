"""Migrations: one at a time by an advisory lock, each in a transaction, recorded with its hash.

Files are migrations/NNNN_pre_what.sql (before the new daemon starts, harmless to the old one)
and NNNN_post_what.sql (after the last old daemon stopped). `migrate` applies both kinds in
the order of their numbers; an applied file may never change.
"""

import hashlib
import re
from collections.abc import Callable, Sequence

import asyncpg
import attrs

from payd.adapters.postgres.database import Database
from payd.shipped import shipped

#: Any number that only payd's migrations use.
_LOCK = 7_041_989_001
_NAME = re.compile(r"(\d{4})_(pre|post)_\w+\.sql")

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    apply_time timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The database and the migration files disagree."""


@attrs.frozen
class Migration:
    """One file."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Tells whether an applied file was changed afterwards."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> Sequence[Migration]:
    """All files, in the order in which they apply."""
    files = [file for file in shipped("migrations").iterdir() if _NAME.fullmatch(file.name)]
    return [Migration(f.name, f.read_text()) for f in sorted(files, key=lambda f: f.name)]


async def pending(database: Database) -> Sequence[Migration]:
    """What `migrate` would apply. Reads only."""
    connection = await database.connect()
    try:
        known = await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
        applied = await _applied(connection) if known else {}
    finally:
        await connection.close()
    return _missing(applied)


async def migrate(database: Database, progress: Callable[[str], None]) -> Sequence[Migration]:
    """Apply what is missing; several at once wait for one another. Returns what was applied."""
    connection = await database.connect()
    try:
        # A migration may well take longer than a payment's statement.
        await connection.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute(_LEDGER)
        todo = _missing(await _applied(connection))
        for migration in todo:
            progress(migration.name)
            await _apply(connection, migration)
        return todo
    finally:
        await connection.close()


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)",
            migration.name,
            migration.sha256,
        )


async def _applied(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, str]:
    rows = await connection.fetch("SELECT name, sha256 FROM schema_migrations")
    return {row["name"]: row["sha256"] for row in rows}


def _missing(applied: dict[str, str]) -> Sequence[Migration]:
    known = migrations()
    strange = applied.keys() - {migration.name for migration in known}
    if strange:
        raise MigrationError(f"the database is newer than this payd: it has {sorted(strange)}")
    for migration in known:
        if applied.get(migration.name, migration.sha256) != migration.sha256:
            raise MigrationError(f"{migration.name} was changed after it was applied")
    return [migration for migration in known if migration.name not in applied]
