"""The gRPC door: who may come in, over which TLS, and how it closes.

grpclib on the asyncio loop, with a connection handler that answers what grpclib would drop
the connection for. Stopping: health says so first, then nothing new is taken, what is under
way ends, and only then are connections closed.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import structlog
from grpclib.const import Handler as MethodHandler
from grpclib.const import Status
from grpclib.health.check import ServiceStatus
from grpclib.health.service import Health
from grpclib.metadata import encode_bin_value
from grpclib.protocol import H2Protocol
from grpclib.reflection.service import ServerReflection
from grpclib.server import Handler, Server
from h2.config import H2Configuration

from payd.domain.errors import InvalidField
from payd.transport.grpc.calls import Calls, Limits, OnRpc
from payd.transport.grpc.handlers import SERVICE, Handlers, Services
from payd.transport.problems import grpc_error

_log = structlog.get_logger(__name__)


@attrs.frozen(kw_only=True)
class Door:
    """Where to listen, and what not to take."""

    host: str
    port: int
    cert: Path
    key: Path
    ca: Path
    limits: Limits


def tls_context(cert: Path, key: Path, ca: Path) -> ssl.SSLContext:
    """TLS 1.3 with a client certificate of our CA. Raises OSError and ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(cert, key)
    context.load_verify_locations(ca)
    context.set_alpn_protocols(["h2"])
    return context


class GrpcServer:
    """Runs on asyncio: every coroutine here is awaited there."""

    def __init__(
        self,
        door: Door,
        services: Services,
        allowed: Callable[[], frozenset[str]],
        on_rpc: OnRpc,
    ) -> None:
        self._door = door
        self._calls = Calls(door.limits, allowed, on_rpc)
        self._services = services
        self._serving = ServiceStatus()
        self._server: _Server | None = None

    async def start(self) -> int:
        """Listen; the port. Raises OSError when it cannot be bound."""
        door = self._door
        health = Health({_Named(SERVICE): [self._serving]})
        mapping = {
            path: self._calls.handler(path, method)
            for path, method in Handlers(self._services).methods().items()
        }
        mapping |= health.__mapping__()
        for service in ServerReflection.extend([_Named(SERVICE), health])[2:]:
            for path, handler in service.__mapping__().items():
                mapping[path] = self._calls.for_allowed_only(handler)
        self._server = _Server(mapping)
        context = tls_context(door.cert, door.key, door.ca)
        await self._server.start(door.host, door.port, ssl=context)
        return self._server.port()

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
        await self._calls.drain(timeout_s)
        # One turn for the last answers to be written.
        await asyncio.sleep(0.05)
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

    def __init__(self, mapping: dict[str, MethodHandler]) -> None:
        super().__init__([])
        self._mapping = mapping
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

    def stop_listening(self) -> None:
        """Take no new connection; those open stay."""
        self._listener().close()

    def _listener(self) -> Any:
        return self._server

    def _protocol_factory(self) -> H2Protocol:
        self.__gc_step__()
        handler = _Connection(
            self._mapping, self._codec, self._status_details_codec, self.__dispatch__
        )
        self._handlers.add(handler)
        return H2Protocol(handler, self._config, self._h2_config)


class _Connection(Handler):
    """One connection's calls; refuses headers that gRPC does not allow."""

    def accept(
        self, stream: Any, headers: list[tuple[str, str]], release_stream: Callable[[], Any]
    ) -> None:
        if all(name.isascii() and value.isascii() for name, value in headers):
            super().accept(stream, headers, release_stream)
            return
        task = self.loop.create_task(self._refuse(stream, release_stream))
        self._tasks[stream] = task

    async def _refuse(self, stream: Any, release_stream: Callable[[], Any]) -> None:
        known = grpc_error(InvalidField("metadata", "must be ASCII"))
        codec: Any = self.status_details_codec
        details = codec.encode(known.status, known.message, known.details)
        try:
            await stream.send_headers(_trailers_only(known.status, known.message, details), True)
        finally:
            release_stream()
        _log.info("rpc_refused", reason="non_ascii_metadata")


def _trailers_only(status: Status, message: str | None, details: bytes) -> list[tuple[str, str]]:
    return [
        (":status", "200"),
        ("content-type", "application/grpc+proto"),
        ("grpc-status", str(status.value)),
        ("grpc-message", message or ""),
        ("grpc-status-details-bin", encode_bin_value(details).decode("ascii")),
    ]
