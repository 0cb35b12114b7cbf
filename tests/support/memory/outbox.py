"""Events in memory: those that wait to be published, and a stream in a list."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from payd.adapters.events import EventRow
from payd.domain.decide import EventType
from payd.plugins.context import Clock
from payd.ports import OutboxRow, PublishError
from support.memory.queue import Held, Queue


class MemoryOutbox(Queue[OutboxRow]):
    """Outbox; only a commit of the store adds to it."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._latest: dict[UUID, UUID] = {}

    def announce(self, payment_id: UUID, event: EventRow) -> None:
        """Add an event of the payment, behind those that it has."""
        self.add(
            OutboxRow(
                id=self.new_id(),
                payment_id=payment_id,
                previous_event_id=self._latest.get(payment_id),
                **event._asdict(),
            )
        )
        if event.subject != EventType.ATTENTION.value:
            self._latest[payment_id] = event.event_id

    async def claim(self, limit: int, lease_s: float) -> Sequence[OutboxRow]:
        """See Outbox."""
        return [held.row for held in self.lease_rows(limit, lease_s)]

    async def mark_published(self, row_ids: Sequence[int]) -> None:
        """See Outbox."""
        self.settle(row_ids, "published")

    async def release(self, row_ids: Sequence[int], error: str) -> None:
        """See Outbox. The later try may be at once: memory has no one to spare."""
        self.put_back(row_ids, retry_in_s=0)

    async def depth(self) -> tuple[int, float]:
        """See Outbox."""
        waiting = [held.create_time for held in self.open_rows()]
        if not waiting:
            return 0, 0.0
        return len(waiting), (self.clock.now() - min(waiting)).total_seconds()

    def claimable(self) -> Iterator[Held[OutboxRow]]:
        heads: dict[UUID, int] = {}
        for held in self.open_rows():
            heads.setdefault(held.row.payment_id, held.row.id)
        return (held for held in super().claimable() if held.row.id == heads[held.row.payment_id])


class MemoryPublisher:
    """Publisher: a stream in a list."""

    def __init__(self) -> None:
        #: What was acknowledged, in order; an event that was published twice is here twice.
        self.published: list[OutboxRow] = []
        #: While set, nothing is acknowledged.
        self.is_away = False

    async def publish(self, row: OutboxRow) -> bool:
        """See Publisher."""
        if self.is_away:
            raise PublishError("the stream is away")
        is_new = all(one.event_id != row.event_id for one in self.published)
        self.published.append(row)
        return is_new
