"""Read the stream PAYMENTS without a durable consumer: past events, then new ones."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import attrs
import nats.errors
import nats.js.errors
from nats.js.api import ConsumerConfig, DeliverPolicy

from payd_client.nats_client import StrictClient

_CONNECT_S = 5.0
#: nats-py subscribes again when heartbeats are missing.
_HEARTBEAT_S = 1.0
#: Longest wait for an event that the stream has announced.
_SILENCE_S = 5.0


class StreamUnreachable(Exception):
    """NATS does not answer, or the stream does not exist."""


@attrs.frozen(kw_only=True)
class StreamEvent:
    """A message of the stream with its JSON body."""

    subject: str
    sequence: int
    time: datetime
    headers: dict[str, str]
    body: dict[str, Any]


async def tail(
    servers: str, *, since: datetime, follow: bool, stream: str = "PAYMENTS"
) -> AsyncGenerator[StreamEvent, None]:
    """Yield the events since a time in their order; with `follow`, new ones until cancelled."""
    client = await connect(servers, allow_reconnect=follow)
    seen = 0
    try:
        subscription = await _subscribe(client.jetstream(), stream, since)
        if not follow and await _has_nothing(subscription):
            return
        while True:
            try:
                message = await subscription.next_msg(timeout=3600 if follow else _SILENCE_S)
            except (TimeoutError, nats.errors.TimeoutError):
                if follow:
                    continue
                raise StreamUnreachable(
                    f"NATS at {shown(servers)} stopped sending events"
                ) from None
            event = _event(message)
            # A subscription that nats-py has renewed may begin too early.
            if event.sequence > seen and event.time >= since:
                seen = event.sequence
                yield event
            if not follow and not message.metadata.num_pending:
                return
    except nats.js.errors.NotFoundError:
        raise StreamUnreachable(f"there is no stream {stream} at {shown(servers)}") from None
    except nats.errors.Error as error:
        raise StreamUnreachable(f"NATS at {shown(servers)}: {error!r}") from None
    finally:
        await asyncio.shield(close(client))


async def connect(servers: str, *, allow_reconnect: bool = False) -> Any:
    """Connect to NATS. `servers` are URLs separated by commas. Raises StreamUnreachable."""
    if not all(_is_url(server) for server in servers.split(",")):
        raise StreamUnreachable(f"{shown(servers)!r} is not a list of URLs like nats://host:4222")
    client = StrictClient()
    try:
        # Without a limit nats-py would try for two minutes.
        await asyncio.wait_for(
            client.connect(
                servers.split(","),
                connect_timeout=3,
                allow_reconnect=allow_reconnect,
                max_reconnect_attempts=-1,
                error_cb=_ignore,
            ),
            _CONNECT_S,
        )
        return client
    except (OSError, nats.errors.Error, TimeoutError) as error:
        raise StreamUnreachable(f"NATS at {shown(servers)} does not answer: {error!r}") from None


async def close(client: Any) -> None:
    """Close the connection, even when it was lost."""
    # AttributeError, TypeError: before Python 3.13.6, github.com/python/cpython/issues/136234.
    with contextlib.suppress(nats.errors.Error, OSError, AttributeError, TypeError):
        await client.close()


async def _subscribe(jetstream: Any, stream: str, since: datetime) -> Any:
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_TIME,
        opt_start_time=since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),  # type: ignore[arg-type]  # sent unchanged
        idle_heartbeat=_HEARTBEAT_S,
    )
    subscription = await jetstream.subscribe(
        "payment.>", stream=stream, ordered_consumer=True, config=config
    )
    # nats-py recreates a lost consumer from a sequence, which a start time would contradict.
    config.opt_start_time = None
    return subscription


async def _has_nothing(subscription: Any) -> bool:
    info = await subscription.consumer_info()
    return not info.num_pending and not info.delivered.consumer_seq


async def _ignore(_: Exception) -> None:
    """Take nats-py's report of each failed attempt; `connect` raises the last error."""


def shown(servers: str) -> str:
    """Return the URLs without user, password and token, for messages."""
    return ",".join(map(_without_user, servers.split(",")))


def _without_user(server: str) -> str:
    scheme, separator, rest = server.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _is_url(server: str) -> bool:
    try:
        url = urlsplit(server)
    except ValueError:
        return False
    return bool(url.scheme and url.netloc)


def _event(message: Any) -> StreamEvent:
    return StreamEvent(
        subject=message.subject,
        sequence=message.metadata.sequence.stream,
        time=message.metadata.timestamp,
        headers=dict(message.headers or {}),
        body=json.loads(message.data),
    )
