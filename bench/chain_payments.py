"""Payments that wait for tokens, as many as are wanted, made by SQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import md5

import asyncpg
from tempo_provider.virtual import virtual_address

from bench.chain_node import AMOUNT, CHAIN_ID, TOKEN

#: What the bench asks the database: how far the watch has come, and how many are paid.
CURSOR = "SELECT (value::jsonb ->> 'block')::bigint FROM provider_cursors WHERE name = 'watch'"
COMPLETED = "SELECT count(*) FROM payments WHERE status = 'COMPLETED'"
#: A million of them take half a minute; with addresses, which have an index, some minutes.
_PATIENCE_S = 900


@asynccontextmanager
async def connected(url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection to the database of the measured daemon."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def open_payments(
    connection: "asyncpg.Connection[asyncpg.Record]",
    first: int,
    count: int,
    *,
    master_id: str = "",
    closed: bool = False,
) -> None:
    """Store payments numbered from `first` on, whose status nobody checks while we measure.

    With a master's id each has an address of its own; closed ones have expired.
    """
    await connection.execute(_CUSTOMER)
    last = first + count - 1
    fields = (TOKEN, str(CHAIN_ID), AMOUNT, master_id, closed)
    await connection.execute(_PAYMENTS, first, last, *fields, timeout=_PATIENCE_S)
    await connection.execute(_ITEMS, first, last, timeout=_PATIENCE_S)


def address_of(number: int, master_id: str) -> str:
    """Return the address of the payment with this number; as in _PAYMENTS."""
    tag = md5(f"a{number}".encode(), usedforsecurity=False).hexdigest()[:12]
    return virtual_address(master_id, int(tag, 16))


def memo_of(number: int) -> str:
    """What names the payment of this number; as in _PAYMENTS."""
    digests = (md5(f"{side}{number}".encode(), usedforsecurity=False) for side in "pq")
    return "0x" + "".join(digest.hexdigest() for digest in digests)


_CUSTOMER = "INSERT INTO customers VALUES ('bench', '', '', now(), now()) ON CONFLICT DO NOTHING"
_PAYMENTS = """
    INSERT INTO payments (
        id, version, idempotency_key, request_hash, customer_id, method, provider,
        currency_code, amount_minor_units, crypto_currency, chain_id, token_address,
        token_decimals, due_base_units, subscription_ids, return_url, cancel_url, metadata,
        pricing_version, request_id, traceparent, create_time, update_time, expire_time,
        asking, provider_reference, snapshot_received, snapshot_confirmed,
        snapshot_refunded, attention, late, looks, status, close_time, next_look_time, aliases
    )
    SELECT
        md5('p' || n)::uuid, 2, 'bench-' || n, '\\x00', 'bench', 'crypto', 'tempo',
        'USD', 14900, 'USDC', $4::text::numeric, $3,
        6, $5::bigint, '{}', '', '', '{}',
        'bench', '', '', now(), now(), now() + interval '1 day',
        'ANSWERED', '0x' || md5('p' || n) || md5('q' || n), 0, 0,
        0, '{}', false, 0,
        CASE WHEN $7::boolean THEN 'EXPIRED' ELSE 'PENDING' END,
        CASE WHEN $7::boolean THEN now() END,
        CASE WHEN NOT $7::boolean THEN now() + interval '1 day' END,
        CASE
            WHEN $6::text = '' THEN '{}'
            ELSE ARRAY[$6::text || repeat('fd', 10) || left(md5('a' || n), 12)]
        END
    FROM generate_series($1::integer, $2::integer) AS n
"""
_ITEMS = """
    INSERT INTO payment_line_items (
        payment_id, position, chain_profile_id, node_type, duration, unit_price_minor_units
    )
    SELECT md5('p' || n)::uuid, 0, 'ethereum-mainnet', 'full', '30d', 14900
    FROM generate_series($1::integer, $2::integer) AS n
"""
