"""A list of receipts reads about a page, whatever is asked for and however many wait."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import md5
from uuid import UUID

import pytest
from contract.filled import Filled, filled, rows_read

from payd.adapters.postgres.database import DatabaseSettings
from payd.adapters.postgres.statements import STATEMENTS

PAGE = 50
#: Two providers, each matched and not, and what each index entry costs.
ROWS_MAX = 4 * (PAGE + 2)
NOW = datetime.now(UTC)
MIDDLE = NOW - timedelta(days=5)
#: Almost all are dust of one provider that no payment has.
_RECEIPTS = """
    INSERT INTO receipts (provider, id, payment_id, asset, amount, state, time)
    SELECT
        CASE WHEN n % 1000 = 0 THEN 'stripe' ELSE 'tempo' END, 'r' || n,
        CASE WHEN n % 500 = 1 THEN md5('p' || n % 1500)::uuid END, 'USD', 1, 'CONFIRMED',
        now() - n * interval '30 s'
    FROM generate_series(1, 30000) AS n
    UNION ALL
    SELECT 'tempo', 'f' || n, md5('flooded')::uuid, 'USD', 1, 'CONFIRMED',
        now() - n * interval '1 s'
    FROM generate_series(1, 5000) AS n
"""
FLOODED = UUID(md5(b"flooded", usedforsecurity=False).hexdigest())


@pytest.fixture(scope="module")
def stored(migrated_database: DatabaseSettings) -> Iterator[Filled]:
    no_key = "ALTER TABLE receipts DROP CONSTRAINT receipts_payment_id_fkey"
    with filled(migrated_database, no_key, _RECEIPTS, "ANALYZE receipts") as database:
        yield database


@pytest.mark.parametrize("provider", ["", "tempo", "stripe", "nobody"])
@pytest.mark.parametrize("unmatched", [[True], [True, False]])
@pytest.mark.parametrize("before", [None, MIDDLE])
@pytest.mark.parametrize("since", [None, NOW - timedelta(days=6)])
def test_a_list_of_receipts_reads_few_rows(
    stored: Filled,
    provider: str,
    unmatched: list[bool],
    before: datetime | None,
    since: datetime | None,
) -> None:
    values = {
        "unmatched": unmatched,
        "time_from": since,
        "before_time": before,
        "before_provider": "",
        "before_id": "",
        "limit": PAGE,
        "provider": provider,
    }
    plan = stored.plan(STATEMENTS["list_receipts"], values)
    assert rows_read(plan) <= ROWS_MAX, plan


def test_the_newest_receipts_of_a_payment_cost_no_more_when_it_has_thousands(
    stored: Filled,
) -> None:
    values = {"payment_id": FLOODED, "limit": PAGE}
    plan = stored.plan(STATEMENTS["payment_receipts"], values)
    assert "receipts_of_payment" in plan
    assert rows_read(plan) <= PAGE + 2, plan


def test_the_receipts_of_a_payment_are_counted_in_an_index(stored: Filled) -> None:
    # Nothing here is committed, so that the planner sees no gain in an index alone.
    with stored.changed("SET LOCAL enable_bitmapscan = off"):
        plan = stored.plan(STATEMENTS["count_payment_receipts"], {"payment_id": FLOODED})
    assert "Index Only Scan using receipts_of_payment" in plan
