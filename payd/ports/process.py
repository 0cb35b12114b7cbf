"""Ports to the process itself: ids, prices and crash points."""

from typing import Protocol
from uuid import UUID

from payd.domain.pricing import PriceList


class Ids(Protocol):
    """Source of new ids, which tests replace."""

    def new(self) -> UUID:
        """Return an id that was never returned before."""


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
