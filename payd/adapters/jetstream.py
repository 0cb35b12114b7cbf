"""Publisher on JetStream: a connection that never gives up, and acks that are waited for.

nats-py by default closes for ever after some attempts, and delivers after it said that it
failed. Here it reconnects without end, buffers nothing while it is away, and is built anew when
it closed or hangs all the same. A publish is acknowledged or PublishError, nothing between.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import attrs
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from payd.ports import OutboxRow, PublishError
from payd.telemetry import get_logger, register_secret

_log = get_logger(__name__)

SUBJECTS = ["payment.>"]
#: A payment of 100 items with the largest metadata, and room for what providers add.
MESSAGE_BYTES_MAX = 262_144
#: How long the server must know an event's id: a lost ack is repeated after the outbox's lease.
DUPLICATE_WINDOW_MIN_S = 120

_MAX_AGE_S = 30 * 24 * 3600
#: Only for streams that payd creates: the server sets it aside, so a laptop must have it.
_MAX_BYTES = 1024**3
_DUPLICATE_WINDOW_S = 3600
_RETRY_S = 1.0
#: How often the stream is looked at while connected.
_CHECK_S = 5.0
#: A client that reconnects for longer is thrown away: one whose reconnecting task died never ends.
_HANGING_S = 30.0
_CLOSE_S = 2.0
#: ValueError and KeyError: who answered is no stream.
_FAILURES = (
    nats.errors.Error,
    nats.js.errors.Error,
    OSError,
    EOFError,
    TimeoutError,
    ValueError,
    KeyError,
)


@attrs.frozen(kw_only=True)
class StreamState:
    """For readiness."""

    connected: bool
    #: Why the stream cannot be published to; None when it can, or nothing is known.
    problem: str | None
    #: What the server or the connection said last that was no ack; it may be over.
    last_error: str | None = None


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
        #: Set once the stream was looked at over this client: its first request prepares the rest.
        self._context: JetStreamContext | None = None
        self._client: Client | None = None
        self._problem: str | None = None
        self._last_error: str | None = None
        #: How often something was heard; and whether it goes without saying again.
        self._errors_heard = 0
        self._told: str | None = None
        self._look_now = asyncio.Event()
        for secret in _secrets_of(servers):
            register_secret(secret)

    def state(self) -> StreamState:
        """As it stands now."""
        client = self._client
        connected = self._context is not None and client is not None and client.is_connected
        return StreamState(connected=connected, problem=self._problem, last_error=self._last_error)

    async def publish(self, row: OutboxRow) -> None:
        """See the port."""
        context = self._context
        if context is None or not self.state().connected:
            raise PublishError("not connected to NATS")
        heard_before = self._errors_heard
        try:
            await context.publish(
                row.subject,
                row.body,
                timeout=self._publish_timeout_s,
                stream=self._stream,
                headers={**row.headers, "Nats-Msg-Id": str(row.event_id)},
            )
        except nats.js.errors.NoStreamResponseError:
            self._tell_problem(f"no stream takes {row.subject}")
            self._look_now.set()
            raise PublishError(f"no stream takes {row.subject}") from None
        except _FAILURES as error:
            self._refuse(error, heard_before)

    async def run(self) -> None:
        """Connect, watch the stream, connect again; until cancelled."""
        while True:
            try:
                await self._live()
            except _FAILURES as error:
                self._note(error)
            await asyncio.sleep(_RETRY_S)

    async def ensure_stream(self) -> None:
        """Create or check the stream; what is wrong with it shows in `state`.

        Raises what nats-py raises when there is no answer.
        """
        if self._client is not None:
            await self._ensure_stream(self._client.jetstream(timeout=self._publish_timeout_s))

    async def _ensure_stream(self, context: JetStreamContext) -> None:
        try:
            info = await context.stream_info(self._stream)
        except nats.js.errors.NotFoundError:
            if not self._create_stream:
                self._tell_problem(f"the stream {self._stream} does not exist")
                return
            info = await context.add_stream(_stream_config(self._stream))
            _log.info("stream_created", stream=self._stream)
        self._tell_problem(_mismatch(info.config))

    # -- one connection ----------------------------------------------------------------------

    async def _live(self) -> None:
        """One client, from its connecting until it is closed or hangs."""
        client = self._client = Client()
        closed = asyncio.Event()

        async def on_closed() -> None:
            if client.last_error is not None:
                self._note(client.last_error)
            closed.set()
            self._look_now.set()

        async def on_reconnected() -> None:
            _log.info("nats_reconnected")
            self._told = None
            self._look_now.set()

        async def on_disconnected() -> None:
            if not client.is_closed:
                _log.warning("nats_disconnected")

        async def on_error(error: Exception) -> None:
            # A denied publish is told here only; the publish itself just times out.
            self._note(error)

        try:
            await client.connect(
                self._servers,
                name="payd",
                connect_timeout=max(1, round(self._connect_timeout_s)),
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                # The default notices a dead peer after four minutes.
                ping_interval=10,
                max_outstanding_pings=2,
                pending_size=0,
                inbox_prefix=f"_INBOX_payd.{secrets.token_hex(4)}".encode(),
                closed_cb=on_closed,
                reconnected_cb=on_reconnected,
                disconnected_cb=on_disconnected,
                error_cb=on_error,
            )
            _log.info("nats_connected")
            self._told = None
            await self._watch(client, closed)
        finally:
            self._client = self._context = None
            await _close(client)

    async def _watch(self, client: Client, closed: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        context = client.jetstream(timeout=self._publish_timeout_s)
        seen_connected = loop.time()
        while not closed.is_set() and loop.time() - seen_connected < _HANGING_S:
            self._look_now.clear()
            if client.is_connected:
                seen_connected = loop.time()
                await self._look(context)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), _CHECK_S)
            if self._problem is not None:
                # A stream that cannot be created makes every publish ask for another look.
                await asyncio.sleep(_RETRY_S)

    async def _look(self, context: JetStreamContext) -> None:
        try:
            await self._ensure_stream(context)
        except _FAILURES as error:
            self._tell_problem(f"the stream {self._stream} cannot be read: {_describe(error)}")
        self._context = context

    # -- what is told ------------------------------------------------------------------------

    def _refuse(self, error: BaseException, heard_before: int) -> NoReturn:
        """A time-out's real reason, a denied subject say, comes by another way."""
        said = _describe(error)
        if isinstance(error, nats.errors.TimeoutError):
            said = f"no ack within {self._publish_timeout_s:g} s"
            if self._errors_heard > heard_before:
                said += f"; heard meanwhile: {self._last_error}"
        raise PublishError(said) from error

    def _note(self, error: BaseException) -> None:
        """Each attempt of a day without NATS fails alike: it is told once."""
        said = self._last_error = _describe(error)
        self._errors_heard += 1
        if said != self._told:
            _log.warning("nats_error", error=said)
        self._told = said

    def _tell_problem(self, problem: str | None) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        if problem is None:
            _log.info("stream_ready", stream=self._stream)
        else:
            _log.error("stream_unusable", stream=self._stream, problem=problem)


async def _close(client: Client) -> None:
    """Nothing waits in it to be sent: every publish is awaited by its caller."""
    with contextlib.suppress(*_FAILURES):
        await asyncio.wait_for(client.close(), _CLOSE_S)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _secrets_of(servers: Sequence[str]) -> Iterator[str]:
    """A URL's password; or what stands alone in its place, a token."""
    for server in servers:
        url = urlsplit(server)
        secret = url.password if url.password is not None else url.username
        if secret:
            yield from (secret, unquote(secret))


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
        allow_direct=True,
    )


def _mismatch(config: Any) -> str | None:
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
