"""Ports to the process itself: time, ids, tags, prices, turns and crash points."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from payd.domain.pricing import PriceList
from payd.plugins.context import Clock


class BusinessClock(Clock, Protocol):
    """The clock of payments: quotes, expiries, refund windows. Leases follow the database's clock.

    `payd dev --clock` moves it; elsewhere it is the system's.
    """

    async def rest(self, seconds: float) -> None:
        """Wait so many seconds of real time; return earlier when the clock is moved."""


class Ids(Protocol):
    """Source of new ids, which tests replace."""

    def new(self) -> UUID:
        """Return an id that was never returned before."""


class Tags(Protocol):
    """Source of tags, which no two payments share, whatever daemon makes them."""

    async def next(self) -> int:
        """Return a tag of `TAG_BITS` bits that was never returned. Raises StoreUnavailable."""


class SecretsUnavailable(Exception):
    """Reading secrets failed; `reason` says what to fix, and contains no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CrashPoints(Protocol):
    """Named places at which a fault-injection test may kill the process."""

    def reach(self, name: str) -> None:
        """Return, or kill the process if `name` is the chosen point."""


class PriceSource(Protocol):
    """Source of the current price list."""

    def current(self) -> PriceList:
        """The current list, complete: a reload replaces the whole list at once."""


class Turns(Protocol):
    """Lets the calls of one daemon that change the same payment pass one after another.

    Other daemons do not take part: the database decides between them.
    """

    def of(self, payment_id: UUID) -> AbstractAsyncContextManager[None]:
        """The turn of one call, first come first served."""

    async def rest(self) -> None:
        """Wait for a short random time, so that two daemons do not collide again."""
