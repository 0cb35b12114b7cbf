"""HTTP/1.1 connections with limits: how many, how many bytes of one request, for how long.

This uses Hypercorn's protocol, not its server, which reads on while a body is refused, waits
without end for a peer that does not read, and changes to HTTP/2 and WebSockets on request.
"""

import contextlib

import attrs
import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from payd.telemetry import get_logger

_log = get_logger(__name__)

_READ_BYTES = 64 * 1024
#: Bytes of a request beside its body: its head, and the framing of its chunks.
_OVERHEAD_BYTES = 128 * 1024
#: For an answer that the client does not read: as long as the server waits when it stops.
_SEND_TIMEOUT_S = 3.0
#: Drain a refused client that still sends, as a proxy does: a reset would lose our answer.
_LINGER_TIMEOUT_S = 1.0
_LINGER_BYTES = 256 * 1024
#: For notifying an application that its client is gone.
_NOTIFY_TIMEOUT_S = 1.0

_EVENTS = b"text/event-stream"

_GONE = (
    trio.BrokenResourceError,
    trio.BusyResourceError,
    trio.ClosedResourceError,
    OSError,
    h11.ProtocolError,
)
#: What a defect of Hypercorn's protocol may raise on unexpected bytes.
_DEFECTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@attrs.frozen(kw_only=True)
class HttpLimits:
    """Limits of one port, which anyone may reach."""

    max_connections: int = 512
    #: Size of a request's body. A little more is read, for its head; then nothing.
    max_request_bytes: int = 256 * 1024
    #: From a request's head to the end of its answer; then it is cut, with a 500 if it can be.
    request_timeout_s: float = 15.0
    #: The same for an answer of server-sent events, which waits for something to happen.
    stream_timeout_s: float = 40.0


@attrs.frozen(kw_only=True)
class Service:
    """What all connections of a port share."""

    app: AppWrapper
    config: Config
    context: WorkerContext
    limits: HttpLimits


class Connections:
    """The connections of one port: a new one replaces an idle one when the port is full."""

    def __init__(self, service: Service) -> None:
        self._service = service
        #: The oldest first.
        self._open: dict[_Connection, None] = {}

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end. Closes the stream."""
        if not self._make_room():
            await trio.aclose_forcefully(stream)
            return
        connection = _Connection(self._service, stream)
        self._open[connection] = None
        try:
            await connection.run()
        finally:
            self._open.pop(connection, None)
            await trio.aclose_forcefully(stream)

    def close_idle(self) -> None:
        """End idle connections; the others end after their answer."""
        for connection in self._open:
            if connection.is_idle:
                connection.scope.cancel()

    def _make_room(self) -> bool:
        if len(self._open) < self._service.limits.max_connections:
            return True
        idle = [connection for connection in self._open if connection.is_idle]
        if not idle:
            return False
        evicted = min(idle, key=lambda connection: connection.claim)
        del self._open[evicted]
        evicted.scope.cancel()
        return True


class _Connection:
    """One connection: request after request, each within its limits of time and size."""

    def __init__(self, service: Service, stream: trio.SocketStream) -> None:
        self._service = service
        self._stream = stream
        self._send_lock = trio.Lock()
        self._read_lock = trio.Lock()
        self._reading = trio.CancelScope()
        #: Bytes of the request that is being read.
        self._received = 0
        self._has_requested = False
        self.scope = trio.CancelScope()
        #: No request is under way.
        self.is_idle = True

    @property
    def claim(self) -> tuple[bool, bool]:
        """Rank among idle connections: has begun a request, has made one. The lowest is evicted."""
        return self._received > 0, self._has_requested

    async def run(self) -> None:
        """Serve until either side closes."""
        try:
            with self.scope:
                self._turn(is_idle=True)
                await self._converse()
        except* _GONE:
            pass
        except* _DEFECTS as errors:
            # Unexpected bytes end their own connection, not the daemon.
            _log.error("http_connection_failed", exc_info=errors)

    async def _converse(self) -> None:
        service, socket = self._service, self._stream.socket
        async with TaskGroup() as applications:
            self._protocol = _Http11(
                service.app,
                service.config,
                service.context,
                applications,
                ConnectionState({}),
                False,
                parse_socket_addr(socket.family, socket.getpeername()),
                parse_socket_addr(socket.family, socket.getsockname()),
                self._handle,
            )
            with self._reading:
                while data := await self._read():
                    await self._protocol.handle(RawData(data))
                # Half a request ends in a refusal.
                await self._protocol.handle(RawData(b""))
            await self._notify_closed()

    async def _read(self) -> bytes:
        """Return received bytes, b"" at the end. Past the limit it waits for the deadline."""
        left = self._service.limits.max_request_bytes + _OVERHEAD_BYTES - self._received
        if left <= 0:
            await trio.sleep_forever()
        try:
            async with self._read_lock:
                data = bytes(await self._stream.receive_some(min(_READ_BYTES, left)))
        except _GONE:
            return b""
        self._received += len(data)
        return data

    async def _handle(self, event: Event) -> None:
        """Do what the protocol asks for."""
        if isinstance(event, RawData):
            if data := self._protocol.take_head() + event.data:
                await self._send(data)
            if self._protocol.is_stream:
                self._protocol.is_stream = False
                patience = self._service.limits.stream_timeout_s
                self.scope.deadline = trio.current_time() + patience
        elif isinstance(event, Closed):
            self._reading.cancel()
            await self._close()
            await self._notify_closed()
        elif isinstance(event, Updated):
            self._turn(is_idle=event.idle)

    def _turn(self, *, is_idle: bool) -> None:
        """Set the deadline when a request's head has arrived, or its answer was sent."""
        self.is_idle = is_idle
        if is_idle:
            self._received = 0
        else:
            self._has_requested = True
        patience = self._service.limits.request_timeout_s
        if is_idle:
            patience = self._service.config.keep_alive_timeout
        self.scope.deadline = trio.current_time() + patience
        if is_idle and self._service.context.terminated.is_set():
            self.scope.cancel()

    async def _send(self, data: bytes) -> None:
        """Send all of it: sending continues for its time when the connection is cancelled."""
        is_sent = False
        with contextlib.suppress(*_GONE), trio.move_on_after(_SEND_TIMEOUT_S, shield=True):
            async with self._send_lock:
                await self._stream.send_all(data)
            is_sent = True
        if not is_sent:
            self.scope.cancel()
            await trio.aclose_forcefully(self._stream)
            await self._notify_closed()

    async def _close(self) -> None:
        with contextlib.suppress(*_GONE), trio.move_on_after(_SEND_TIMEOUT_S, shield=True):
            async with self._send_lock:
                await self._stream.send_eof()
            await self._linger()
        await trio.aclose_forcefully(self._stream)

    async def _linger(self) -> None:
        """Read a limited amount of what is still being sent, and drop it."""
        left = _LINGER_BYTES
        with trio.move_on_after(_LINGER_TIMEOUT_S):
            async with self._read_lock:
                while left > 0 and (data := await self._stream.receive_some(_READ_BYTES)):
                    left -= len(data)

    async def _notify_closed(self) -> None:
        """Notify the application, even while everything is being cancelled."""
        with trio.move_on_after(_NOTIFY_TIMEOUT_S, shield=True):
            await self._protocol.handle(Closed())


class _Http11(H11Protocol):
    """HTTP/1.1 only: a request for another protocol is ignored. A short answer is one write."""

    #: The head of an answer, until the next part of it is sent.
    _head = b""
    #: An answer of server-sent events has begun.
    is_stream = False

    def take_head(self) -> bytes:
        """Return the head that has to be sent before anything else; empty if it was sent."""
        head, self._head = self._head, b""
        return head

    async def _send_h11_event(self, event: h11.Event) -> None:
        if not isinstance(event, h11.Response):
            await super()._send_h11_event(event)  # type: ignore[arg-type]
            return
        if self._ends_after_answer() and (b"connection", b"close") not in event.headers:
            headers = [*event.headers, (b"connection", b"close")]
            event = h11.Response(headers=headers, status_code=event.status_code)
        try:
            self._head = self.connection.send(event) or b""
            self.is_stream = (b"content-type", _EVENTS) in event.headers
        except h11.LocalProtocolError:
            # As Hypercorn does: the client has broken the protocol, and gets no more answers.
            if self.connection.their_state is not h11.ERROR:
                raise

    def _ends_after_answer(self) -> bool:
        """Whether the answer must say that its connection ends.

        It does when we stop, and when it comes before the end of its request, whose rest
        would be read as the next request (RFC 9112, 9.6).
        """
        return self.context.terminated.is_set() or self.connection.their_state is h11.SEND_BODY

    async def _create_stream(self, request: h11.Request) -> None:
        if not request.target.startswith((b"/", b"*")):
            # The absolute form, for proxies: Quart fails on some, and none is meant for us.
            await self._send_error_response(400)
            await self.send(Closed())
            return
        if any(name == b"upgrade" for name, _ in request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=[one for one in request.headers if one[0] != b"upgrade"],
                http_version=request.http_version,
            )
        await super()._create_stream(request)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Change to no other protocol."""
