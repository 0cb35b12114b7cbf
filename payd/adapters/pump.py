"""The one shape of payd's working loops, on asyncio: claim → work all of it → claim again."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")

#: How late a napping loop may hear that we are stopping.
_STEP_S = 0.25


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

    Rows that are the `same` are worked one after the other, in their order. What a row raises ends the loop after its batch; whoever supervises it starts it again, and
    the rows come back when their lease ends.
    """
    while True:
        batch = await claim()
        if batch:
            queues: defaultdict[Hashable, list[T]] = defaultdict(list)
            for row in batch:
                queues[same(row)].append(row)
            ends = await asyncio.gather(
                *(_in_turn(work, queue) for queue in queues.values()), return_exceptions=True
            )
            for end in ends:
                if isinstance(end, BaseException):
                    raise end
        elif stopping.is_set():
            return
        else:
            await idle()


async def _in_turn(work: Callable[[T], Awaitable[object]], rows: Sequence[T]) -> None:
    for row in rows:
        await work(row)


async def nap(seconds: float, stopping: Stopping) -> None:
    """The idling of a loop that nobody wakes; short when we are stopping."""
    until = asyncio.get_running_loop().time() + seconds
    while not stopping.is_set():
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            return
        await asyncio.sleep(min(left, _STEP_S))
