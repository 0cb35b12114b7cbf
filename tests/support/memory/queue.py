"""A queue of rows, each leased to one worker at a time, and a bell that wakes waiting workers."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Generic, TypeVar

import attrs
import trio

from payd.plugins.context import Clock
from payd.ports import InboxRow, OutboxRow

#: Lease end of a row that is not claimed.
FREE = datetime.min.replace(tzinfo=UTC)


class Bell:
    """Wakes all waiting tasks at every change."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = trio.Event()

    async def wait_until(self, is_so: Callable[[], bool], timeout_s: float) -> None:
        """Return when `is_so()`, at the latest after `timeout_s` seconds."""
        with trio.move_on_after(timeout_s):
            await trio.lowlevel.checkpoint()
            while not is_so():
                await self._event.wait()


_Row = TypeVar("_Row", InboxRow, OutboxRow)


@attrs.define(kw_only=True)
class Held(Generic[_Row]):
    """A row that waits to be worked on, with its lease."""

    row: _Row
    create_time: datetime
    locked_until: datetime = FREE
    attempts: int = 0
    outcome: str | None = None
    settle_time: datetime | None = None
    #: Of the last attempt that failed.
    error: str = ""


class Queue(Generic[_Row]):
    """Rows in the order of their ids, each leased to one claimer until it has an outcome."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._changed = Bell()
        #: Whether anything has changed since the last `wait`.
        self._is_new = False
        self.rows: dict[int, Held[_Row]] = {}

    async def wait(self, timeout_s: float) -> None:
        """Only one loop may wait at a time."""
        await self._changed.wait_until(lambda: self._is_new, timeout_s)
        self._is_new = False

    def settle(self, row_ids: Iterable[int], outcome: str) -> None:
        """Give rows their outcome; they are not claimed again."""
        for row_id in row_ids:
            held = self.rows[row_id]
            held.outcome = held.outcome or outcome
            held.settle_time = held.settle_time or self.clock.now()
        self._change()

    def outcome(self, row_id: int) -> str | None:
        """The outcome of a row; None while it is open."""
        return self.rows[row_id].outcome

    def add(self, row: _Row) -> None:
        self.rows[row.id] = Held(row=row, create_time=self.clock.now())
        self._change()

    def _change(self) -> None:
        self._is_new = True
        self._changed.ring()

    def new_id(self) -> int:
        return len(self.rows) + 1

    def open_rows(self) -> Iterator[Held[_Row]]:
        return (held for held in self.rows.values() if held.outcome is None)

    def claimable(self) -> Iterator[Held[_Row]]:
        now = self.clock.now()
        return (held for held in self.open_rows() if held.locked_until <= now)

    def lease_rows(self, limit: int, lease_s: float) -> list[Held[_Row]]:
        return self.lease(list(islice(self.claimable(), limit)), lease_s)

    def lease(self, claimed: list[Held[_Row]], lease_s: float) -> list[Held[_Row]]:
        for held in claimed:
            held.attempts += 1
            held.locked_until = self.clock.now() + timedelta(seconds=lease_s)
        return claimed

    def put_back(self, row_ids: Iterable[int], retry_in_s: float) -> None:
        for row_id in row_ids:
            self.rows[row_id].locked_until = self.clock.now() + timedelta(seconds=retry_in_s)
        self._change()
