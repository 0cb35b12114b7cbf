"""The gRPC server: its services, its connections, and how it stops.

grpclib on the asyncio loop. Requests that grpclib would leave unanswered, or answer with UNKNOWN,
get an answer of ours. Stopping: health reports it first, then no new call is accepted, calls under
way end, and only then connections are closed.
"""

import asyncio
import re
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import chain
from secrets import token_hex
from typing import Any

import attrs
import structlog
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.const import Handler as MethodHandler
from grpclib.encoding.proto import ProtoCodec, ProtoStatusDetailsCodec
from grpclib.events import SendTrailingMetadata, listen
from grpclib.exceptions import GRPCError
from grpclib.health.check import ServiceStatus
from grpclib.health.service import Health
from grpclib.metadata import decode_timeout
from grpclib.reflection.service import ServerReflection
from grpclib.server import Server
from h2.config import H2Configuration

from payd.domain.errors import InvalidField
from payd.telemetry.tracing import Tracer
from payd.transport.grpc.call import OnRpc, UnaryCall
from payd.transport.grpc.callers import Clients
from payd.transport.grpc.calls import Calls, Limits, WaitOf
from payd.transport.grpc.connections import Connections
from payd.transport.grpc.handlers import SERVICE, Handlers, Services
from payd.transport.grpc.http2 import ClientHandler, Http2
from payd.transport.grpc.limits import ConnectionLimits, OnCut
from payd.transport.grpc.one_call import Method
from payd.transport.grpc.received import RECEIVED, Received
from payd.transport.grpc.tls import Tls
from payd.transport.grpc.unary import UnaryStream
from payd.transport.grpc.watch import WatchCalls
from payd.transport.problems import grpc_error, protocol_error

_log = structlog.get_logger(__name__)

#: What a client may send before it is read: all calls of a connection together, and one call.
_CONNECTION_WINDOW = 1024 * 1024
_STREAM_WINDOW = 256 * 1024
#: Seconds for clients to read GOAWAY and to connect to another daemon on a shared port.
_LEAVE_S = 1.0
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
#: The protocol allows eight digits; more would overflow a timer.
_TIMEOUT = re.compile(r"[0-9]{1,8}[HMSmun]")
#: Latin-1 decodes any byte: `_refusal` answers what is not ASCII, where a decoding error would cut
#: the connection and every call on it.
_H2_CONFIG = H2Configuration(
    client_side=False,
    header_encoding="latin-1",
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)


@attrs.frozen(kw_only=True)
class GrpcSettings:
    """Where the gRPC server listens, and its limits."""

    host: str
    port: int
    limits: Limits
    connections: ConnectionLimits = attrs.field(factory=ConnectionLimits)
    #: Other daemons may listen on the same port.
    shares_port: bool = False


class GrpcServer:
    """The gRPC server. Runs on asyncio: every coroutine is awaited there."""

    def __init__(
        self,
        settings: GrpcSettings,
        tls: Tls,
        services: Services,
        clients: Callable[[], Clients],
        on_rpc: OnRpc,
        on_cut: OnCut = lambda reason: None,
        wait_of: WaitOf | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._on_cut = on_cut
        self._calls = Calls(settings.limits, clients, on_rpc, wait_of, tracer)
        self._watches = WatchCalls(services.watch, services.message, self._calls)
        self._services = services
        self._serving = ServiceStatus()
        self._serving.set(False)
        self._connections: Connections | None = None
        #: Those of ended connections stay until their calls have ended, too.
        self._handlers: set[ClientHandler] = set()

    async def start(self) -> int:
        """Listen; return the port. Raises OSError when it cannot be bound."""
        # grpclib serves no socket here: its server only carries the listeners of events.
        events = Server([])
        listen(events, SendTrailingMetadata, _echo_request_id)
        # A call's message may wait to be read, but not much more.
        config = Configuration(
            http2_connection_window_size=_CONNECTION_WINDOW,
            http2_stream_window_size=_STREAM_WINDOW,
        ).__for_server__()
        mapping, methods = self._mapping(), Handlers(self._services).methods()
        codecs = ProtoCodec(), ProtoStatusDetailsCodec()

        def new_connection() -> Http2:
            handler = _ClientHandler(mapping, *codecs, events.__dispatch__)
            handler.serve(methods, self._calls, self._settings.limits.max_message_bytes)
            return Http2(handler, config, _H2_CONFIG, admit)

        def admit(connection: Http2, transport: asyncio.Transport) -> None:
            self._handlers = {one for one in self._handlers if not one.is_done}
            self._handlers.add(connection.handler)
            connections.admit(connection, transport)

        connections = Connections(
            self._settings.connections, self._tls, new_connection, self._on_cut
        )
        settings = self._settings
        port = await connections.listen(settings.host, settings.port, shared=settings.shares_port)
        self._connections = connections
        return port

    def _mapping(self) -> dict[str, MethodHandler]:
        health = Health({_Named(SERVICE): [self._serving]})
        mapping: dict[str, MethodHandler] = {}
        for path, handler in health.__mapping__().items():
            mapping[path] = self._calls.guarded(handler, open_to_all=True)
        for service in ServerReflection.extend([_Named(SERVICE), health])[2:]:
            for path, handler in service.__mapping__().items():
                mapping[path] = self._calls.guarded(handler, open_to_all=False)
        mapping[f"/{SERVICE}/WatchPayment"] = self._watches.handler()
        return mapping | {name: _refuser(refusal) for name, refusal in _REFUSALS.items()}

    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._connections.inside()) if self._connections else 0

    def set_serving(self, serving: bool) -> None:
        """Set what health answers from now on."""
        self._serving.set(serving)

    def in_flight(self) -> int:
        """Return how many calls are under way."""
        return self._calls.in_flight()

    async def stop(self, timeout_s: float) -> None:
        """Drain, then close. Works before the start, and repeatedly."""
        self.set_serving(False)
        connections, self._connections = self._connections, None
        if connections is None:
            return
        connections.stop_listening()
        if self._settings.shares_port:
            await _send_elsewhere(connections)
        await self._watches.end()
        if left := await self._calls.drain(timeout_s):
            _log.warning("drain_timed_out", calls_left=left)
        for handler in self._handlers:
            handler.close()
        connections.close()
        for connection in connections.inside():
            connection.say_goodbye()
        await asyncio.gather(*(handler.wait_closed() for handler in self._handlers))


async def _send_elsewhere(connections: Connections) -> None:
    """Make clients connect again, to another daemon on this port, before calls are refused.

    A call that was sent before the client read our GOAWAY is served. The second round is for
    connections that were in their TLS handshake during the first.
    """
    for _ in range(2):
        for connection in connections.inside():
            connection.leave("stopping")
        await asyncio.sleep(_LEAVE_S / 2)


async def _echo_request_id(event: SendTrailingMetadata) -> None:
    event.metadata["x-request-id"] = RECEIVED.get().request_id


class _Named:
    """Represents a service whose handlers are mapped elsewhere, for health and reflection."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __mapping__(self) -> dict[str, MethodHandler]:
        return {f"/{self._name}/": None}  # type: ignore[dict-item]  # only the path is read


class _ClientHandler(ClientHandler):
    """Starts the calls of one connection; answers headers that gRPC does not allow."""

    def serve(self, methods: Mapping[str, Method], calls: Calls, message_bytes_max: int) -> None:
        """Take the methods of our service; grpclib's mapping has those of the others."""
        self._methods = methods
        self._paths = {*self.mapping, *methods}
        self._calls = calls
        self.message_bytes_max = message_bytes_max
        self._unary: dict[UnaryStream, UnaryCall] = {}

    def unary_fields(self, headers: Sequence[tuple[str, str]]) -> Mapping[str, str] | None:
        """Return the headers by name if they are those of a valid call of our service."""
        fields = _fields(headers)
        is_unary = (
            fields.get(":path") in self._methods
            and fields.get(":method") == "POST"
            and fields.get("te") == "trailers"
            and fields.get("content-type") in _CONTENT_TYPES
            and _refusal(headers, fields, self._methods) is None
        )
        return fields if is_unary else None

    def start(
        self, stream: UnaryStream, fields: Mapping[str, str], release: Callable[[], Any]
    ) -> None:
        """Start the task that answers a call of our service."""
        timeout = fields.get("grpc-timeout")
        received = self._received(stream, fields, decode_timeout(timeout) if timeout else None)
        method = self._methods[fields[":path"]]
        self._unary[stream] = call = self._calls.start(stream, release, received, method)
        call.task.add_done_callback(lambda _task: self._unary.pop(stream, None))

    def accept(
        self, stream: Any, headers: list[tuple[str, str]], release_stream: Callable[[], Any]
    ) -> None:
        """Let grpclib start the task that answers a call of another service, or refuses one."""
        fields = _fields(headers)
        RECEIVED.set(self._received(stream, fields))
        refusal = _refusal(headers, fields, self._paths)
        if refusal is not None:
            headers = [*_ANY_CALL, (":path", refusal)]
        # grpclib gives no answer to a binary value that it cannot decode.
        textual = [(name, value) for name, value in headers if not name.endswith("-bin")]
        super().accept(stream, textual, release_stream)

    def _received(
        self, stream: Any, fields: Mapping[str, str], timeout_s: float | None = None
    ) -> Received:
        given = fields.get("x-request-id", "")
        return Received(
            stream=stream,
            common_name=self.common_name,
            request_id=given if _REQUEST_ID.fullmatch(given) else token_hex(16),
            fields=fields,
            timeout_s=timeout_s,
        )

    def cancel(self, stream: Any) -> None:
        """Note that the client has reset a stream."""
        if isinstance(stream, UnaryStream):
            self._leave(self._unary.get(stream))
        else:
            super().cancel(stream)

    def close(self) -> None:
        """Note that the connection has ended."""
        for call in list(self._unary.values()):
            self._leave(call)
        super().close()

    def _leave(self, call: UnaryCall | None) -> None:
        if call is not None and call.leave():
            # Its end is waited for at the server's stop.
            self._cancelled.add(call.task)


_CONTENT_TYPES = ("application/grpc", "application/grpc+proto")
#: Headers of a call that grpclib starts.
_ANY_CALL = [(":method", "POST"), ("content-type", "application/grpc"), ("te", "trailers")]

#: Path of a handler that refuses → its error. No client's path begins like these.
_REFUSALS: Mapping[str, Callable[[], GRPCError]] = {
    "refuse metadata": lambda: grpc_error(InvalidField("metadata", "must be ASCII")),
    "refuse request": lambda: protocol_error(Status.INVALID_ARGUMENT, "not a gRPC request"),
    "refuse method": lambda: protocol_error(Status.UNIMPLEMENTED, "no such method"),
    "refuse timeout": lambda: grpc_error(
        InvalidField("metadata.grpc-timeout", "must be such as 500m")
    ),
    "refuse deadline": lambda: protocol_error(
        Status.DEADLINE_EXCEEDED, "the deadline had passed already"
    ),
}


def _fields(headers: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Return the headers by name. Of a repeated header the first value counts."""
    return dict(reversed(headers))


def _refusal(
    headers: Sequence[tuple[str, str]], fields: Mapping[str, str], paths: Container[str]
) -> str | None:
    """Return the refusal of a request that grpclib would leave unanswered, or call UNKNOWN."""
    if not "".join(chain.from_iterable(headers)).isascii():
        return "refuse metadata"
    if not {":method", ":path"} <= fields.keys():
        return "refuse request"
    if fields[":path"] not in paths or fields[":path"] in _REFUSALS:
        return "refuse method"
    timeout = fields.get("grpc-timeout")
    if timeout is not None and not _TIMEOUT.fullmatch(timeout):
        return "refuse timeout"
    if timeout is not None and not decode_timeout(timeout):
        return "refuse deadline"
    return None


def _refuser(refusal: Callable[[], GRPCError]) -> MethodHandler:
    async def refuse(_stream: object) -> None:
        error = refusal()
        _log.info(
            "rpc_refused",
            code=error.status.name,
            message=error.message,
            request_id=RECEIVED.get().request_id,
        )
        raise error

    return MethodHandler(refuse, Cardinality.UNARY_UNARY, object, object)
