"""The outbox of events, and the stream to which they are published."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

import attrs


@attrs.frozen(kw_only=True)
class OutboxRow:
    """One event to publish. Headers and body are final: a retry sends the same bytes."""

    id: int
    event_id: UUID
    payment_id: UUID
    subject: str
    headers: Mapping[str, str]
    body: bytes
    #: The payment's event before this one; lets a consumer keep the order.
    previous_event_id: UUID | None = None


class Outbox(Protocol):
    """Events that are committed and not yet published."""

    async def claim(self, limit: int, lease_s: float) -> Sequence[OutboxRow]:
        """Claim unpublished events for `lease_s` seconds; of each payment only the oldest one."""

    async def mark_published(self, row_ids: Sequence[int]) -> None:
        """Mark rows as published; call it only after the stream's acknowledgement."""

    async def release(self, errors: Mapping[int, str]) -> None:
        """Release rows that could not be published: row id → error. They are soon claimed again."""

    async def depth(self) -> tuple[int, float]:
        """Number of unpublished events, and the age of the oldest in seconds (0 without any)."""

    async def wait(self, timeout_s: float) -> None:
        """Return when a new row may be there to claim, at the latest after `timeout_s` seconds.

        A new row ends one wait, whether it is then claimed or not.
        """


class PublishError(Exception):
    """The stream did not acknowledge the event, and may have it or not: publish it again."""


class Publisher(Protocol):
    """Publishes events to the stream that consumers read."""

    async def publish(self, row: OutboxRow) -> bool:
        """Publish and wait for the acknowledgement; raise PublishError without one.

        Returns False if the stream already had an event with this id, and dropped this one.
        """

    async def publish_all(self, rows: Sequence[OutboxRow]) -> Sequence[PublishError | None]:
        """Publish concurrently, each row as `publish` does; return the error of each, if any."""
