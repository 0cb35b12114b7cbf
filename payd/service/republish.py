"""Publish events again that the stream has lost, or that a consumer wants once more.

An event keeps its id: the stream drops one that it stored within its duplicate window, and a
consumer skips one that it has handled. So repeating this is harmless.

Before a page is published, each of its payments gets an audit row with the operator and the events:
nothing is published that the trail does not have, whatever fails afterwards.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

import attrs

from payd.domain.errors import (
    EventNotFound,
    StoreUnavailable,
    StreamUnavailable,
)
from payd.domain.payment import Origin
from payd.domain.published import EventSelection, NamedEvent, PublishedPosition, Republished
from payd.domain.republication import republication
from payd.ports import Commit, OutboxRow, PublishedEvents, Publisher, PublishError
from payd.service.settle import Settle

#: Events of one call: few enough for its deadline.
PAGE = 200
#: Attempts to write the audit rows; the payments may change at the same time.
_ROUNDS = 50


@attrs.frozen(kw_only=True)
class Republish:
    """Use case: publish events again."""

    events: PublishedEvents
    publisher: Publisher
    settle: Settle

    async def republish(
        self, wanted: EventSelection, after: PublishedPosition | None, origin: Origin
    ) -> Republished:
        """Publish a page of the events, in their order, beginning after a position.

        Raises PaymentNotFound, EventNotFound, StoreUnavailable and StreamUnavailable.
        """
        found = await self.events.published(wanted, after, PAGE + 1)
        if not found:
            await self._check(wanted)
        page, stored = found[:PAGE], 0
        events: defaultdict[UUID, list[NamedEvent]] = defaultdict(list)
        for _, row in page:
            events[row.payment_id].append(NamedEvent(row.event_id, row.subject))
        await record_published_again(self.settle, events, origin)
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
        if wanted.payment_id is not None:
            await self.settle.newest(wanted.payment_id)

    async def _publish(self, row: OutboxRow) -> bool:
        try:
            return await self.publisher.publish(row)
        except PublishError as error:
            raise StreamUnavailable(f"{error}; call again", retry_after_s=1.0) from error


async def record_published_again(
    settle: Settle, events: Mapping[UUID, Sequence[NamedEvent]], origin: Origin
) -> None:
    """Write who publishes which events into the audit trail of their payments.

    Leaves out payments that do not exist. Raises StoreUnavailable.
    """
    todo = [*events]
    for round_ in range(_ROUNDS):
        if not todo:
            return
        if round_:
            await settle.turns.rest()
        payments = await settle.store.get_all(todo)
        now = settle.clock.now()
        decisions = [republication(one, events[one.id], now) for one in payments]
        won = await settle.commit_all(
            [
                Commit(before=payment, decision=decision, origin=origin)
                for payment, decision in zip(payments, decisions, strict=True)
            ]
        )
        todo = [one.id for one, is_won in zip(payments, won, strict=True) if not is_won]
    raise StoreUnavailable("the payments keep changing: call again", retry_after_s=1.0)
