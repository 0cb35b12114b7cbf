"""Group commit: calls that wait at the same time share one statement, and so one fsync.

When the database is idle a call is sent at once. While `in_flight_max` statements are running, new
calls are collected for the next one. No call is delayed on purpose.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from payd.domain.errors import StoreUnavailable

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Runs items in batches. A batch contains a key once, so that its rows never conflict.

    Cancelling a caller does not withdraw its item: it is still written, and `drain` waits for it.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        key: Callable[[T], Hashable],
        *,
        in_flight_max: int = 1,
        batch_max: int = 64,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._run = run
        self._key = key
        self._in_flight_max = in_flight_max
        self._batch_max = batch_max
        self._observe = observe
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._in_flight: set[asyncio.Task[None]] = set()

    async def submit(self, item: T) -> R:
        """Return the result of `item`, or raise its error."""
        [result] = await self.submit_all([item])
        return result

    async def submit_all(self, items: Sequence[T]) -> Sequence[R]:
        """Return the results of `items`, or raise the first error; the others are still written."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[R]] = [loop.create_future() for _ in items]
        self._waiting += zip(items, futures, strict=True)
        self._start()
        try:
            await asyncio.wait(futures)
        except asyncio.CancelledError:
            for future in futures:
                future.add_done_callback(asyncio.Future.exception)
            raise
        errors = [error for future in futures if (error := future.exception())]
        if errors:
            raise errors[0]
        return [future.result() for future in futures]

    async def drain(self) -> None:
        """Return when no item is waiting or being written."""
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def _start(self) -> None:
        while self._waiting and len(self._in_flight) < self._in_flight_max:
            task = asyncio.create_task(self._send(self._take()))
            self._in_flight.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._in_flight.discard(task)
        self._start()

    def _take(self) -> list[tuple[T, "asyncio.Future[R]"]]:
        batch: dict[Hashable, tuple[T, asyncio.Future[R]]] = {}
        rest = []
        for entry in self._waiting:
            key = self._key(entry[0])
            if key in batch or len(batch) >= self._batch_max:
                rest.append(entry)
            else:
                batch[key] = entry
        self._waiting = rest
        return list(batch.values())

    async def _send(self, batch: list[tuple[T, "asyncio.Future[R]"]]) -> None:
        self._observe(len(batch))
        items = [item for item, _ in batch]
        [outcome] = await asyncio.gather(self._run(items), return_exceptions=True)
        if not isinstance(outcome, BaseException):
            for (_, future), result in zip(batch, outcome, strict=True):
                future.set_result(result)
        elif len(batch) == 1 or isinstance(outcome, StoreUnavailable):
            for _, future in batch:
                future.set_exception(outcome)
        else:
            # One faulty item must not fail the others: send each of them alone.
            for entry in batch:
                await self._send([entry])
