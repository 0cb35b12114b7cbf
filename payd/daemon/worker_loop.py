"""The worker loop, on asyncio: claim rows, work them, claim again; wait when there are none."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")

#: Seconds after which a sleeping loop looks whether the daemon is stopping.
_STEP_S = 0.25
#: Least seconds between two claims that find nothing: however often the loop is woken, it makes
#: at most 20 such claims a second.
_REST_S = 0.05
#: Seconds to wait after a batch of which no row succeeded: the next one would probably fail too.
_FAILED_REST_S = 1.0


class Stopping(Protocol):
    """A flag, such as trio.Event, for the daemon's stop."""

    def is_set(self) -> bool:
        """Return True once the daemon is stopping."""


async def run_worker(
    claim: Callable[[], Awaitable[Sequence[T]]],
    work: Callable[[T], Awaitable[object]],
    idle: Callable[[], Awaitable[None]],
    stopping: Stopping,
    same: Callable[[T], Hashable] = id,
) -> None:
    """Claim and work batches until the daemon stops and a claim finds nothing.

    The rows of a batch run concurrently, but rows with the same key (`same`) one after the other,
    in order. `work` returns False for a row that failed and has to be claimed again. An exception
    ends the loop after its batch; the supervisor restarts the loop, and the rows can be claimed
    again when their lease expires.

    Two pauses keep the loop from spinning, whatever `idle` does: one after a batch of failures, one
    between two claims that find nothing (a wake-up may concern rows that another daemon has).
    """
    now = asyncio.get_running_loop().time
    was_empty = False
    while True:
        batch = await claim()
        if batch:
            was_empty = False
            if not await _work_all(work, batch, same):
                await nap(_FAILED_REST_S, stopping)
        elif stopping.is_set():
            return
        else:
            began = now()
            await idle()
            if was_empty:
                await asyncio.sleep(max(0.0, began + _REST_S - now()))
            was_empty = True


async def _work_all(
    work: Callable[[T], Awaitable[object]], batch: Sequence[T], same: Callable[[T], Hashable]
) -> bool:
    """Work a batch; return whether any row succeeded."""
    queues: defaultdict[Hashable, list[T]] = defaultdict(list)
    for row in batch:
        queues[same(row)].append(row)
    ends = await asyncio.gather(
        *(_in_turn(work, queue) for queue in queues.values()), return_exceptions=True
    )
    for end in ends:
        if isinstance(end, BaseException):
            raise end
    return any(ends)


async def _in_turn(work: Callable[[T], Awaitable[object]], rows: Sequence[T]) -> bool:
    results = [await work(row) for row in rows]
    return any(result is not False for result in results)


async def nap(seconds: float, stopping: Stopping) -> None:
    """Sleep, or return early when the daemon is stopping: the `idle` of a loop without wake-ups."""
    until = asyncio.get_running_loop().time() + seconds
    while not stopping.is_set():
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            return
        await asyncio.sleep(min(left, _STEP_S))
