"""Publisher on JetStream: a connection that never gives up, and acks that are waited for.

nats-py by default closes for ever after some attempts, and delivers after it said that it
failed. Here it reconnects without end, buffers nothing while it is away, and is rebuilt when
it closed all the same. A publish has three outcomes; whatever is not an ack is PublishError.
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

import attrs
import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from payd.ports import OutboxRow, PublishError

_log = structlog.get_logger(__name__)

SUBJECTS = ["payment.>"]
#: A payment of 100 items with full metadata, and room to grow.
MESSAGE_BYTES_MAX = 262_144
_MAX_AGE_S = 30 * 24 * 3600
_MAX_BYTES = 10 * 1024**3
#: Repetitions after a lost ack come within seconds; consumers remember ids for ever anyway.
_DUPLICATE_WINDOW_S = 3600
_RETRY_S = 1.0
#: How often the stream is looked at while connected.
_CHECK_S = 5.0
_FAILURES = (nats.errors.Error, nats.js.errors.Error, OSError, asyncio.TimeoutError)


@attrs.frozen(kw_only=True)
class StreamState:
    """For readiness."""

    connected: bool
    #: Why the stream cannot be published to; None when it can, or nothing is known.
    problem: str | None


class JetStreamPublisher:
    """The port Publisher. `run` keeps the connection; `publish` uses it."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        stream: str,
        create_stream: bool,
        publish_timeout_s: float = 5.0,
        connect_timeout_s: float = 5.0,
    ) -> None:
        self._servers = list(servers)
        self._stream = stream
        self._create_stream = create_stream
        self._publish_timeout_s = publish_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._client: Client | None = None
        self._problem: str | None = None

    def state(self) -> StreamState:
        """As it stands now."""
        client = self._client
        return StreamState(
            connected=client is not None and client.is_connected, problem=self._problem
        )

    async def run(self) -> None:
        """Connect, watch the stream, connect again; until cancelled."""
        while True:
            try:
                await self._connected()
            except _FAILURES as error:
                _log.info("nats_unreachable", error=type(error).__name__)
            await asyncio.sleep(_RETRY_S)

    async def publish(self, row: OutboxRow) -> None:
        """See the port."""
        client = self._client
        if client is None or not client.is_connected:
            raise PublishError("not connected")
        headers = {**row.headers, "Nats-Msg-Id": str(row.event_id)}
        try:
            await client.jetstream().publish(
                row.subject,
                row.body,
                timeout=self._publish_timeout_s,
                stream=self._stream,
                headers=headers,
            )
        except nats.js.errors.NoStreamResponseError:
            self._problem = f"there is no stream for {row.subject}"
            raise PublishError(self._problem) from None
        except _FAILURES as error:
            raise PublishError(f"{type(error).__name__}: {error}") from error

    async def ensure_stream(self) -> None:
        """Create or check the stream; what is wrong with it shows in `state`."""
        if self._client is None:
            return
        context = self._client.jetstream(timeout=self._publish_timeout_s)
        try:
            info = await context.stream_info(self._stream)
        except nats.js.errors.NotFoundError:
            self._problem = f"the stream {self._stream} does not exist"
            if self._create_stream:
                await context.add_stream(_stream_config(self._stream))
                self._problem = None
                _log.info("stream_created", stream=self._stream)
            return
        self._problem = _mismatch(info.config)

    async def _connected(self) -> None:
        """One connection, from its start until it is closed."""
        closed = asyncio.Event()

        async def on_closed() -> None:
            closed.set()

        async def on_error(error: Exception) -> None:
            # A denied publish is told here only; the publish itself just times out.
            _log.warning("nats_error", error=str(error) or type(error).__name__)

        client = await nats.connect(
            self._servers,
            name="payd",
            connect_timeout=max(1, round(self._connect_timeout_s)),
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            ping_interval=10,
            max_outstanding_pings=2,
            pending_size=0,
            inbox_prefix=f"_INBOX_payd.{secrets.token_hex(4)}".encode(),
            closed_cb=on_closed,
            error_cb=on_error,
        )
        self._client = client
        try:
            await self._watch(client, closed)
        finally:
            self._client = None
            await client.close()

    async def _watch(self, client: Client, closed: asyncio.Event) -> None:
        while not closed.is_set():
            if client.is_connected:
                try:
                    await self.ensure_stream()
                except _FAILURES as error:
                    self._problem = f"the stream cannot be read: {type(error).__name__}: {error}"
            try:
                await asyncio.wait_for(closed.wait(), _CHECK_S)
            except TimeoutError:
                continue


def _stream_config(name: str) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=SUBJECTS,
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=1,
        max_age=_MAX_AGE_S,
        max_bytes=_MAX_BYTES,
        # Full means an error that the outbox survives; OLD would delete unread events.
        discard=DiscardPolicy.NEW,
        max_msg_size=MESSAGE_BYTES_MAX,
        duplicate_window=_DUPLICATE_WINDOW_S,
        deny_delete=True,
        allow_direct=True,
    )


def _mismatch(config: Any) -> str | None:
    """What in an existing stream could lose an event; None when nothing."""
    wrong = []
    if not set(SUBJECTS) <= set(config.subjects or ()):
        wrong.append(f"subjects are {config.subjects}, not {SUBJECTS}")
    if config.retention != RetentionPolicy.LIMITS:
        wrong.append(f"retention is {config.retention}, not limits")
    if config.discard != DiscardPolicy.NEW:
        wrong.append("discard is not new: a full stream would delete unread events")
    if config.storage != StorageType.FILE:
        wrong.append("storage is not file")
    return "; ".join(wrong) or None
