"""Put dead letters back into the stream, for consumers that could not handle them before.

Before one is put back, the payment of its event gets an audit row with the operator and the event,
as for events that are published again. A message of another sender has no payment to keep it.
"""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import attrs

from payd.domain.payment import Origin
from payd.domain.published import NamedEvent
from payd.ports import DeadLetterStream
from payd.service.republish import record_published_again
from payd.service.settle import Settle


@attrs.frozen(kw_only=True)
class ReplayDeadLetters:
    """Use case: put dead letters back."""

    letters: DeadLetterStream
    settle: Settle

    async def replay(self, sequences: Sequence[int], origin: Origin) -> Sequence[int]:
        """Put the letters at these positions back; return those that still existed.

        Raises StoreUnavailable and StreamUnavailable.
        """
        events: defaultdict[UUID, list[NamedEvent]] = defaultdict(list)
        for sequence in sequences:
            letter = await self.letters.get(sequence)
            if letter is not None and letter.event is not None and letter.payment_id is not None:
                events[letter.payment_id].append(letter.event)
        await record_published_again(self.settle, events, origin)
        return await self.letters.replay(sequences)
