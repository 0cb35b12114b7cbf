"""Dead letters on JetStream: reads and replays what consumers gave up, over payd's connection."""

from collections.abc import Mapping, Sequence
from typing import Any

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from payd_client.consumer import DEAD_LETTERS
from payd_client.dead_letters import SUBJECTS

from payd.adapters.nats.failures import FAILURES
from payd.adapters.nats.publisher import JetStreamPublisher
from payd.domain.errors import StreamUnavailable
from payd.domain.published import DeadLetter, DeadLetters
from payd.ports import PublishError

#: Bytes of events in one answer: a letter may be as large as an event.
_BYTES_MAX = 1024 * 1024
_NOT_FOUND = nats.js.errors.NotFoundError


class JetStreamDeadLetters:
    """Implements the port DeadLetterStream. Without the stream there are no letters."""

    def __init__(self, publisher: JetStreamPublisher, events: str) -> None:
        """`events` is the stream to which letters return."""
        self._publisher = publisher
        self._events = events

    async def read(self, after_sequence: int, limit: int) -> DeadLetters:
        jetstream = self._jetstream()
        try:
            state = (await jetstream.stream_info(DEAD_LETTERS)).state
            letters: list[DeadLetter] = []
            size, position = 0, after_sequence
            while (found := await _next(jetstream, position + 1)) is not None:
                if len(letters) == limit or (letters and size + len(found.data) > _BYTES_MAX):
                    return DeadLetters(letters=tuple(letters), next=position, total=state.messages)
                letters.append(found)
                size, position = size + len(found.data), found.sequence
            return DeadLetters(letters=tuple(letters), total=state.messages)
        except _NOT_FOUND:
            return DeadLetters()
        except FAILURES as error:
            raise _unavailable(error) from error

    async def get(self, sequence: int) -> DeadLetter | None:
        jetstream = self._jetstream()
        try:
            return _letter(await jetstream.get_msg(DEAD_LETTERS, sequence))
        except _NOT_FOUND:
            return None
        except FAILURES as error:
            raise _unavailable(error) from error

    async def replay(self, bodies: Mapping[int, bytes]) -> Sequence[int]:
        jetstream = self._jetstream()
        try:
            return [one for one in bodies if await self._replay(jetstream, one, bodies[one])]
        except FAILURES as error:
            raise _unavailable(error) from error

    async def _replay(self, jetstream: JetStreamContext, sequence: int, body: bytes) -> bool:
        try:
            letter = _letter(await jetstream.get_msg(DEAD_LETTERS, sequence))
        except _NOT_FOUND:
            return False
        kept = {
            name: value
            for name, value in letter.headers.items()
            if not name.startswith(("payd-dead-", "Nats-"))
        }
        # With the event's own id the stream would drop it within its duplicate window.
        headers = {**kept, "Nats-Msg-Id": f"replay:{DEAD_LETTERS}:{sequence}"}
        await jetstream.publish(letter.subject, body, stream=self._events, headers=headers)
        return await _delete(jetstream, sequence)

    def _jetstream(self) -> JetStreamContext:
        try:
            return self._publisher.jetstream()
        except PublishError as error:
            raise StreamUnavailable(str(error), retry_after_s=1.0) from error


async def _next(jetstream: JetStreamContext, sequence: int) -> DeadLetter | None:
    """Return the first letter at this position or after it, however many were deleted between."""
    try:
        return _letter(await jetstream.get_msg(DEAD_LETTERS, sequence, subject=SUBJECTS, next=True))
    except _NOT_FOUND:
        return None


async def _delete(jetstream: JetStreamContext, sequence: int) -> bool:
    """Delete a letter; return False if another operator has put it back and deleted it."""
    try:
        await jetstream.delete_msg(DEAD_LETTERS, sequence)
    except nats.js.errors.APIError:
        # NATS has several errors for a message that does not exist.
        if await _exists(jetstream, sequence):
            raise
        return False
    return True


async def _exists(jetstream: JetStreamContext, sequence: int) -> bool:
    try:
        await jetstream.get_msg(DEAD_LETTERS, sequence)
    except _NOT_FOUND:
        return False
    return True


def _letter(message: Any) -> DeadLetter:
    headers = dict(message.headers or {})
    deliveries = headers.get("payd-dead-deliveries", "")
    return DeadLetter(
        sequence=message.seq,
        subject=headers.get("payd-dead-subject", message.subject),
        reason=headers.get("payd-dead-reason", ""),
        time=message.time,
        deliveries=int(deliveries) if deliveries.isdecimal() else 0,
        headers=headers,
        data=message.data or b"",
    )


def _unavailable(error: BaseException) -> StreamUnavailable:
    why = "no answer in time" if isinstance(error, nats.errors.TimeoutError) else str(error)
    advice = "check NATS, and that payd may read PAYMENTS_DLQ (docs/operations.md)"
    return StreamUnavailable(f"the stream of dead letters: {why}; {advice}", retry_after_s=1.0)
