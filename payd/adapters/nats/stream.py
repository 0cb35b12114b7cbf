"""JetStream streams of payd: their settings, and what in an existing one could lose an event."""

from typing import Any

import attrs
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from payd_client.consumer import DEAD_LETTERS
from payd_client.dead_letters import stream_config as dead_letter_stream

SUBJECTS = ["payment.>"]
#: A payment of 100 items with the largest metadata, and room for what providers add.
MESSAGE_BYTES_MAX = 262_144
#: How long the server must know an event's id: a lost ack is repeated after the outbox's lease.
DUPLICATE_WINDOW_MIN_S = 120

_DUPLICATE_WINDOW_S = 3600


@attrs.frozen(kw_only=True)
class StreamLimits:
    """How much a stream that payd creates keeps, and how many servers keep it."""

    replicas: int = 1
    max_age_s: int = 30 * 24 * 3600
    #: The server reserves this much of its disk.
    max_bytes: int = 1024**3


def stream_config(name: str, limits: StreamLimits | None = None) -> StreamConfig:
    """Settings of the stream of events."""
    limits = limits or StreamLimits()
    return StreamConfig(
        name=name,
        subjects=SUBJECTS,
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=limits.replicas,
        max_age=limits.max_age_s,
        max_bytes=limits.max_bytes,
        # Full means an error that the outbox survives; OLD would delete unread events.
        discard=DiscardPolicy.NEW,
        max_msg_size=MESSAGE_BYTES_MAX,
        duplicate_window=_DUPLICATE_WINDOW_S,
        allow_direct=True,
    )


def dead_letter_config(replicas: int) -> StreamConfig:
    """Settings of the stream of dead letters, as a consumer would create it."""
    return dead_letter_stream(DEAD_LETTERS, replicas)


def mismatch(config: Any) -> str | None:
    """What in an existing stream could lose an event, or refuse one; None when nothing."""
    wrong = []
    if not set(SUBJECTS) <= set(config.subjects or ()):
        wrong.append(f"subjects are {config.subjects}, not {SUBJECTS}")
    if config.retention != RetentionPolicy.LIMITS:
        wrong.append(f"retention is {config.retention}, not limits")
    if config.discard != DiscardPolicy.NEW:
        wrong.append("discard is not new: a full stream would delete unread events")
    if config.storage != StorageType.FILE:
        wrong.append("storage is not file")
    if config.no_ack or config.sealed:
        wrong.append("it acknowledges nothing, or is sealed")
    if (config.max_msgs_per_subject or -1) > 0:
        wrong.append("max_msgs_per_subject would delete unread events")
    if 0 <= (config.max_msg_size or -1) < MESSAGE_BYTES_MAX:
        wrong.append(f"max_msg_size is {config.max_msg_size}, less than {MESSAGE_BYTES_MAX}")
    if config.duplicate_window < DUPLICATE_WINDOW_MIN_S:
        wrong.append(
            f"duplicate_window is {config.duplicate_window:g} s: a repetition would double"
        )
    return "; ".join(wrong) or None
