"""The export of a month reads what the month has, however many payments there are."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from contract.filled import Filled, filled, rows_read

from payd.adapters.postgres.accounts import asked_for
from payd.adapters.postgres.database import DatabaseSettings
from payd.adapters.postgres.statements import STATEMENTS
from payd.ports import Position

#: One payment every five minutes, and of every third a refund and a dispute.
STORED = 30_000
LIMIT = 100
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)

_STORED = (
    """
    INSERT INTO customers (id, wallet_address, email, create_time, update_time)
    VALUES ('user-1', '', '', now(), now())
    """,
    f"""
    INSERT INTO payments (
        id, version, status, idempotency_key, request_hash, customer_id, method, provider,
        currency_code, amount_minor_units, subscription_ids, return_url, cancel_url, metadata,
        pricing_version, request_id, traceparent, create_time, update_time, expire_time,
        complete_time, asking, provider_reference, aliases, snapshot_received, snapshot_confirmed,
        snapshot_refunded, attention, late, looks
    )
    SELECT
        md5('p' || n)::uuid, 1,
        CASE WHEN n % 5 = 4 THEN 'EXPIRED' ELSE 'COMPLETED' END,
        'key-' || n, '', 'user-1', 'card', 'stripe', 'USD', 14900, '{{}}', '', '', '{{}}', '', '',
        '', time.stored, time.stored, time.stored, CASE WHEN n % 5 <> 4 THEN time.stored END,
        'ANSWERED', 'cs_' || n, ARRAY['pi_' || n], 14900, 14900, 0, '{{}}', false, 0
    FROM
        generate_series(1, {STORED}) AS n,
        LATERAL (SELECT '{NOW.isoformat()}'::timestamptz - n * interval '5 min' AS stored) AS time
    """,
    f"""
    INSERT INTO refunds (
        id, payment_id, provider, status, amount, external, idempotency_key, request_hash, reason,
        destination, requester, request_id, create_time, update_time, complete_time, asking, looks
    )
    SELECT
        md5('r' || n)::uuid, md5('p' || n)::uuid, 'stripe', 'SUCCEEDED', 1, false, 'refund-' || n,
        '', '', '', '', '', now(), now(),
        '{NOW.isoformat()}'::timestamptz - n * interval '5 min', 'ANSWERED', 0
    FROM generate_series(1, {STORED}, 3) AS n
    """,
    f"""
    INSERT INTO disputes (
        provider, id, payment_id, status, asset, amount, reason, open_time, as_of
    )
    SELECT
        'stripe', 'dp_' || n, md5('p' || n)::uuid, 'WON', 'USD', 1, '', time.stored, time.stored
    FROM
        generate_series(1, {STORED}, 3) AS n,
        LATERAL (SELECT '{NOW.isoformat()}'::timestamptz - n * interval '5 min' AS stored) AS time
    """,
    "ANALYZE customers, payments, refunds, disputes",
)
FIRST_ID = UUID(int=0)
#: After a position, before a time, and whether there was nothing.
ASKED = (
    pytest.param(Position(NOW - 60 * DAY, FIRST_ID), NOW - 30 * DAY, False, id="a month"),
    pytest.param(Position(NOW - 40 * DAY, UUID(int=7)), NOW - 30 * DAY, False, id="its rest"),
    pytest.param(Position(NOW - 600 * DAY, FIRST_ID), NOW - 599 * DAY, True, id="a quiet day"),
)


@pytest.fixture(scope="module")
def stored(migrated_database: DatabaseSettings) -> Iterator[Filled]:
    with filled(migrated_database, *_STORED) as database:
        yield database


@pytest.mark.parametrize("name", ["list_movements", "sum_movements"])
@pytest.mark.parametrize(("after", "before", "is_empty"), ASKED)
def test_a_statement_reads_no_more_than_it_is_asked_for(
    stored: Filled, name: str, after: Position, before: datetime, *, is_empty: bool
) -> None:
    plan = stored.plan(STATEMENTS[name], asked_for(after, before, LIMIT))

    assert "Seq Scan" not in plan, plan
    # Each kind of movement is read up to the limit, and one page of them is looked up.
    assert rows_read(plan) <= (1 if is_empty else 4 * LIMIT), plan
    assert is_empty or rows_read(plan) >= LIMIT, plan


def test_payments_that_have_ended_are_not_read_for_those_without_an_object(stored: Filled) -> None:
    plan = stored.plan(STATEMENTS["oldest_unnamed"], {"provider": "stripe"})

    assert "Seq Scan" not in plan, plan
    assert rows_read(plan) <= 1, plan
