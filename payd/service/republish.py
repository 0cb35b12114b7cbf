"""Publish events again that the stream has lost, or that a consumer wants once more.

An event keeps its id: the stream drops one that it stored within its duplicate window, and a
consumer skips one that it has handled. So repeating this is harmless.
"""

import attrs

from payd.domain.errors import EventNotFound, PaymentNotFound, StreamUnavailable
from payd.domain.published import EventSelection, PublishedPosition, Republished
from payd.ports import OutboxRow, PaymentStore, PublishedEvents, Publisher, PublishError

#: Events of one call: few enough for its deadline.
PAGE = 200


@attrs.frozen(kw_only=True)
class Republish:
    """Use case: publish events again."""

    events: PublishedEvents
    publisher: Publisher
    store: PaymentStore

    async def republish(
        self, wanted: EventSelection, after: PublishedPosition | None
    ) -> Republished:
        """Publish a page of the events, in their order, beginning after a position.

        Raises PaymentNotFound, EventNotFound and StreamUnavailable.
        """
        found = await self.events.published(wanted, after, PAGE + 1)
        if not found:
            await self._check(wanted)
        page, stored = found[:PAGE], 0
        for _, row in page:
            stored += await self._publish(row)
        return Republished(
            stored=stored,
            duplicates=len(page) - stored,
            next=page[-1][0] if len(found) > PAGE else None,
        )

    async def _check(self, wanted: EventSelection) -> None:
        """Raise an error if what is named does not exist; a payment or span may have no events."""
        if wanted.event_id is not None:
            raise EventNotFound(
                "no published event has this id: it is not published yet, or no longer kept",
                event_id=str(wanted.event_id),
            )
        if wanted.payment_id is not None and await self.store.get(wanted.payment_id) is None:
            raise PaymentNotFound("no payment has this id", payment_id=str(wanted.payment_id))

    async def _publish(self, row: OutboxRow) -> bool:
        try:
            return await self.publisher.publish(row)
        except PublishError as error:
            raise StreamUnavailable(f"{error}; call again", retry_after_s=1.0) from error
