"""HTTP/2 of one connection: frames in small turns, deadlines, and an end that cuts no call.

This is grpclib's protocol, fed a few frames at a time, so that a flood on one connection delays no
other. A connection is cut when its peer exceeds its budget, and asked to leave when it is idle or
old.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from grpclib.config import Configuration
from grpclib.protocol import Connection, EventsProcessor, H2Protocol
from grpclib.server import Handler
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import Event, RemoteSettingsChanged, RequestReceived
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from payd.transport.grpc.cork import CorkedTransport
from payd.transport.grpc.frames import Cut, Frames
from payd.transport.grpc.header_blocks import BlockDecoder
from payd.transport.grpc.limits import ConnectionLimits, OnCut
from payd.transport.grpc.unary import UnaryStream

_log = structlog.get_logger(__name__)

#: For calls that a client sends before it receives our GOAWAY.
_GOODBYE_S = 1.0
#: For calls under way on an old connection; a health watch never ends.
_LEAVE_S = 30.0
#: The head of a frame that resets a stream. What HTTP/2 answers by itself has no payload.
_RESET_HEAD = b"\x00\x00\x04\x03\x00"
#: The largest stream: what was sent before our GOAWAY arrives is still served.
_ANY_STREAM = 2**31 - 1
_AGE_JITTER = 0.1


class ClientHandler(Handler):
    """Runs the calls of one connection."""

    #: CN of the client's verified certificate.
    common_name: str = ""
    #: Largest message of a unary call.
    message_bytes_max: int

    def unary_fields(self, headers: Sequence[tuple[str, str]]) -> Mapping[str, str] | None:
        """Return the headers of a call that gets a UnaryStream, by name; None for another one."""
        raise NotImplementedError

    def start(
        self, stream: UnaryStream, fields: Mapping[str, str], release: Callable[[], Any]
    ) -> None:
        """Start the task that answers such a call."""
        raise NotImplementedError

    @property
    def is_done(self) -> bool:
        """Whether its connection and all of its calls have ended."""
        return bool(self.closing and self.check_closed())


class BoundedH2(H2Connection):
    """Remembers few of the calls that have ended.

    h2 keeps how each stream was closed, to judge frames that come late: 65,536 of them, which is
    8 MiB for a connection that lives long enough.
    """

    MAX_CLOSED_STREAMS = 1024


class Http2(H2Protocol):
    """One connection, from the end of its TLS handshake."""

    handler: ClientHandler

    def __init__(
        self,
        handler: ClientHandler,
        config: Configuration,
        h2_config: H2Configuration,
        admit: Callable[["Http2", asyncio.Transport], None],
    ) -> None:
        """`admit` is called when TLS has begun: it calls `enter`, or cuts the connection."""
        super().__init__(handler, config, h2_config)
        self._loop = asyncio.get_running_loop()
        self._admit = admit
        #: None until it is admitted.
        self._frames: Frames | None = None
        self._is_working = False
        self._is_leaving = False
        self._has_ended = False
        self._busy_time = self._loop.time()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: Any) -> None:
        """Ask for admission."""
        self._admit(self, transport)

    def enter(
        self,
        transport: asyncio.Transport,
        common_name: str,
        limits: ConnectionLimits,
        on_cut: OnCut,
        on_end: Callable[["Http2"], None],
    ) -> None:
        """Begin HTTP/2 on an admitted connection."""
        self._limits, self._on_cut, self._on_end = limits, on_cut, on_end
        self._corked = CorkedTransport(transport)
        self.handler.common_name = common_name
        self._begin_http2()
        self._frames = Frames(max_resets=limits.resets, clock=self._loop.time)
        self._set_timer("preface", limits.preface_timeout_s, self._cut_as("preface"))
        self._set_timer("idle", limits.idle_timeout_s, self._look_for_idleness)
        age_s = limits.age_s * (1 - _AGE_JITTER * random.random())  # noqa: S311 - jitter, no secret
        self._set_timer("age", age_s, lambda: self.leave("age"))

    def _begin_http2(self) -> None:
        """Do what grpclib's `connection_made` does, with an HTTP/2 state that we keep.

        The limit of headers holds at once, not when the peer has agreed to it.
        """
        corked: Any = self._corked
        config, header_bytes = self.config, self._limits.header_bytes
        self._h2 = BoundedH2(config=self.h2_config)
        self._h2.initiate_connection()
        initial = self._h2.local_settings.initial_window_size
        self._h2.increment_flow_control_window(config.http2_connection_window_size - initial)
        self._h2.update_settings(
            {
                SettingCodes.INITIAL_WINDOW_SIZE: config.http2_stream_window_size,
                SettingCodes.MAX_HEADER_LIST_SIZE: header_bytes,
                SettingCodes.MAX_CONCURRENT_STREAMS: self._limits.streams,
            }
        )
        self._h2.decoder = BlockDecoder(max_header_list_size=header_bytes)
        self.connection = Connection(self._h2, corked, config=config)
        self.connection.flush()
        self.connection.initialize()
        self.processor = EventsProcessor(self.handler, self.connection)
        processors: Any = _Processors(self.processor.processors)
        self.processor.processors = processors
        self.processor.processors[RemoteSettingsChanged] = self._settings_came
        self.processor.processors[RequestReceived] = self._request_came

    def data_received(self, data: bytes) -> None:
        """Take the frames in, unless the connection was refused."""
        if self._frames is None:
            return
        self._frames.add(data)
        if not self._is_working:
            self._work()

    def pause_writing(self) -> None:
        """Cut a peer that does not read what it is sent."""
        super().pause_writing()
        self._set_timer("stalled", self._limits.stalled_timeout_s, self._cut_as("stalled"))

    def resume_writing(self) -> None:
        """The peer reads again."""
        super().resume_writing()
        self._drop_timer("stalled")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end; called once, by asyncio."""
        self._has_ended = True
        for name in list(self._timers):
            self._drop_timer(name)
        if self._frames is None:
            self.handler.close()
        else:
            super().connection_lost(exc)
            self._on_end(self)

    # -- its end -----------------------------------------------------------------------------

    def cut(self, reason: str) -> None:
        """End it now, with a GOAWAY frame for a peer that reads."""
        if self._has_ended:
            return
        self._on_cut(reason)
        _log.warning("connection_cut", reason=reason, common_name=self.handler.common_name)
        self._say_goodbye(ErrorCodes.ENHANCE_YOUR_CALM)
        self._has_ended = True
        self.processor.close(f"cut: {reason}")
        self._corked.abort()

    def leave(self, reason: str) -> None:
        """Ask the client to connect again, serve what is under way, then end."""
        if self._is_leaving or self._has_ended:
            return
        self._is_leaving = True
        self._on_cut(reason)
        self._say_goodbye(ErrorCodes.NO_ERROR)
        self._set_timer("leave", _LEAVE_S, self.say_goodbye)
        self._set_timer("goodbye", _GOODBYE_S, self._end_when_empty)

    def say_goodbye(self) -> None:
        """Send GOAWAY and end; does nothing when the connection never began, or has ended."""
        connection = getattr(self, "connection", None)
        if connection is None or connection.is_closing():
            return
        self._h2.close_connection()
        connection.flush()
        self.processor.close("Server closed")

    def _end_when_empty(self) -> None:
        if self.processor.streams:
            self._set_timer("goodbye", _GOODBYE_S, self._end_when_empty)
        else:
            self.say_goodbye()

    def _say_goodbye(self, code: ErrorCodes) -> None:
        """Write GOAWAY past the HTTP/2 state, which would refuse all further calls after it."""
        if not self.connection.is_closing():
            self.connection.flush()
            frame = GoAwayFrame(0, last_stream_id=_ANY_STREAM, error_code=code)
            self._corked.write(frame.serialize())
            self._corked.flush()

    # -- what comes in -----------------------------------------------------------------------

    def _work(self) -> None:
        """Process the frames of one turn; the rest in the next, after other connections."""
        self._is_working = False
        if self._has_ended or self._frames is None or self.connection.is_closing():
            return
        try:
            self._feed(self._frames.take(self.processor.streams))
            is_more = self._frames.is_waiting
        except Cut as cut:
            self.cut(cut.reason)
            return
        if self.connection.is_closing():
            return
        if is_more:
            self._is_working = True
            self._corked.pause_reading()
            self._loop.call_soon(self._work)
        else:
            self._corked.resume_reading()

    def _feed(self, data: bytes) -> None:
        """Raises Cut."""
        if not data:
            return
        try:
            events = self.connection.feed(data)
        except ProtocolError:
            raise Cut("protocol") from None
        for event in events:
            self.processor.process(event)
        if self.processor.streams:
            self._busy_time = self._loop.time()
        if answers := self._h2.data_to_send() if not self.connection.is_closing() else b"":
            self._corked.write(answers)
            if resets := answers.count(_RESET_HEAD):
                self._frames_or_fail().sent_reset(resets)

    def _frames_or_fail(self) -> Frames:
        assert self._frames is not None  # noqa: S101 - set by enter
        return self._frames

    def _settings_came(self, event: Any) -> None:
        self._drop_timer("preface")
        self.processor.process_remote_settings_changed(event)

    def _request_came(self, event: Any) -> None:
        fields = self.handler.unary_fields(event.headers)
        if fields is None:
            self.processor.process_request_received(event)
            return
        stream = UnaryStream(self.connection, event.stream_id, self.handler.message_bytes_max)
        self.handler.start(stream, fields, self.processor.register(stream))

    # -- time --------------------------------------------------------------------------------

    def _look_for_idleness(self) -> None:
        now, idle_s = self._loop.time(), self._limits.idle_timeout_s
        if self.processor.streams:
            self._busy_time = now
        if now >= self._busy_time + idle_s:
            self.leave("idle")
        else:
            self._set_timer("idle", self._busy_time + idle_s - now, self._look_for_idleness)

    def _cut_as(self, reason: str) -> Callable[[], None]:
        return lambda: self.cut(reason)

    def _set_timer(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        self._drop_timer(name)
        self._timers[name] = self._loop.call_later(seconds, then)

    def _drop_timer(self, name: str) -> None:
        if handle := self._timers.pop(name, None):
            handle.cancel()


class _Processors(dict[Any, Any]):
    """grpclib's table of event processors; an event that it does not know is ignored."""

    def __missing__(self, kind: type[Event]) -> Callable[[Any], None]:
        return _pass_over


def _pass_over(event: Event) -> None:
    """Ignore a frame of an unknown type, as the standard demands."""
