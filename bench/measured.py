"""One row of the table, and waiting for a database to reach a state."""

import asyncio
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import asyncpg
import attrs

_PATIENCE_S = 120.0


@attrs.frozen(kw_only=True)
class Row:
    """What one measurement gave; None where a figure was not measured."""

    what: str
    call: str
    concurrency: int | None = None
    #: Payments in the database before the measurement; None where it does not matter.
    stored: int | None = None
    per_second: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    #: CPU time per call, in microseconds, of each process tree.
    server_cpu_us: float | None = None
    postgres_cpu_us: float | None = None
    nats_cpu_us: float | None = None
    errors: int = 0
    #: For the chain: payments that are open, and statements per receipt.
    open_payments: int | None = None
    statements: float | None = None
    #: For pages: resident memory of payd.
    rss_mib: float | None = None

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What was measured: rows of several rounds with the same key are combined."""
        return self.what, self.call, self.concurrency or 0, self.stored or 0


_FIGURES = (
    "per_second",
    "p50_ms",
    "p99_ms",
    "server_cpu_us",
    "postgres_cpu_us",
    "nats_cpu_us",
    "rss_mib",
)


def combined(rows: Sequence[Row]) -> Iterator[Row]:
    """Combine rows of several rounds: the median of each figure, the sum of the errors."""
    order = {row.key: number for number, row in reversed(list(enumerate(rows)))}
    by_key = sorted(rows, key=lambda row: order[row.key])
    for _, group in groupby(by_key, key=lambda row: row.key):
        same = list(group)
        figures: dict[str, Any] = {
            name: _median(getattr(row, name) for row in same) for name in _FIGURES
        }
        yield attrs.evolve(same[0], **figures, errors=sum(row.errors for row in same))


def _median(values: Iterable[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return round(statistics.median(measured), 2) if measured else None


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return a percentile of seconds in ascending order, in milliseconds."""
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 2)


async def until(
    connection: "asyncpg.Connection[asyncpg.Record]", query: str, is_so: Callable[[Any], bool]
) -> None:
    """Wait until the result of a query satisfies `is_so`; raises TimeoutError."""
    async with asyncio.timeout(_PATIENCE_S):
        while not is_so(await connection.fetchval(query)):  # noqa: ASYNC110 - nothing notifies us
            await asyncio.sleep(0.003)
