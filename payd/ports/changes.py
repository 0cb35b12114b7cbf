"""Port by which a caller waits for newer versions of a payment."""

from contextlib import AbstractContextManager
from typing import Protocol
from uuid import UUID

from payd.domain.payment import Payment


class Watcher(Protocol):
    """Waits for the newer versions of one payment."""

    async def newer(self, timeout_s: float | None) -> Payment | None:
        """Return the newest version that is newer than the last one; None after `timeout_s`.

        Versions in between may be left out. Raises ShuttingDown when this daemon stops.
        """


class PaymentChanges(Protocol):
    """Knows when a payment has a newer version, whichever daemon wrote it."""

    def watch(self, payment_id: UUID, after_version: int) -> AbstractContextManager[Watcher]:
        """Watch a payment from this version on. Raises Overloaded and ShuttingDown."""

    def end(self) -> None:
        """Make every watcher raise ShuttingDown, now and from now on."""
