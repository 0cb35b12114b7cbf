"""Migrations: apply each file once and in order, while daemons go on taking payments.

Two neighbouring versions share a database during an upgrade. NNNN_pre_what.sql is applied before
the new daemon starts, and is harmless to the old one; NNNN_post_what.sql is applied after the last
old daemon has stopped. A release numbers its post files after its pre files. `migrate` applies all
files up to the last pre file, and with it the post files of earlier releases; `post=True` applies
all. An applied file must never change: its hash is recorded.

A statement that waits for a lock blocks all later statements on that table. Therefore a file gets
its locks within a quarter of a second, or it is rolled back, the daemons run for a while, and it is
tried again. A file with CONCURRENTLY runs outside a transaction and blocks no other statement. It
may be interrupted between two statements, so each of them must be safe to repeat.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import asyncpg
import attrs

from payd.adapters.postgres.chain_rows import chain_rows
from payd.adapters.postgres.database import Database, run_on
from payd.shipped import shipped

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

#: Any number that only payd's migrations use.
_LOCK = 7_041_989_001
_NAME = re.compile(r"(\d{4})_(pre|post)_\w+\.sql")
_COMMENT = re.compile(r"--.*")

#: Longest time that daemons wait behind a migration that waits for a lock.
_LOCK_TIMEOUT = "250ms"
#: Pause between two attempts, for the daemons.
_PAUSE_S = 1.0
#: Longer than a long report or a step of a slow backup; a person has to end anything longer.
_PATIENCE_S = 900.0

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    apply_time timestamptz NOT NULL DEFAULT now()
)
"""

#: The oldest transactions: after the wait for a lock PostgreSQL no longer reports its holder.
_HOLDERS = """
SELECT pid, application_name, date_trunc('second', now() - xact_start)::text AS age
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
ORDER BY xact_start
LIMIT 3
"""

Progress = Callable[[str], None]


class MigrationError(Exception):
    """The database does not match the migration files, or a lock was not free in time."""


@attrs.frozen
class Migration:
    """One migration file."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Hash of the file, recorded when it is applied, to detect later changes."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> Sequence[str]:
        """The statements of a CONCURRENTLY file, which has no function bodies."""
        parts = _COMMENT.sub("", self.sql).split(";")
        return [part.strip() for part in parts if part.strip()]

    @property
    def is_concurrent(self) -> bool:
        """Whether the file must run outside a transaction."""
        return " CONCURRENTLY " in _COMMENT.sub("", self.sql)


def migrations() -> Sequence[Migration]:
    """All migration files, in order."""
    files = [file for file in shipped("migrations").iterdir() if _NAME.fullmatch(file.name)]
    return [Migration(f.name, f.read_text()) for f in sorted(files, key=lambda f: f.name)]


async def pending(database: Database, *, post: bool = False) -> Sequence[Migration]:
    """Return what `migrate` would apply; changes nothing.

    Raises MigrationError and StoreUnavailable.
    """
    connection = await database.connect()
    try:
        known = await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
        applied = await _applied(connection) if known else {}
    finally:
        await connection.close()
    return _missing(applied, post)


async def unchained(database: Database) -> str:
    """Say which audit rows `migrate` with `post` would chain; empty if there are none.

    The schema must be up to date. Raises StoreUnavailable.
    """
    connection = await database.connect()
    try:
        await connection.execute("SET statement_timeout = 0")
        rows = await run_on(connection, "unchained_rows")
    finally:
        await connection.close()
    return "".join(
        f"{row['rows']} audit rows of {row['payments']} payments are not chained, first version"
        f" {row['version']} of payment {row['payment_id']}"
        for row in rows
    )


async def migrate(
    database: Database, progress: Progress, *, post: bool = False, patience_s: float = _PATIENCE_S
) -> Sequence[Migration]:
    """Apply missing files and return them; concurrent calls run one after another.

    With `post` the audit rows of the previous version are chained, too. `progress` gets each file's
    name and a line for each wait. Raises StoreUnavailable, and
    MigrationError, also when a lock or another `payd migrate` takes longer than `patience_s`
    seconds; files applied until then stay applied.
    """
    connection = await database.connect()
    try:
        # Counting a large table may take longer than a payment's statement.
        await connection.execute("SET statement_timeout = 0")
        await _take_turn(connection, progress, patience_s)
        await connection.execute(_LEDGER)
        todo = _missing(await _applied(connection), post)
        for migration in todo:
            progress(f"applying {migration.name}")
            if migration.is_concurrent:
                await _apply_outside(connection, migration)
            else:
                await _apply(connection, migration, progress, patience_s)
        if post:
            await chain_rows(connection, progress)
        return todo
    finally:
        await connection.close()


async def _take_turn(connection: "_Connection", progress: Progress, patience_s: float) -> None:
    """Poll for the advisory lock.

    A statement that waited for it would keep a snapshot open, and CREATE INDEX CONCURRENTLY in the
    other session waits for old snapshots: a deadlock.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_s
    is_reported = False
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        if loop.time() >= until:
            raise MigrationError(
                f"another `payd migrate` has been running for {patience_s:.0f} s: "
                "wait until it has finished and run `payd migrate` again"
            )
        if not is_reported:
            progress("waiting for another `payd migrate` to finish")
            is_reported = True
        await asyncio.sleep(_PAUSE_S)


async def _apply(
    connection: "_Connection", migration: Migration, progress: Progress, patience_s: float
) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_s
    while True:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                await connection.execute(migration.sql)
                await _record(connection, migration)
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            holders = await _holders(connection)
            if loop.time() >= until:
                raise MigrationError(
                    f"{migration.name} got no lock within {patience_s:.0f} s: end the transaction "
                    f"that has the lock and run `payd migrate` again; {holders}"
                ) from error
            progress(f"{migration.name}: waiting for a lock; {holders}")
        await asyncio.sleep(_PAUSE_S)


async def _apply_outside(connection: "_Connection", migration: Migration) -> None:
    await connection.execute("SET lock_timeout = 0")
    for statement in migration.statements:
        await connection.execute(statement)
    await _record(connection, migration)


async def _record(connection: "_Connection", migration: Migration) -> None:
    await connection.execute(
        "INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)",
        migration.name,
        migration.sha256,
    )


async def _holders(connection: "_Connection") -> str:
    rows = await connection.fetch(_HOLDERS)
    if not rows:
        return "no other transaction is open now"
    longest = ", ".join(
        f"pid {row['pid']} {row['application_name']!r} open for {row['age']}" for row in rows
    )
    return f"the oldest open transactions are {longest}; one of them probably has it"


async def _applied(connection: "_Connection") -> dict[str, str]:
    rows = await connection.fetch("SELECT name, sha256 FROM schema_migrations")
    return {row["name"]: row["sha256"] for row in rows}


def _missing(applied: dict[str, str], post: bool) -> Sequence[Migration]:
    known = migrations()
    # The next version's pre files are harmless to this one.
    strange = {name for name in applied.keys() - {m.name for m in known} if "_pre_" not in name}
    if strange:
        raise MigrationError(
            f"the database is newer than this payd: it has {sorted(strange)}; install that version"
        )
    for migration in known:
        if applied.get(migration.name, migration.sha256) != migration.sha256:
            raise MigrationError(
                f"{migration.name} was changed after it was applied: restore the file"
            )
    last_pre = max(n for n, migration in enumerate(known) if "_pre_" in migration.name)
    due = known if post else known[: last_pre + 1]
    return [migration for migration in due if migration.name not in applied]
