"""The worker loop, on asyncio: claim rows, work them, claim again; wait when none is left."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from payd.domain.errors import StoreUnavailable

T = TypeVar("T")

#: Least seconds between two claims that find nothing: however often the loop is woken, it makes
#: at most 20 such claims a second.
_REST_S = 0.05
#: Seconds to wait after a batch of which no row succeeded: the next one would probably fail too.
_FAILED_REST_S = 1.0


class Stopping(Protocol):
    """A flag for the daemon's stop: a trio.Event, through the bridge."""

    def is_set(self) -> bool:
        """Return True once the daemon is stopping."""

    async def wait(self) -> None:
        """Return once the daemon is stopping."""


async def run_worker(
    claim: Callable[[], Awaitable[Sequence[T]]],
    work: Callable[[Sequence[T]], Awaitable[bool]],
    idle: Callable[[], Awaitable[None]],
    stopping: Stopping,
    may_have_more: Callable[[], bool] = lambda: True,
) -> None:
    """Claim and work batches until the daemon stops and a claim finds nothing.

    `work` gets a whole batch, and returns False if none of its rows succeeded. An exception ends
    the loop; the supervisor restarts it, and the rows can be claimed again when their lease
    expires. `may_have_more` says whether the last claim may have left rows: if not, the loop waits
    without another claim, which would find nothing.

    Two pauses keep the loop from spinning, whatever `idle` does: one after a batch of failures, one
    between two claims that find nothing (a wake-up may concern rows that another daemon has).
    """
    rest = _Rest(stopping)
    was_empty = False
    try:
        while True:
            batch = await claim()
            if batch:
                was_empty = False
                if not await work(batch):
                    await rest(partial(asyncio.sleep, _FAILED_REST_S))
                elif not may_have_more():
                    await rest(idle)
            elif stopping.is_set():
                return
            else:
                await rest(partial(_at_least, _REST_S, idle) if was_empty else idle)
                was_empty = True
    finally:
        rest.close()


class _Rest:
    """Runs waits; the daemon's stop ends the one under way, and every later one at once."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopped = asyncio.ensure_future(stopping.wait())
        self._stopped.add_done_callback(self._end)
        self._limit: asyncio.Timeout | None = None

    async def __call__(self, wait: Callable[[], Awaitable[None]]) -> None:
        if self._stopped.done():
            return
        # No task for the wait: a busy loop rests between any two batches.
        self._limit = limit = asyncio.timeout(None)
        try:
            async with limit:
                await wait()
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._limit = None

    def close(self) -> None:
        """Wait no longer for the stop."""
        self._stopped.cancel()

    def _end(self, _stopped: object) -> None:
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())


async def _at_least(seconds: float, wait: Callable[[], Awaitable[None]]) -> None:
    now = asyncio.get_running_loop().time
    began = now()
    await wait()
    await asyncio.sleep(max(0.0, began + seconds - now()))


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
