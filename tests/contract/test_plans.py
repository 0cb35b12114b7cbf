"""A statement is planned once a session, and its plan reads only the rows that it needs."""

import asyncio
import re
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


_SETTINGS = Statement(
    "settings",
    "SELECT current_setting('max_parallel_workers_per_gather') AS workers,"
    " current_setting('jit') AS jit",
    (),
)


def test_no_statement_starts_workers_or_compiles_expressions(
    migrated_database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STATEMENTS, _SETTINGS.name, _SETTINGS)

    async def run() -> tuple[str, str]:
        database = Database(migrated_database)
        row = await database.fetch_one(_SETTINGS.name)
        await database.close()
        assert row is not None
        return row["workers"], row["jit"]

    assert asyncio.run(run()) == ("0", "off")


# -- one report among many ----------------------------------------------------------------------

_REPORTS = """
    INSERT INTO inbox (provider, event_id, content_hash, report, receive_time)
    SELECT
        'mock', n, '',
        jsonb_build_object('reference', n) || CASE
            WHEN n % 2 = 0 THEN jsonb_build_object('also', 'a' || n) ELSE '{}'
        END,
        now()
    FROM generate_series(1, 20000) AS n
"""


@pytest.mark.parametrize("name", ["7", "a8", "of no report"])
def test_a_report_of_either_name_is_found_without_reading_others(
    migrated_database: DatabaseSettings, name: str
) -> None:
    plan = asyncio.run(
        _plan(migrated_database, "is_waiting", "inbox", _REPORTS, f"'mock', '{{{name}}}'")
    )

    dropped = [float(rows) for rows in re.findall(r"Rows Removed by \w+: (\d+)", plan)]
    assert sum(dropped) == 0, plan
    assert "Seq Scan" not in plan
    assert "inbox_waiting_also" in plan


# -- many waiting rows -------------------------------------------------------------------------

CLAIMED = 100
#: A claim that reads more rows in one step of its plan reads more than it needs.
ROWS_MAX = 4 * CLAIMED
_INBOX = """
    INSERT INTO inbox (
        provider, event_id, content_hash, report, receive_time, settle_time, outcome
    )
    SELECT
        'provider ' || n % 3, n, '', '{}', now(),
        CASE WHEN n <= 30000 THEN now() END, CASE WHEN n <= 30000 THEN 'applied' END
    FROM generate_series(1, 60000) AS n
"""
_OUTBOX = """
    INSERT INTO outbox (event_id, payment_id, subject, headers, body, create_time)
    SELECT gen_random_uuid(), gen_random_uuid(), 'payment.attention', '{}', '', now()
    FROM generate_series(1, 30000)
"""


@pytest.mark.parametrize(
    ("claim", "table", "waiting"),
    [("claim_inbox", "inbox", _INBOX), ("claim_outbox", "outbox", _OUTBOX)],
)
def test_a_claim_reads_few_rows_however_many_wait(
    migrated_database: DatabaseSettings, claim: str, table: str, waiting: str
) -> None:
    plan = asyncio.run(_plan(migrated_database, claim, table, waiting, f"{CLAIMED}, '30 s'"))

    read = [float(rows) * int(loops) for rows, loops in re.findall(r"rows=(\S+) loops=(\d+)", plan)]
    dropped = [float(rows) for rows in re.findall(r"Rows Removed by \w+: (\d+)", plan)]
    assert max(read) > CLAIMED / 2, plan
    assert max(read + dropped) <= ROWS_MAX, plan


async def _plan(
    settings: DatabaseSettings, statement: str, table: str, waiting: str, values: str
) -> str:
    """The generic plan and what it did, with many waiting rows, of which none stays."""
    session = await Database(settings).connect()
    rolled_back = session.transaction()
    await rolled_back.start()
    try:
        for step in (
            "SET LOCAL statement_timeout = 0",
            "SET LOCAL plan_cache_mode = force_generic_plan",
            "SET LOCAL enable_seqscan = off",
            # The events name payments that do not exist.
            "ALTER TABLE outbox DROP CONSTRAINT outbox_payment_id_fkey",
            waiting,
            f"ANALYZE {table}",
            f"PREPARE planned AS {STATEMENTS[statement].sql}",
        ):
            await session.execute(step)
        rows = await session.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) EXECUTE planned ({values})")
        return "\n".join(row[0] for row in rows)
    finally:
        await rolled_back.rollback()
        await session.close()
