"""Outbox and publisher in memory; the stream is a list."""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from payd.adapters.events import EventRow
from payd.adapters.postgres import outbox as postgres
from payd.domain.decide import EventType
from payd.domain.published import EventSelection, PublishedPosition
from payd.plugins.context import Clock
from payd.ports import OutboxRow, PublishError
from support.memory.queue import Held, Queue


class MemoryOutbox(Queue[OutboxRow]):
    """Implements the port Outbox. Only a commit of the store adds rows."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._latest: dict[UUID, UUID] = {}
        self._matters: set[tuple[UUID, str, str]] = set()
        #: Event id → what it is about besides the payment.
        self.abouts: dict[UUID, str] = {}

    def announce(self, payment_id: UUID, event: EventRow) -> None:
        """Add an event after the earlier ones of the payment."""
        self.abouts[event.event_id] = event.about
        matter = (payment_id, event.subject, event.about)
        if event.subject != EventType.ATTENTION.value:
            assert matter not in self._matters, f"a second {event.subject}"
            self._matters.add(matter)
        self.add(
            OutboxRow(
                id=self.new_id(),
                event_id=event.event_id,
                payment_id=payment_id,
                subject=event.subject,
                headers=event.headers,
                body=event.body,
                previous_event_id=self._latest.get(payment_id),
            )
        )
        self._latest[payment_id] = event.event_id

    async def claim(self, limit: int, lease_s: float) -> Sequence[OutboxRow]:
        return [held.row for held in self.lease_rows(limit, lease_s)]

    async def mark_published(self, row_ids: Sequence[int]) -> None:
        self.settle(row_ids, "published")

    async def release(self, errors: Mapping[int, str]) -> None:
        for row_id, error in errors.items():
            self.rows[row_id].error = error
        self.put_back(errors, postgres.RETRY_IN.total_seconds())

    async def published(
        self, wanted: EventSelection, after: PublishedPosition | None, limit: int
    ) -> Sequence[tuple[PublishedPosition, OutboxRow]]:
        found = sorted(
            (PublishedPosition(held.settle_time, held.row.id), held.row.event_id, held.row)
            for held in self.rows.values()
            if held.settle_time is not None
            and wanted.payment_id in (None, held.row.payment_id)
            and wanted.event_id in (None, held.row.event_id)
            and (wanted.published_from is None or held.settle_time >= wanted.published_from)
            and (wanted.published_before is None or held.settle_time < wanted.published_before)
        )
        later = [(at, row) for at, _, row in found if after is None or at > after]
        return later[:limit]

    async def depth(self) -> tuple[int, float]:
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
    """Implements the port Publisher; the stream is a list."""

    def __init__(self) -> None:
        #: Acknowledged rows, in order; an event that was published twice is here twice.
        self.published: list[OutboxRow] = []
        #: While set, nothing is acknowledged.
        self.is_away = False

    async def publish(self, row: OutboxRow) -> bool:
        if self.is_away:
            raise PublishError("the stream is away")
        is_new = all(one.event_id != row.event_id for one in self.published)
        self.published.append(row)
        return is_new

    async def publish_all(self, rows: Sequence[OutboxRow]) -> Sequence[PublishError | None]:
        """Publish one after the other."""
        errors: list[PublishError | None] = []
        for row in rows:
            try:
                await self.publish(row)
            except PublishError as error:
                errors.append(error)
            else:
                errors.append(None)
        return errors
