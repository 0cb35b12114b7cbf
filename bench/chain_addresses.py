"""An address for each payment: what the chain watch costs, however many addresses there are."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from operator import eq, le
from typing import TYPE_CHECKING

import asyncpg
import attrs

from bench.chain_node import MASTER_ID, chain, grow, settings
from bench.chain_payments import CURSOR, address_of, connected, open_payments
from bench.cpu import cpu_s, sessions_cpu_s
from bench.measured import Row, percentile, until
from bench.stage import Daemon, Stage

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

#: Open payments of each case, and closed ones beside the most of them.
OPEN, CLOSED = (1, 10_000, 100_000), 1_000_000
#: Seconds between two polls, and between two blocks.
POLL_S = 0.5
EMPTY = "final block without receipts"
CAUGHT_UP = "block caught up, one of 100 with a receipt"
FOUND = "final block → payment completed"
FOUND_LATE = "final block → expired payment completed"
CALLS = (EMPTY, CAUGHT_UP, FOUND, FOUND_LATE)
_EMPTY_BLOCKS = 60
#: More than the watch reads again with each new block.
_OVERLAP_BLOCKS = 100
_BLOCKS, _RECEIPTS = 20_000, 200
_PAYMENTS = 60
#: Where the numbers of the closed payments begin, and of those that are paid.
_FIRST_CLOSED, _FIRST_PAID = 10_000_000, 20_000_000
_VACUUM_S = 300


@attrs.frozen(kw_only=True)
class _Case:
    """One line of the table."""

    open: int
    closed: int
    #: Numbers of the payments that are made to be paid, in addition.
    numbers: Iterator[int]

    def row(self, call: str, **figures: float | None) -> Row:
        return Row(
            what="payd",
            call=call,
            open_payments=self.open,
            stored=self.open + self.closed,
            **figures,  # type: ignore[arg-type]
        )


def measure(stage: Stage, opened: Sequence[int], closed: int) -> Iterator[Row]:
    """Measure each number of open payments, and the largest one again beside closed ones."""
    place, numbers = stage.place("addresses"), count(_FIRST_PAID)
    environ = {"TEMPO_MASTER_ID": MASTER_ID, "TEMPO_POLL_INTERVAL_S": str(POLL_S)}
    cases = [_Case(open=one, closed=0, numbers=numbers) for one in opened]
    if closed:
        cases.append(attrs.evolve(cases[-1], closed=closed))
    before = 0
    with chain() as rpc:
        for case in cases:
            asyncio.run(_seed(place.url, case, before))
            before = case.open
            with stage.payd({**place.environ, **settings(rpc), **environ}) as daemon:
                yield from asyncio.run(_watch(rpc, place.url, daemon, case))


async def _seed(url: str, case: _Case, before: int) -> None:
    """Store the payments that the database lacks for this case."""
    async with connected(url) as connection:
        await open_payments(connection, before, case.open - before, master_id=MASTER_ID)
        await open_payments(
            connection, _FIRST_CLOSED, case.closed, master_id=MASTER_ID, closed=True
        )
        await connection.execute("VACUUM (ANALYZE)", timeout=_VACUUM_S)


async def _watch(rpc: str, url: str, daemon: Daemon, case: _Case) -> list[Row]:
    async with connected(url) as connection:
        await until(connection, CURSOR, lambda block: block is not None)
        await until(connection, CURSOR, partial(le, grow(rpc, 1, [])))
        rows = [
            await _caught_up(rpc, connection, daemon, case),
            await _found(rpc, connection, FOUND, case),
        ]
        if case.closed:
            rows.append(await _found(rpc, connection, FOUND_LATE, case))
        # Last: a daemon first adds up the sums of all payments that were stored.
        rows.append(await _empty(rpc, connection, daemon, case))
    # Memory is that after everything.
    return [attrs.evolve(row, rss_mib=daemon.rss_mib()) for row in rows]


async def _empty(rpc: str, connection: "_Connection", daemon: Daemon, case: _Case) -> Row:
    """Blocks come one by one, and none has anything for us, nor have those that are read again."""
    await until(connection, CURSOR, partial(le, grow(rpc, _OVERLAP_BLOCKS, [])))
    database_s, spent_s = await sessions_cpu_s(connection), cpu_s(daemon.process)
    for _ in range(_EMPTY_BLOCKS):
        last = grow(rpc, 1, [])
        await asyncio.sleep(POLL_S)
    spent_s = cpu_s(daemon.process) - spent_s
    database_s = await sessions_cpu_s(connection) - database_s
    await until(connection, CURSOR, partial(le, last))
    return case.row(
        EMPTY,
        server_cpu_us=round(spent_s / _EMPTY_BLOCKS * 1e6),
        postgres_cpu_us=round(database_s / _EMPTY_BLOCKS * 1e6),
    )


async def _caught_up(rpc: str, connection: "_Connection", daemon: Daemon, case: _Case) -> Row:
    """Many blocks appear at once; each receipt completes a payment of its own."""
    paid = [next(case.numbers) for _ in range(_RECEIPTS)]
    await open_payments(connection, paid[0], _RECEIPTS, master_id=MASTER_ID)
    began, spent_s = time.perf_counter(), cpu_s(daemon.process)
    last = grow(rpc, _BLOCKS, [address_of(number, MASTER_ID) for number in paid])
    await until(connection, CURSOR, partial(le, last))
    read_s = time.perf_counter() - began
    await until(connection, _count_completed(paid), partial(eq, _RECEIPTS))
    spent_s = cpu_s(daemon.process) - spent_s
    return case.row(
        CAUGHT_UP,
        per_second=round(_BLOCKS / read_s),
        server_cpu_us=round(spent_s / _BLOCKS * 1e6, 1),
    )


async def _found(rpc: str, connection: "_Connection", call: str, case: _Case) -> Row:
    """One payment after another is made, or picked from the expired ones, and paid."""
    chance = random.Random(case.open)
    delays_s = []
    for _ in range(_PAYMENTS):
        if call == FOUND:
            number = next(case.numbers)
            await open_payments(connection, number, 1, master_id=MASTER_ID)
        else:
            number = _FIRST_CLOSED + chance.randrange(case.closed)
        # A block comes at any time between two polls.
        await asyncio.sleep(chance.uniform(0, POLL_S))
        began = time.perf_counter()
        grow(rpc, 1, [address_of(number, MASTER_ID)])
        await until(connection, _count_completed([number]), partial(eq, 1))
        delays_s.append(time.perf_counter() - began)
    delays_s.sort()
    return case.row(call, p50_ms=percentile(delays_s, 0.50), p99_ms=percentile(delays_s, 0.99))


def _count_completed(numbers: Sequence[int]) -> str:
    """Query that counts the completed ones of these payments, by their keys."""
    return f"""
        SELECT count(*) FROM payments
        WHERE status = 'COMPLETED' AND id IN (
            SELECT md5('p' || n)::uuid FROM generate_series({numbers[0]}, {numbers[-1]}) AS n
        )
    """
