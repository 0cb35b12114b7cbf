"""Publish events from the outbox: claim rows → publish them concurrently → mark them once.

Delivery is at least once. A row is marked only after the stream's acknowledgement; if that is lost,
the row is published again with the same id and bytes, and the stream drops the duplicate.
"""

from collections.abc import Mapping, Sequence

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
        """Claim rows, at most one per payment; pass them to `publish`."""
        return await self.outbox.claim(self.batch_size, self.lease_s)

    async def publish(self, rows: Sequence[OutboxRow]) -> Mapping[int, PublishError]:
        """Publish rows concurrently and mark them; release those that failed, and return why."""
        self.crash.reach("publish.before_publish")
        results = await self.publisher.publish_all(rows)
        errors = {row.id: error for row, error in zip(rows, results, strict=True) if error}
        if errors:
            await self.outbox.release({row_id: str(error) for row_id, error in errors.items()})
        published = [row.id for row in rows if row.id not in errors]
        if published:
            self.crash.reach("publish.after_ack")
            await self.outbox.mark_published(published)
            self.crash.reach("publish.after_mark")
        return errors
