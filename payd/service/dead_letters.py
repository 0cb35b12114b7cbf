"""Read dead letters, and compare each with the events that payd has published.

Any consumer may write a letter, and say in its headers that it is any event of any payment. The
outbox knows: a letter is about a payment if payd has published the event with that id, of that
payment and under that subject.
"""

import attrs

from payd.domain.published import DeadLetter, DeadLetters, EventSelection
from payd.ports import DeadLetterStream, OutboxRow, PublishedEvents


@attrs.frozen(kw_only=True)
class ReadDeadLetters:
    """Use case: read dead letters. Raises StoreUnavailable and StreamUnavailable."""

    letters: DeadLetterStream
    events: PublishedEvents

    async def read(self, after_sequence: int, limit: int) -> DeadLetters:
        """At most `limit` dead letters after a position, oldest first; fewer if they are long."""
        found = await self.letters.read(after_sequence, limit)
        compared = [await self._compared(letter) for letter in found.letters]
        return attrs.evolve(found, letters=tuple(compared))

    async def get(self, sequence: int) -> DeadLetter | None:
        """The dead letter at this position; None if it does not exist any more."""
        letter = await self.letters.get(sequence)
        return None if letter is None else await self._compared(letter)

    async def _compared(self, letter: DeadLetter) -> DeadLetter:
        event = await published_event(self.events, letter)
        return letter if event is None else attrs.evolve(letter, payment_id=event.payment_id)


async def published_event(events: PublishedEvents, letter: DeadLetter) -> OutboxRow | None:
    """The event of a letter as payd keeps it; None if payd keeps no such event."""
    if letter.named_event_id is None:
        return None
    found = await events.published(EventSelection(event_id=letter.named_event_id), None, 1)
    for _, event in found:
        if (event.payment_id, event.subject) == (letter.named_payment_id, letter.subject):
            return event
    return None
