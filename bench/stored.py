"""Payments that are stored before a measurement: completed ones, made inside PostgreSQL.

Each has one item, three audit rows, a receipt, a settled report and a published event. Large
numbers are inserted without indexes, which are built afterwards.
"""

import shutil
import time
from collections.abc import Sequence
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from payd.adapters.postgres.statements import parse

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

#: Bytes on disk per stored payment, all tables and indexes (measured), and what the WAL may take.
_BYTES_PER_PAYMENT = 3_000
_WAL_GIB = 8
#: Payments per transaction.
_CHUNK = 500_000
#: From so many payments on, indexes are dropped while rows are inserted.
_MANY = 50_000
_TIMEOUT_S = 4 * 3600
_TABLES = ["payments", "payment_line_items", "payment_events", "receipts", "inbox", "outbox"]
_STATEMENTS = parse(Path(__file__).with_suffix(".sql").read_text())


class DiskTooSmall(Exception):
    """The payments would not fit on the disk."""


def stored_id(number: int) -> UUID:
    """Return the id of the stored payment of this number, the same as in stored.sql."""
    return UUID(md5(f"s{number}".encode(), usedforsecurity=False).hexdigest())


def check_disk(folder: Path, count: int) -> None:
    """Raise DiskTooSmall unless so many payments and their WAL fit on the folder's disk."""
    needed = count * _BYTES_PER_PAYMENT * 1.2 + (_WAL_GIB * 2**30 if count >= _MANY else 0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskTooSmall(
            f"{count:,} payments need {needed / 2**30:.0f} GiB and {folder} has "
            f"{free / 2**30:.0f} GiB free: free some, or store fewer (--stored)"
        )


async def store_payments(url: str, count: int) -> None:
    """Store the payments numbered 0 to `count` - 1 as the superuser, and analyze the tables."""
    connection = await asyncpg.connect(url)
    try:
        # No foreign-key checks and no ledger triggers for each row; no wait for each commit.
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("SET synchronous_commit = off")
        await connection.execute(_STATEMENTS["customers"].sql)
        if count >= _MANY:
            await connection.execute(f"ALTER SYSTEM SET max_wal_size = '{_WAL_GIB}GB'")
            await connection.execute("ALTER SYSTEM SET checkpoint_timeout = '30min'")
            await connection.execute("SELECT pg_reload_conf()")
            await connection.execute("SET maintenance_work_mem = '1GB'")
            await _store_without_indexes(connection, count)
        else:
            await _insert(connection, count)
        for statement in ("labels", "ledger_sums"):
            await connection.execute(_STATEMENTS[statement].sql, timeout=_TIMEOUT_S)
        await connection.execute("VACUUM (ANALYZE)", timeout=_TIMEOUT_S)
        if count >= _MANY:
            await connection.execute("CHECKPOINT", timeout=_TIMEOUT_S)
    finally:
        await connection.close()


async def read_indexes(url: str) -> None:
    """Read all indexes into PostgreSQL's cache, as those of a server that runs for long are."""
    connection = await asyncpg.connect(url)
    try:
        # Earlier measurements have left dead entries in the indexes.
        await connection.execute("VACUUM", timeout=_TIMEOUT_S)
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        await connection.execute(_STATEMENTS["read_indexes"].sql, timeout=_TIMEOUT_S)
    finally:
        await connection.close()


async def _store_without_indexes(connection: "_Connection", count: int) -> None:
    """Drop keys and indexes, insert, and build them again.

    Foreign keys come back NOT VALID: new rows are checked, and reading all stored ones again would
    only take time.
    """
    foreign = await connection.fetch(_STATEMENTS["foreign_keys"].sql)
    keys = await connection.fetch(_STATEMENTS["keys"].sql, _TABLES)
    indexes = await connection.fetch(_STATEMENTS["indexes"].sql, _TABLES)
    for row in (*foreign, *keys):
        await connection.execute(f'ALTER TABLE {row["relation"]} DROP CONSTRAINT "{row["name"]}"')
    for row in indexes:
        await connection.execute(f'DROP INDEX "{row["name"]}"')
    await _insert(connection, count)
    builds = [_added(row, "") for row in keys]
    builds += [str(row["definition"]) for row in indexes]
    builds += [_added(row, " NOT VALID") for row in foreign]
    for build in builds:
        began = time.monotonic()
        await connection.execute(build, timeout=_TIMEOUT_S)
        print(f"{time.monotonic() - began:6.1f} s  {build[:90]}", flush=True)


def _added(row: asyncpg.Record, suffix: str) -> str:
    return (
        f'ALTER TABLE {row["relation"]} ADD CONSTRAINT "{row["name"]}" {row["definition"]}{suffix}'
    )


async def _insert(connection: "_Connection", count: int) -> None:
    for table in _TABLES:
        began = time.monotonic()
        for first, last in _chunks(count):
            statement = _STATEMENTS[table]
            values = statement.arguments({"first": first, "last": last})
            await connection.execute(statement.sql, *values, timeout=_TIMEOUT_S)
        if count >= _MANY:
            print(f"{time.monotonic() - began:6.1f} s  {table}", flush=True)


def _chunks(count: int) -> Sequence[tuple[int, int]]:
    return [(first, min(first + _CHUNK, count) - 1) for first in range(0, count, _CHUNK)]
