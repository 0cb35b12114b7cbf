"""The gRPC door: who may come in, over which TLS, and how it closes.

grpclib on the asyncio loop, with a connection handler that answers what grpclib would drop
the connection for. Stopping: health says so first, then nothing new is taken, what is under
way ends, and only then are connections closed.
"""

import re
import socket
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import structlog
from grpclib.config import Configuration
from grpclib.const import Handler as MethodHandler
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.check import ServiceStatus
from grpclib.health.service import Health
from grpclib.metadata import decode_timeout, encode_bin_value, encode_grpc_message
from grpclib.reflection.service import ServerReflection
from grpclib.server import Handler, Server
from h2.config import H2Configuration
from h2.exceptions import StreamClosedError

from payd.domain.errors import InvalidField
from payd.transport.grpc.calls import Calls, Limits, OnRpc, WaitOf
from payd.transport.grpc.connections import Connections
from payd.transport.grpc.handlers import SERVICE, Handlers, Services
from payd.transport.grpc.http2 import Http2
from payd.transport.grpc.limits import ConnectionLimits, OnCut
from payd.transport.grpc.tls import Tls
from payd.transport.problems import grpc_error, protocol_error

_log = structlog.get_logger(__name__)

#: What a client may send before it is read: of all calls of a connection, and of one.
_CONNECTION_WINDOW = 1024 * 1024
_STREAM_WINDOW = 256 * 1024
_BACKLOG = 2048


@attrs.frozen(kw_only=True)
class Door:
    """Where to listen, and what not to take."""

    host: str
    port: int
    limits: Limits
    connections: ConnectionLimits = attrs.field(factory=ConnectionLimits)


class GrpcServer:
    """Runs on asyncio: every coroutine here is awaited there."""

    def __init__(
        self,
        door: Door,
        tls: Tls,
        services: Services,
        allowed: Callable[[], frozenset[str]],
        on_rpc: OnRpc,
        on_cut: OnCut = lambda reason: None,
        wait_of: WaitOf | None = None,
    ) -> None:
        self._door = door
        self._tls = tls
        self._on_cut = on_cut
        self._calls = Calls(door.limits, allowed, on_rpc, wait_of)
        self._services = services
        self._serving = ServiceStatus()
        self._serving.set(False)
        self._server: _Server | None = None

    async def start(self) -> int:
        """Listen; the port. Raises OSError when it cannot be bound."""
        door = self._door
        health = Health({_Named(SERVICE): [self._serving]})
        mapping = {
            path: self._calls.handler(path, method)
            for path, method in Handlers(self._services).methods().items()
        }
        for path, handler in health.__mapping__().items():
            mapping[path] = self._calls.guarded(handler, open_to_all=True)
        for service in ServerReflection.extend([_Named(SERVICE), health])[2:]:
            for path, handler in service.__mapping__().items():
                mapping[path] = self._calls.guarded(handler, open_to_all=False)
        self._server = _Server(mapping, door.connections, self._tls, self._on_cut)
        await self._server.start(door.host, door.port)
        self._server.lengthen_queue()
        return self._server.port()

    def connections(self) -> int:
        """Open ones."""
        return len(self._server.connections.inside()) if self._server else 0

    def set_serving(self, serving: bool) -> None:
        """What health answers from now on."""
        self._serving.set(serving)

    def in_flight(self) -> int:
        """Calls under way."""
        return self._calls.in_flight()

    async def stop(self, timeout_s: float) -> None:
        """Drain, then close. Works before the start, and twice."""
        self.set_serving(False)
        server, self._server = self._server, None
        if server is None:
            return
        server.stop_listening()
        if left := await self._calls.drain(timeout_s):
            _log.warning("drain_timed_out", calls_left=left)
        server.close()
        await server.wait_closed()


class _Named:
    """Stands for a service whose handlers are mapped elsewhere: health and reflection want one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __mapping__(self) -> dict[str, MethodHandler]:
        return {f"/{self._name}/": None}  # type: ignore[dict-item]  # only the path is read


class _Server(Server):
    """grpclib's server over a ready mapping, with our connection handler."""

    def __init__(
        self,
        mapping: dict[str, MethodHandler],
        limits: ConnectionLimits,
        tls: Tls,
        on_cut: OnCut,
    ) -> None:
        super().__init__(
            [],
            # A call's message may wait for its reader, but not much more of it.
            config=Configuration(
                http2_connection_window_size=_CONNECTION_WINDOW,
                http2_stream_window_size=_STREAM_WINDOW,
            ),
        )
        self._mapping = mapping
        self.connections = Connections(limits, tls, self._new_connection, on_cut)
        # Latin-1 decodes any byte: `_Connection` refuses what is not ASCII by an answer, where
        # a decoding error would cut the connection and every call on it.
        self._h2_config = H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_inbound_headers=False,
            normalize_outbound_headers=False,
        )

    def port(self) -> int:
        """Where it listens."""
        return int(self._listener().sockets[0].getsockname()[1])

    def lengthen_queue(self) -> None:
        """A flood of sockets must not make a client's first packet wait for its repetition."""
        for listening in self._listener().sockets:
            # asyncio accepts as many in one turn as it lets wait; only the waiting is to be longer.
            with socket.fromfd(listening.fileno(), listening.family, listening.type) as same:
                same.listen(_BACKLOG)

    def stop_listening(self) -> None:
        """Take no new connection; those open stay."""
        self._listener().close()

    def _listener(self) -> Any:
        return self._server

    def _protocol_factory(self) -> Any:
        return self.connections.entrance()

    def _new_connection(self) -> Http2:
        self.__gc_step__()
        handler = _Connection(
            self._mapping, self._codec, self._status_details_codec, self.__dispatch__
        )
        self._handlers.add(handler)
        return Http2(handler, self._config, self._h2_config)

    def close(self) -> None:
        """Cut what is still under way, and tell each client before its connection ends."""
        super().close()
        self.connections.close()
        for connection in self.connections.inside():
            connection.say_goodbye()


class _Connection(Handler):
    """One connection's calls; refuses headers that gRPC does not allow."""

    def accept(
        self, stream: Any, headers: list[tuple[str, str]], release_stream: Callable[[], Any]
    ) -> None:
        refusal = _refusal(headers, self.mapping)
        if refusal is None:
            # grpclib gives no answer for a binary value that it cannot decode.
            textual = [(name, value) for name, value in headers if not name.endswith("-bin")]
            super().accept(stream, textual, release_stream)
            return
        task = self.loop.create_task(self._refuse(stream, refusal, headers, release_stream))
        self._tasks[stream] = task

    async def _refuse(
        self,
        stream: Any,
        known: GRPCError,
        headers: list[tuple[str, str]],
        release_stream: Callable[[], Any],
    ) -> None:
        codec: Any = self.status_details_codec
        details = codec.encode(known.status, known.message, known.details)
        trailers = _trailers_only(known.status, known.message, details)
        request_id = dict(headers).get("x-request-id", "")
        if re.fullmatch(r"[!-~]{1,128}", request_id):
            trailers.append(("x-request-id", request_id))
        try:
            await stream.send_headers(trailers, True)
        except StreamClosedError:
            pass  # The caller has left.
        finally:
            release_stream()
        _log.info("rpc_refused", code=known.status.name, message=known.message)


def _refusal(
    headers: list[tuple[str, str]], mapping: Mapping[str, MethodHandler]
) -> GRPCError | None:
    """What grpclib would give no answer, or an UNKNOWN, for."""
    if not all(name.isascii() and value.isascii() for name, value in headers):
        return grpc_error(InvalidField("metadata", "must be ASCII"))
    fields = dict(headers)
    if not {":method", ":path"} <= fields.keys():
        return protocol_error(Status.INVALID_ARGUMENT, "not a gRPC request")
    if fields[":path"] not in mapping:
        return protocol_error(Status.UNIMPLEMENTED, "no such method")
    timeout = fields.get("grpc-timeout")
    # The protocol allows eight digits; more would overflow a timer.
    if timeout is not None and not re.fullmatch(r"[0-9]{1,8}[HMSmun]", timeout):
        return grpc_error(InvalidField("metadata.grpc-timeout", "must be such as 500m"))
    if timeout is not None and not decode_timeout(timeout):
        return protocol_error(Status.DEADLINE_EXCEEDED, "the deadline had passed already")
    return None


def _trailers_only(status: Status, message: str | None, details: bytes) -> list[tuple[str, str]]:
    return [
        (":status", "200"),
        ("content-type", "application/grpc+proto"),
        ("grpc-status", str(status.value)),
        ("grpc-message", encode_grpc_message(message or "")),
        ("grpc-status-details-bin", encode_bin_value(details).decode("ascii")),
    ]
