"""What a row of the table is made of."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import asyncpg
import psutil

_PATIENCE_S = 120.0
_EMPTY = dict.fromkeys(("concurrency", "per_second", "p50_ms", "p99_ms", "server_cpu_us"))


def row(what: str, call: str, **figures: Any) -> dict[str, Any]:
    """One row; what was not measured stays empty."""
    return {"what": what, "method": call, **_EMPTY, "errors": 0, **figures}


def cpu_s(process: psutil.Process) -> float:
    """What it has spent, in user mode and in the kernel."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def database_cpu_s(connection: "asyncpg.Connection[asyncpg.Record]") -> float:
    """What PostgreSQL has spent in the sessions that payd has in this database."""
    sessions = await connection.fetch(
        "SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'payd'"
    )
    return _sum(session["pid"] for session in sessions)


def _sum(pids: Iterable[int]) -> float:
    total = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            total += cpu_s(psutil.Process(pid))
    return total


async def until(
    connection: "asyncpg.Connection[asyncpg.Record]", query: str, is_so: Callable[[Any], bool]
) -> None:
    """Wait for what a query tells; raises TimeoutError."""
    async with asyncio.timeout(_PATIENCE_S):
        while not is_so(await connection.fetchval(query)):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.003)
