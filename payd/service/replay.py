"""Put dead letters back into the stream, for consumers that could not handle them before.

An event that payd still keeps goes back with the body that payd keeps: when its customer was
forgotten meanwhile, the letter has personal values and that body has none. Before it goes, its
payment gets an audit row with the operator and the event, as for events that are published again.

Any other letter goes back as it is, without an audit row, because nothing proves its headers; if
they name a forgotten payment, the personal values go first.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from uuid import UUID

import attrs

from payd.domain.forget import is_forgotten
from payd.domain.payment import Origin
from payd.domain.published import DeadLetter, NamedEvent
from payd.ports import DeadLetterStream, PublishedEvents
from payd.service.dead_letters import published_event
from payd.service.republish import record_published_again
from payd.service.settle import Settle


@attrs.frozen(kw_only=True)
class ReplayDeadLetters:
    """Use case: put dead letters back."""

    letters: DeadLetterStream
    events: PublishedEvents
    settle: Settle
    #: The body of any message → the body without personal values.
    bare: Callable[[bytes], bytes]

    async def replay(self, sequences: Sequence[int], origin: Origin) -> Sequence[int]:
        """Put the letters at these positions back; return those that still existed.

        Raises StoreUnavailable and StreamUnavailable.
        """
        bodies = dict[int, bytes]()
        events: defaultdict[UUID, list[NamedEvent]] = defaultdict(list)
        for sequence in sequences:
            letter = await self.letters.get(sequence)
            if letter is None:
                continue
            event = await published_event(self.events, letter)
            if event is None:
                bodies[sequence] = await self._unproven_body(letter)
            else:
                bodies[sequence] = event.body
                events[event.payment_id].append(NamedEvent(event.event_id, event.subject))
        await record_published_again(self.settle, events, origin)
        return await self.letters.replay(bodies)

    async def _unproven_body(self, letter: DeadLetter) -> bytes:
        if letter.named_payment_id is None:
            return letter.data
        payment = await self.settle.store.get(letter.named_payment_id)
        if payment is None or not is_forgotten(payment):
            return letter.data
        return self.bare(letter.data)
