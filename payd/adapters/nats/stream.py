"""JetStream streams of payd: their settings, and a check for settings that could lose events."""

from typing import Any

import attrs
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from payd_client.consumer import DEAD_LETTERS
from payd_client.dead_letters import stream_config as dead_letter_stream

SUBJECTS = ["payment.>"]
#: Room for a payment of 100 items with the largest metadata, and for what providers add.
MESSAGE_BYTES_MAX = 262_144
#: After a lost acknowledgement an event is published again when its lease ends; the server must
#: remember the ids of events for longer than that.
DUPLICATE_WINDOW_MIN_S = 120

_DUPLICATE_WINDOW_S = 3600


@attrs.frozen(kw_only=True)
class StreamLimits:
    """Limits and replicas of a stream that payd creates."""

    replicas: int = 1
    max_age_s: int = 30 * 24 * 3600
    #: The server reserves this much disk space.
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
        # A full stream refuses events, and the outbox keeps them; OLD would delete unread events.
        discard=DiscardPolicy.NEW,
        max_msg_size=MESSAGE_BYTES_MAX,
        duplicate_window=_DUPLICATE_WINDOW_S,
        allow_direct=True,
    )


def dead_letter_config(replicas: int) -> StreamConfig:
    """Settings of the stream of dead letters, as a consumer would create it."""
    return dead_letter_stream(DEAD_LETTERS, replicas)


def mismatch(config: Any) -> str | None:
    """Describe settings of an existing stream that lose or refuse events; None if all are good."""
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
        wrong.append("no_ack or sealed is set: events are not acknowledged")
    if (config.max_msgs_per_subject or -1) > 0:
        wrong.append("max_msgs_per_subject would delete unread events")
    if 0 <= (config.max_msg_size or -1) < MESSAGE_BYTES_MAX:
        wrong.append(f"max_msg_size is {config.max_msg_size}, less than {MESSAGE_BYTES_MAX}")
    if config.duplicate_window < DUPLICATE_WINDOW_MIN_S:
        wrong.append(
            f"duplicate_window is {config.duplicate_window:g} s, not {DUPLICATE_WINDOW_MIN_S} s or "
            "more: retried events would be duplicated"
        )
    return "; ".join(wrong) or None
