"""Group commit: calls that wait at the same time share one statement, and so one fsync.

When the database is idle a call is sent at once. While `in_flight_max` statements are running, new
calls are collected for the next one. No call is delayed on purpose.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from functools import partial
from typing import Generic, TypeVar

from payd.domain.errors import StoreUnavailable

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Runs items in batches. A batch contains a key once, so that its rows never conflict.

    `keys` returns those of an item's rows. A batch has at most `batch_max` of them, unless a single
    item has more: an item is never divided.

    Cancelling a caller does not withdraw its item: it is still written, and `drain` waits for it.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        keys: Callable[[T], Collection[Hashable]],
        *,
        in_flight_max: int = 1,
        batch_max: int = 64,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._run = run
        self._keys = keys
        self._in_flight_max = in_flight_max
        self._batch_max = batch_max
        self._observe = observe
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        #: Items of a batch that failed. Each is sent alone: a faulty one must not fail the others.
        self._alone: list[tuple[T, asyncio.Future[R]]] = []
        self._in_flight: set[asyncio.Future[Sequence[R]]] = set()

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
        if len(futures) == 1:
            # Cancelling the caller cancels the future, which then takes no result.
            return [await futures[0]]
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
        while (self._waiting or self._alone) and len(self._in_flight) < self._in_flight_max:
            batch = self._take()
            self._observe(len(batch))
            items = [item for item, _ in batch]
            statement = asyncio.ensure_future(self._run(items))
            self._in_flight.add(statement)
            # A callback, not a task that waits for the statement's.
            statement.add_done_callback(partial(self._done, batch))

    def _done(
        self, batch: list[tuple[T, "asyncio.Future[R]"]], statement: "asyncio.Future[Sequence[R]]"
    ) -> None:
        self._in_flight.discard(statement)
        error = asyncio.CancelledError() if statement.cancelled() else statement.exception()
        if error is not None and len(batch) > 1 and not isinstance(error, StoreUnavailable):
            self._alone += batch
        else:
            for number, (_, future) in enumerate(batch):
                if error is not None and not future.done():
                    future.set_exception(error)
                elif not future.done():
                    future.set_result(statement.result()[number])
        self._start()

    def _take(self) -> list[tuple[T, "asyncio.Future[R]"]]:
        if self._alone:
            return [self._alone.pop(0)]
        batch: list[tuple[T, asyncio.Future[R]]] = []
        rest, size, seen = [], 0, set[Hashable]()
        for entry in self._waiting:
            keys = self._keys(entry[0])
            fits = not batch or size + len(keys) <= self._batch_max
            if fits and seen.isdisjoint(keys):
                batch.append(entry)
                size += len(keys)
            else:
                rest.append(entry)
            # Those of an entry that waits, too: a later one must not overtake it.
            seen.update(keys)
        self._waiting = rest
        return batch
