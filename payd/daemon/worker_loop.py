"""The one shape of payd's working loops, on asyncio: claim → work → claim again, or wait."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")

#: How late a napping loop may hear that we are stopping.
_STEP_S = 0.25
#: Least time from one look that found nothing to the next: whatever wakes the loop, it makes 20
#: such looks a second at most.
_REST_S = 0.05
#: Rest after a batch of which no row succeeded: the next one would probably fail, too.
_FAILED_REST_S = 1.0


class Stopping(Protocol):
    """Whether the daemon is on its way out."""

    def is_set(self) -> bool:
        """True from then on."""


async def pump(
    claim: Callable[[], Awaitable[Sequence[T]]],
    work: Callable[[T], Awaitable[object]],
    idle: Callable[[], Awaitable[None]],
    stopping: Stopping,
    same: Callable[[T], Hashable] = id,
) -> None:
    """Work batches, the rows of one at the same time, until there is none and we are stopping.

    Rows that are the `same` are worked one after the other, in their order. `work` returns False
    for a row that failed and has to be claimed again. What a row raises ends the loop after its
    batch; whoever supervises it starts it again, and the rows come back when their lease ends.

    The loop may be woken again and again by what it cannot claim, or may claim only what fails. So
    it rests by itself, whatever `idle` does, and other tasks get their turn.
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
    """Whether any row succeeded."""
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
    """The idling of a loop that nobody wakes; short when we are stopping."""
    until = asyncio.get_running_loop().time() + seconds
    while not stopping.is_set():
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            return
        await asyncio.sleep(min(left, _STEP_S))
