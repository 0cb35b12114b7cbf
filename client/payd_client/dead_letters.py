"""The stream PAYMENTS_DLQ: events that a consumer could not handle, each with the reason."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import attrs
import nats.errors
import nats.js.errors
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from payd_client.consumer import DEAD_LETTERS
from payd_client.events import StreamUnreachable, close, connect, shown

#: A letter's subject is payment_dlq.DURABLE.SUBJECT.
SUBJECTS = "payment_dlq.>"
_REASON_MAX = 500
#: A header ends at a line break.
_ONE_LINE = str.maketrans(dict.fromkeys("\r\n\t", " "))


@attrs.frozen(kw_only=True)
class DeadLetter:
    """An event that a consumer has given up, with the reason."""

    #: Position in the stream of dead letters.
    sequence: int
    #: Subject of the event, such as payment.completed.
    subject: str
    reason: str
    time: datetime
    headers: dict[str, str]
    data: bytes


async def read_letters(servers: str, stream: str = DEAD_LETTERS) -> list[DeadLetter]:
    """Read all dead letters, the oldest first. Raises StreamUnreachable.

    Without the stream the list is empty: the first consumer creates it.
    """
    async with _jetstream(servers, stream) as jetstream:
        try:
            state = (await jetstream.stream_info(stream)).state
        except nats.js.errors.NotFoundError:
            return []
        found = []
        # A new stream reports 0 as its first sequence, and refuses a request for 0.
        for sequence in range(max(1, state.first_seq), state.last_seq + 1):
            try:
                found.append(_letter(await jetstream.get_msg(stream, sequence)))
            except nats.js.errors.NotFoundError:
                # Replayed before.
                continue
        return found


async def replay(
    servers: str,
    letters: Sequence[DeadLetter],
    stream: str = DEAD_LETTERS,
    events: str = "PAYMENTS",
) -> None:
    """Publish dead letters as events again and delete them. Raises StreamUnreachable.

    Every consumer receives them; one that has handled such an event knows its id and skips it.
    """
    async with _jetstream(servers, stream) as jetstream:
        for letter in letters:
            kept = {
                name: value
                for name, value in letter.headers.items()
                if not name.startswith(("payd-dead-", "Nats-"))
            }
            headers = {**kept, "Nats-Msg-Id": f"replay:{stream}:{letter.sequence}"}
            await jetstream.publish(letter.subject, letter.data, stream=events, headers=headers)
            await jetstream.delete_msg(stream, letter.sequence)


async def ensure_stream(jetstream: Any, name: str) -> None:
    """Create the stream of dead letters when it is missing. Raises nats.errors.Error."""
    try:
        await jetstream.stream_info(name)
    except nats.js.errors.NotFoundError:
        await jetstream.add_stream(stream_config(name))


def stream_config(name: str, replicas: int = 1) -> StreamConfig:
    """Return the settings of the stream: it keeps a letter until a person replays or deletes it."""
    return StreamConfig(
        name=name,
        subjects=[SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=replicas,
        discard=DiscardPolicy.NEW,
        duplicate_window=3600,
    )


async def bury(jetstream: Any, name: str, durable: str, message: Any, reason: str) -> None:
    """Copy a message into the stream of dead letters, once. Raises nats.errors.Error."""
    headers = dict(message.headers or {})
    sequence = message.metadata.sequence.stream
    headers |= {
        "Nats-Msg-Id": f"{durable}:{sequence}",
        "payd-dead-reason": reason.translate(_ONE_LINE)[:_REASON_MAX],
        "payd-dead-subject": message.subject,
        "payd-dead-sequence": str(sequence),
        "payd-dead-deliveries": str(message.metadata.num_delivered),
    }
    for expectation in ("Nats-Expected-Stream", "Nats-Expected-Last-Sequence"):
        headers.pop(expectation, None)
    await jetstream.publish(
        f"payment_dlq.{durable}.{message.subject}",
        message.data,
        stream=name,
        headers=headers,
        timeout=5,
    )


@asynccontextmanager
async def _jetstream(servers: str, stream: str) -> AsyncIterator[Any]:
    client = await connect(servers)
    try:
        yield client.jetstream()
    except nats.js.errors.NotFoundError:
        raise StreamUnreachable(f"there is no stream {stream} at {shown(servers)}") from None
    except nats.errors.Error as error:
        raise StreamUnreachable(f"NATS at {shown(servers)}: {error!r}") from None
    finally:
        await close(client)


def _letter(message: Any) -> DeadLetter:
    headers = dict(message.headers or {})
    return DeadLetter(
        sequence=message.seq,
        subject=headers.get("payd-dead-subject", message.subject),
        reason=headers.get("payd-dead-reason", ""),
        time=message.time,
        headers=headers,
        data=message.data or b"",
    )
