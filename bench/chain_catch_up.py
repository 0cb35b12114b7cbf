"""A daemon behind the chain: how fast it catches up, and how soon it then knows of a payment."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from operator import le
from typing import Any

import asyncpg
import psutil

from bench.chain_node import chain, grow, settings
from bench.chain_payments import COMPLETED, CURSOR, memo_of, open_payments
from bench.load import _percentile
from bench.measured import cpu_s, row, until
from bench.webhook_rows import Payd

BLOCKS = 50_000
RECEIPTS = 500
TAIL = 100


def measure(environ: dict[str, str], url: str, payd: Payd) -> Iterator[dict[str, Any]]:
    """Each receipt completes a payment of its own; the chain is made up, its HTTP is not."""
    asyncio.run(_seed(url))
    with chain() as rpc:
        reading = {"TEMPO_POLL_INTERVAL_S": "0.05", "TEMPO_START_BLOCK": "0"}
        with payd(environ | settings(rpc) | reading) as (process, _, _):
            yield from asyncio.run(_watch(rpc, url, process))


async def _seed(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await open_payments(connection, 0, RECEIPTS + TAIL)
    finally:
        await connection.close()


async def _watch(rpc: str, url: str, process: psutil.Process) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(url)
    try:
        # All blocks but the first appear when the watch has begun.
        await until(connection, CURSOR, lambda block: block is not None)
        began, spent = time.perf_counter(), cpu_s(process)
        last = grow(rpc, BLOCKS, [memo_of(number) for number in range(RECEIPTS)])
        await until(connection, CURSOR, partial(le, last))
        read_s = time.perf_counter() - began
        await until(connection, COMPLETED, lambda count: count == RECEIPTS)
        settled_s, spent_s = time.perf_counter() - began, cpu_s(process) - spent
        return [
            row("payd", "blocks caught up", per_second=round(BLOCKS / read_s)),
            row(
                "payd",
                "receipts caught up and settled",
                per_second=round(RECEIPTS / settled_s, 1),
                server_cpu_us=round(spent_s / RECEIPTS * 1e6),
            ),
            await _tail(rpc, connection),
        ]
    finally:
        await connection.close()


async def _tail(rpc: str, connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, Any]:
    """From a new final block to its receipt in the ledger, stored with the cursor."""
    delays_s = []
    for number in range(RECEIPTS, RECEIPTS + TAIL):
        began = time.perf_counter()
        block = grow(rpc, 1, [memo_of(number)])
        await until(connection, CURSOR, partial(le, block))
        delays_s.append(time.perf_counter() - began)
    await until(connection, COMPLETED, lambda count: count == RECEIPTS + TAIL)
    delays_s.sort()
    return row(
        "payd",
        "final block → ledger, asked every 50 ms",
        concurrency=1,
        p50_ms=_percentile(delays_s, 0.50),
        p99_ms=_percentile(delays_s, 0.99),
    )
