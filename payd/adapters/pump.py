"""The one shape of payd's working loops, on asyncio: claim → work all of it → claim again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
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
) -> None:
    """Work batches, the rows of one at the same time, until there is none and we are stopping.

    What a row raises ends the loop after its batch; whoever supervises it starts it again, and
    the rows come back when their lease ends.
    """
    while True:
        batch = await claim()
        if batch:
            ends = await asyncio.gather(*map(work, batch), return_exceptions=True)
            for end in ends:
                if isinstance(end, BaseException):
                    raise end
        elif stopping.is_set():
            return
        else:
            await idle()


async def nap(seconds: float, stopping: Stopping) -> None:
    """The idling of a loop that nobody wakes; short when we are stopping."""
    until = asyncio.get_running_loop().time() + seconds
    while not stopping.is_set():
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            return
        await asyncio.sleep(min(left, _STEP_S))
