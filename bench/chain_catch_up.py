"""A daemon behind the chain: how fast it catches up, and how soon it then knows of a payment."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from functools import partial
from operator import le

import asyncpg
import psutil

from bench.chain_node import chain, grow, settings
from bench.chain_payments import COMPLETED, CURSOR, connected, memo_of, open_payments
from bench.cpu import cpu_s
from bench.measured import Row, percentile, until
from bench.stage import RunPayd

BLOCKS = 50_000
RECEIPTS = 500
TAIL = 100


def measure(environ: Mapping[str, str], url: str, run_payd: RunPayd) -> Iterator[Row]:
    """Each receipt completes a payment of its own; the chain is made up, its HTTP is not."""
    asyncio.run(_seed(url))
    with chain() as rpc:
        reading = {"TEMPO_POLL_INTERVAL_S": "0.05", "TEMPO_START_BLOCK": "0"}
        with run_payd({**environ, **settings(rpc), **reading}) as daemon:
            yield from asyncio.run(_watch(rpc, url, daemon.process))


async def _seed(url: str) -> None:
    async with connected(url) as connection:
        await open_payments(connection, 0, RECEIPTS + TAIL)


async def _watch(rpc: str, url: str, process: psutil.Process) -> list[Row]:
    async with connected(url) as connection:
        # All blocks but the first appear when the watch has begun.
        await until(connection, CURSOR, lambda block: block is not None)
        began, spent = time.perf_counter(), cpu_s(process)
        last = grow(rpc, BLOCKS, [memo_of(number) for number in range(RECEIPTS)])
        await until(connection, CURSOR, partial(le, last))
        read_s = time.perf_counter() - began
        await until(connection, COMPLETED, lambda count: count == RECEIPTS)
        settled_s, spent_s = time.perf_counter() - began, cpu_s(process) - spent
        return [
            Row(what="payd", call="blocks caught up", per_second=round(BLOCKS / read_s)),
            Row(
                what="payd",
                call="receipts caught up and settled",
                per_second=round(RECEIPTS / settled_s, 1),
                server_cpu_us=round(spent_s / RECEIPTS * 1e6),
            ),
            await _tail(rpc, connection),
        ]


async def _tail(rpc: str, connection: "asyncpg.Connection[asyncpg.Record]") -> Row:
    """From a new final block to its receipt in the ledger, stored with the cursor."""
    delays_s = []
    for number in range(RECEIPTS, RECEIPTS + TAIL):
        began = time.perf_counter()
        block = grow(rpc, 1, [memo_of(number)])
        await until(connection, CURSOR, partial(le, block))
        delays_s.append(time.perf_counter() - began)
    await until(connection, COMPLETED, lambda count: count == RECEIPTS + TAIL)
    delays_s.sort()
    return Row(
        what="payd",
        call="final block → ledger, asked every 50 ms",
        concurrency=1,
        p50_ms=percentile(delays_s, 0.50),
        p99_ms=percentile(delays_s, 0.99),
    )
