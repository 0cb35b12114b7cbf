"""The outbox of events, and the stream that they are published to."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

import attrs


@attrs.frozen(kw_only=True)
class OutboxRow:
    """One event to publish. `body` is final: a repetition sends the same bytes."""

    id: int
    event_id: UUID
    payment_id: UUID
    subject: str
    headers: Mapping[str, str]
    body: bytes
    #: The payment's latest completed, failed or canceled before this one: a consumer keeps the order.
    previous_event_id: UUID | None = None


class Outbox(Protocol):
    """Events that were decided and not yet published."""

    async def claim(self, limit: int, lease_s: float) -> Sequence[OutboxRow]:
        """The oldest unpublished event of each payment, each for one claimer."""

    async def mark_published(self, row_ids: Sequence[int]) -> None:
        """After the stream's acknowledgement, never before."""

    async def release(self, row_ids: Sequence[int], error: str) -> None:
        """Give back rows that could not be published, for a later try."""

    async def depth(self) -> tuple[int, float]:
        """How many are unpublished, and the age in seconds of the oldest (0 when none)."""

    async def wait(self, timeout_s: float) -> None:
        """Return when something new may be there to claim, at the time-out at the latest.

        What is new ends one wait, claimed or not: whoever cannot claim it now waits again.
        """


class PublishError(Exception):
    """The stream did not acknowledge: it may have the event or not. Publish it again."""


class Publisher(Protocol):
    """The stream that consumers read."""

    async def publish(self, row: OutboxRow) -> bool:
        """Return after the acknowledgement; raise PublishError otherwise.

        False when the stream had an event of this id already, and dropped this one.
        """
