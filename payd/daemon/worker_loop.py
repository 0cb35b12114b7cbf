"""The worker loop, on asyncio: claim rows, work them, claim again; wait when there are none."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from payd.domain.errors import StoreUnavailable

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
    work: Callable[[Sequence[T]], Awaitable[bool]],
    idle: Callable[[], Awaitable[None]],
    stopping: Stopping,
) -> None:
    """Claim and work batches until the daemon stops and a claim finds nothing.

    `work` gets a whole batch, and returns False if none of its rows succeeded. An exception ends
    the loop; the supervisor restarts it, and the rows can be claimed again when their lease
    expires.

    Two pauses keep the loop from spinning, whatever `idle` does: one after a batch of failures, one
    between two claims that find nothing (a wake-up may concern rows that another daemon has).
    """
    now = asyncio.get_running_loop().time
    was_empty = False
    while True:
        batch = await claim()
        if batch:
            was_empty = False
            if not await work(batch):
                await nap(_FAILED_REST_S, stopping)
        elif stopping.is_set():
            return
        else:
            began = now()
            await idle()
            if was_empty:
                await asyncio.sleep(max(0.0, began + _REST_S - now()))
            was_empty = True


async def work_guarded(
    work: Callable[[Sequence[T]], Awaitable[object]],
    failed: Callable[[T, Exception], None],
    batch: Sequence[T],
) -> bool:
    """Work a batch; if that fails, work its rows one by one, so that a faulty row fails alone.

    `failed` is called with each such row and its error. Returns False if no row succeeded. Raises
    StoreUnavailable: without the database no row could succeed.
    """
    try:
        return await work(batch) is not False
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - one faulty row must not stop the others
        if len(batch) == 1:
            failed(batch[0], error)
            return False
    return any([await work_guarded(work, failed, [row]) for row in batch])


async def concurrently(work: Callable[[Sequence[T]], Awaitable[bool]], batch: Sequence[T]) -> bool:
    """Work each row of a batch by itself, all at the same time; return whether any succeeded."""
    ends = await asyncio.gather(*(work([row]) for row in batch), return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end
    return any(ends)


async def nap(seconds: float, stopping: Stopping) -> None:
    """Sleep, or return early when the daemon is stopping: the `idle` of a loop without wake-ups."""
    until = asyncio.get_running_loop().time() + seconds
    while not stopping.is_set():
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            return
        await asyncio.sleep(min(left, _STEP_S))
