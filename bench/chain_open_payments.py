"""What a receipt costs, and what idling costs, while one, many or a million payments are open."""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from operator import eq, le
from typing import TYPE_CHECKING

import asyncpg
import psutil
from tempo_provider.books import books_of
from tempo_provider.cursor import Cursor as WatchCursor
from tempo_provider.cursor import Opening, Point
from tempo_provider.transfers import read_transfers

from bench.chain_node import (
    CHAIN_ID,
    RECEIVER,
    TOKEN,
    block_hash,
    block_time,
    chain,
    grow,
    settings,
    transfer,
)
from bench.chain_payments import COMPLETED, CURSOR, connected, memo_of, open_payments
from bench.cpu import cpu_s, sessions_cpu_s
from bench.measured import Row, percentile, until
from bench.stage import RunPayd
from payd import telemetry
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.store import PostgresStore
from payd.adapters.system import SystemClock
from payd.adapters.turns import AsyncioTurns
from payd.config import Config, load_config
from payd.daemon.builders import database_settings, payment_rules
from payd.daemon.preflight import crash_points, enabled_plugins
from payd.ports import WATCH, Cursor
from payd.providers.loader import described_methods
from payd.service.reports import Reports
from payd.service.settle import Settle

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

CALL = "receipt → settled"
OPEN_PAYMENTS = (1, 10_000, 1_000_000)
RECEIPTS = 500
_WARM_UP = 50
_IDLE_BLOCKS, _BLOCK_S = 30, 0.5
_OPENINGS = (Opening(account=RECEIVER, token=TOKEN, block=0, units=0),)
_UNPUBLISHED = "SELECT count(*) FROM outbox WHERE publish_time IS NULL"
_CLOSE = """
    UPDATE payments SET status = 'EXPIRED', close_time = now(), next_look_time = NULL
    WHERE provider = 'tempo' AND provider_reference = ANY ($1::text[])
"""
_OPEN = """
    UPDATE payments SET status = 'PENDING', close_time = NULL, next_look_time = expire_time
    WHERE provider = 'tempo' AND provider_reference = $1
"""


class Counted(Database):
    """Knows how many statements it was given."""

    statements = 0

    async def fetch(self, statement: str, **values: object) -> list[asyncpg.Record]:
        self.statements += 1
        return await super().fetch(statement, **values)


def measure(environ: Mapping[str, str], url: str, run_payd: RunPayd, count: int) -> Iterator[Row]:
    """The rows of one database, which gets `count` open payments."""
    asyncio.run(_seed(url, count))
    with chain() as rpc:
        environ = {**environ, **settings(rpc)}
        yield asyncio.run(_settle(load_config(environ, None), url, count))
        # The chain has the blocks that were settled. From now on one comes twice a second.
        grow(rpc, _WARM_UP + RECEIPTS, [])
        with run_payd({**environ, "TEMPO_POLL_INTERVAL_S": str(_BLOCK_S)}) as daemon:
            yield asyncio.run(_idle(rpc, url, daemon.process, count))


async def _seed(url: str, count: int) -> None:
    async with connected(url) as connection:
        # At least as many as are paid; where fewer may be open, the others wait for their turn.
        await open_payments(connection, 0, max(count, _WARM_UP + RECEIPTS))
        await connection.execute(_CLOSE, [memo_of(number) for number in _paid(count)[count:]])
        await connection.execute("VACUUM (ANALYZE)", timeout=300)


# -- one receipt after the other ---------------------------------------------------------------


async def _settle(config: Config, url: str, count: int) -> Row:
    """Read, stored, claimed and settled through the real store; each completes its payment."""
    database = Counted(database_settings(config))
    reports = _reports(config, database)
    taken_s: list[float] = []
    spent_s, asked = 0.0, 0
    async with connected(url) as connection:
        for block, number in enumerate(_paid(count), start=1):
            if number >= count:
                await connection.execute(_OPEN, memo_of(number))
            if block == _WARM_UP + 1:
                asked, database_s = database.statements, await sessions_cpu_s(connection)
            began, began_cpu = time.perf_counter(), time.thread_time()
            outcomes = await _one(reports, block, memo_of(number))
            if block > _WARM_UP:
                taken_s.append(time.perf_counter() - began)
                spent_s += time.thread_time() - began_cpu
            if outcomes != ["applied"]:
                raise AssertionError(f"not settled: {outcomes}")
        database_s = await sessions_cpu_s(connection) - database_s
        if await connection.fetchval(COMPLETED) != _WARM_UP + RECEIPTS:
            raise AssertionError("not every receipt completed its payment")
    asked = database.statements - asked
    await database.close()
    return Row(
        what=f"payd, open payments {count:,}",
        call=CALL,
        concurrency=1,
        per_second=round(RECEIPTS / sum(taken_s), 1),
        p50_ms=percentile(sorted(taken_s), 0.50),
        p99_ms=percentile(sorted(taken_s), 0.99),
        server_cpu_us=round(spent_s / RECEIPTS * 1e6),
        open_payments=count,
        postgres_cpu_us=round(database_s / RECEIPTS * 1e6),
        statements=asked / RECEIPTS,
    )


def _reports(config: Config, database: Database) -> Reports:
    rules = payment_rules(config)
    store = PostgresStore(database, config.environment, rules)
    clock, crash = SystemClock(), crash_points(config)
    providers = described_methods(enabled_plugins(config), telemetry.get_logger(__name__))
    settle = Settle(
        store=store,
        providers=providers,
        clock=clock,
        crash=crash,
        turns=AsyncioTurns(),
        rules=rules,
    )
    inbox = PostgresInbox(database)
    return Reports(inbox=inbox, store=store, providers=providers, settle=settle, clock=clock)


def _paid(count: int) -> list[int]:
    """Pick open payments: any of them, or one after another if one is open at a time."""
    wanted = _WARM_UP + RECEIPTS
    return random.Random(count).sample(range(count), wanted) if count > wanted else [*range(wanted)]


async def _one(reports: Reports, block: int, memo: str) -> list[str]:
    books = books_of(
        read_transfers(transfer(block, memo)),
        chain_id=CHAIN_ID,
        accounts=frozenset({RECEIVER}),
        times={block: block_time(block)},
    )
    point = Point(number=block, hash=block_hash(block), time=block_time(block))
    read = WatchCursor(chain_id=CHAIN_ID, point=point, openings=_OPENINGS)
    cursor = Cursor(name=WATCH, value=read.dumps(), rest=timedelta(0))
    await reports.inbox.put("tempo", books.arrivals, cursor)
    return list((await reports.work(await reports.claim_batch())).values())


# -- nothing to do -----------------------------------------------------------------------------


async def _idle(rpc: str, url: str, process: psutil.Process, count: int) -> Row:
    """A whole daemon while final blocks come that have nothing for us."""
    async with connected(url) as connection:
        await until(connection, _UNPUBLISHED, partial(eq, 0))
        await until(connection, CURSOR, partial(le, grow(rpc, 1, [])))
        database_s, spent_s = await sessions_cpu_s(connection), cpu_s(process)
        began = time.perf_counter()
        for _ in range(_IDLE_BLOCKS):
            last = grow(rpc, 1, [])
            await asyncio.sleep(_BLOCK_S)
        taken_s = time.perf_counter() - began
        spent_s = cpu_s(process) - spent_s
        database_s = await sessions_cpu_s(connection) - database_s
        # A watch that had halted would cost nothing.
        await until(connection, CURSOR, partial(le, last))
    return Row(
        what=f"payd, open payments {count:,}",
        call="a second of two blocks without receipts",
        server_cpu_us=round(spent_s / taken_s * 1e6),
        postgres_cpu_us=round(database_s / taken_s * 1e6),
        open_payments=count,
    )
