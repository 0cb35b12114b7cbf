"""Maintenance of tables that are in use, on asyncio: bounded bites, so that no lock lasts long."""

import asyncio
from collections.abc import Awaitable, Callable

#: Handles at most `limit` rows and returns how many it handled.
Bite = Callable[[int], Awaitable[int]]

_ROWS = 1000
_REST_S = 600.0
#: Between two bites the table belongs to payments.
_PAUSE_S = 0.05


async def maintain(bite: Bite) -> None:
    """Keep up with what has become due, every ten minutes, until it is cancelled."""
    while True:
        await until_short(bite, _ROWS)
        await asyncio.sleep(_REST_S)


async def until_short(bite: Bite, limit: int) -> int:
    """Repeat `bite` until it handles fewer than `limit` rows; return how many it handled in all."""
    handled = last = await bite(limit)
    while last >= limit:
        await asyncio.sleep(_PAUSE_S)
        last = await bite(limit)
        handled += last
    return handled
