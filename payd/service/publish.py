"""Publish events from the outbox: claim rows → publish each → mark it published.

Delivery is at least once. A row is marked only after the stream's acknowledgement; if that is lost,
the row is published again with the same id and bytes, and the stream drops the duplicate.
"""

from collections.abc import Sequence

import attrs

from payd.ports import CrashPoints, Outbox, OutboxRow, Publisher, PublishError


@attrs.frozen(kw_only=True)
class Publish:
    """Use case: publish events to the stream."""

    outbox: Outbox
    publisher: Publisher
    crash: CrashPoints
    batch_size: int = 100
    lease_s: float = 30.0

    async def claim_batch(self) -> Sequence[OutboxRow]:
        """Claim rows, at most one per payment; pass each to `publish`."""
        return await self.outbox.claim(self.batch_size, self.lease_s)

    async def publish(self, row: OutboxRow) -> PublishError | None:
        """Publish and mark one row; on failure release it for a retry and return the error."""
        self.crash.reach("publish.before_publish")
        try:
            await self.publisher.publish(row)
        except PublishError as error:
            await self.outbox.release([row.id], str(error))
            return error
        self.crash.reach("publish.after_ack")
        await self.outbox.mark_published([row.id])
        self.crash.reach("publish.after_mark")
        return None
