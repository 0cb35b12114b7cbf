"""Claims on events, shared by all processes of a durable consumer.

A claim keeps two processes from handling the same event, or two events of one payment, at the same
time. Claims only save work: when they are lost, the main app's own database decides.
"""

import enum
from typing import Protocol
from uuid import UUID

from payd_client.values import Event


class Claim(enum.Enum):
    """Result of an attempt to claim an event."""

    MINE = "mine"
    #: The event has been handled.
    DONE = "done"
    #: Another process handles an event of this payment, or died and its claim has not expired.
    TAKEN = "taken"
    #: No claims are kept, or they cannot be read now.
    UNKNOWN = "unknown"


class Claims(Protocol):
    """Claims of one process of a durable consumer."""

    async def claim(self, event: Event) -> Claim:
        """Claim the event before its handler runs."""
        ...

    async def confirm(self, event: Event) -> None:
        """Remember that the handler has succeeded."""
        ...

    async def release(self, event: Event) -> None:
        """Give the claim up, because the handler has failed or was stopped."""
        ...

    async def extend(self, event: Event) -> None:
        """Keep the claim from expiring while the handler runs."""
        ...

    async def is_done(self, event_id: UUID | str) -> bool | None:
        """Whether the event has been handled; None when that is unknown."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class NoClaims:
    """Claims of a consumer without Redis: nothing is known."""

    async def claim(self, event: Event) -> Claim:
        """Return UNKNOWN: the handler runs."""
        return Claim.UNKNOWN

    async def confirm(self, event: Event) -> None:
        """Do nothing."""

    async def release(self, event: Event) -> None:
        """Do nothing."""

    async def extend(self, event: Event) -> None:
        """Do nothing."""

    async def is_done(self, event_id: UUID | str) -> bool | None:
        """Return None: unknown."""
        return None

    async def close(self) -> None:
        """Do nothing."""
