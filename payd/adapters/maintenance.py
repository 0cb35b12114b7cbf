"""Maintenance of tables in use, on asyncio: limited batches, so that no lock lasts long."""

import asyncio
from collections.abc import Awaitable, Callable

#: Handles at most `limit` rows, and returns how many it handled.
Batch = Callable[[int], Awaitable[int]]

_ROWS = 1000
_INTERVAL_S = 600.0
#: Pause between two batches, so that payments can use the table.
_PAUSE_S = 0.05


async def maintain(batch: Batch, interval_s: float = _INTERVAL_S) -> None:
    """Run `batch` until nothing is due, every ten minutes by default, until cancelled."""
    while True:
        await until_short(batch, _ROWS)
        await asyncio.sleep(interval_s)


async def until_short(batch: Batch, limit: int) -> int:
    """Repeat `batch` until it handles fewer than `limit` rows; return how many in all."""
    handled = last = await batch(limit)
    while last >= limit:
        await asyncio.sleep(_PAUSE_S)
        last = await batch(limit)
        handled += last
    return handled
