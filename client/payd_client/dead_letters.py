"""The stream PAYMENTS_DLQ: events that a consumer could not handle, each with the reason."""

from typing import Any

import nats.js.errors
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

#: A letter's subject is payment_dlq.DURABLE.SUBJECT.
SUBJECTS = "payment_dlq.>"
_REASON_MAX = 500
#: A header ends at a line break.
_ONE_LINE = str.maketrans(dict.fromkeys("\r\n\t", " "))


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
