"""The stream PAYMENTS_DLQ: events that a consumer could not handle, with the reason beside them."""

from typing import Any

import nats.js.errors
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

DEAD_LETTERS = "PAYMENTS_DLQ"
#: payment_dlq.DURABLE.SUBJECT
SUBJECTS = "payment_dlq.>"
_REASON_MAX = 500
_WORDS = str.maketrans(dict.fromkeys("\r\n\t", " "))


async def ensure_stream(jetstream: Any, name: str) -> None:
    """Make it where it is missing. Raises nats.errors.Error."""
    try:
        await jetstream.stream_info(name)
    except nats.js.errors.NotFoundError:
        await jetstream.add_stream(
            StreamConfig(
                name=name,
                subjects=[SUBJECTS],
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                # Nothing goes by itself: a person decides.
                discard=DiscardPolicy.NEW,
                duplicate_window=3600,
            )
        )


async def bury(jetstream: Any, name: str, durable: str, message: Any, reason: str) -> None:
    """Copy a message there, once. Raises nats.errors.Error; then it is not buried."""
    headers = dict(message.headers or {})
    sequence = message.metadata.sequence.stream
    headers |= {
        "Nats-Msg-Id": f"{durable}:{sequence}",
        "payd-dead-reason": reason.translate(_WORDS)[:_REASON_MAX],
        "payd-dead-subject": message.subject,
        "payd-dead-sequence": str(sequence),
        "payd-dead-deliveries": str(message.metadata.num_delivered),
    }
    for name_of_expectation in ("Nats-Expected-Stream", "Nats-Expected-Last-Sequence"):
        headers.pop(name_of_expectation, None)
    await jetstream.publish(
        f"payment_dlq.{durable}.{message.subject}",
        message.data,
        stream=name,
        headers=headers,
        timeout=5,
    )
