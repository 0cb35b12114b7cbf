"""What comes from the process itself: ids, prices, secrets, crash points."""

from typing import Protocol
from uuid import UUID

from payd.domain.pricing import PriceList


class Ids(Protocol):
    """New identifiers, so that tests can choose them."""

    def new(self) -> UUID:
        """An id that was never given before."""


class SecretsUnavailable(Exception):
    """The vault gave nothing; `reason` names what to mend, and no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CrashPoints(Protocol):
    """Named places where a fault-injection run may kill the process."""

    def reach(self, name: str) -> None:
        """Return, or never."""


class PriceSource(Protocol):
    """The prices in force."""

    def current(self) -> PriceList:
        """One whole list: never a half-loaded one."""
