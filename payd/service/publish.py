"""Outbox → stream: claim rows → publish one → mark it published.

At least once: a row is marked only after the stream's acknowledgement, and published again,
with the same id and bytes, when that got lost.
"""

from collections.abc import Sequence

import attrs

from payd.ports import CrashPoints, Outbox, OutboxRow, Publisher, PublishError


@attrs.frozen(kw_only=True)
class Publish:
    """Use case: tell the consumers."""

    outbox: Outbox
    publisher: Publisher
    crash: CrashPoints
    batch_size: int = 100
    lease_s: float = 30.0

    async def claim_batch(self) -> Sequence[OutboxRow]:
        """Rows for this daemon to pass to `publish`, at most one of a payment."""
        return await self.outbox.claim(self.batch_size, self.lease_s)

    async def publish(self, row: OutboxRow) -> PublishError | None:
        """Publish and mark one row; what went wrong otherwise, and the row waits again."""
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
