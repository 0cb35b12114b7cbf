"""Connections, from their accept to their end: how many, how long, and who is cut.

A socket has to get through TLS in time and counts apart until it has, so that silent ones shut
nobody out: the oldest of them makes room for a newcomer, and TLS begins with the first word. Inside, a connection is limited in
number, in total and for each client's name, in idle time and in age; it leaves by GOAWAY, after
the calls that it carries.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import structlog

from payd.transport.grpc.http2 import Http2
from payd.transport.grpc.limits import ConnectionLimits, OnCut
from payd.transport.grpc.tls import Tls

_log = structlog.get_logger(__name__)

#: The first byte of whoever begins TLS.
_TLS_HANDSHAKE = 0x16
#: A peer that does not answer the end of TLS keeps its socket so long.
_SHUTDOWN_S = 2.0


class Connections:
    """All connections of the door. Runs on asyncio."""

    def __init__(
        self, limits: ConnectionLimits, tls: Tls, new: Callable[[], Http2], on_cut: OnCut
    ) -> None:
        self._limits = limits
        self._tls = tls
        self._new = new
        self._on_cut = on_cut
        #: In the order of their coming.
        self._entering: dict[_Entrance, None] = {}
        self._inside: dict[Http2, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def entrance(self) -> asyncio.Protocol:
        """For the listener: one for each socket that it accepts."""
        return _Entrance(self)

    def inside(self) -> list[Http2]:
        """Those through TLS."""
        return list(self._inside)

    def close(self) -> None:
        """Cut who is still entering."""
        for entrance in list(self._entering):
            self.cut(entrance)

    def begin(self, entrance: "_Entrance") -> None:
        """A socket has come; it has until the deadline to get through TLS."""
        self._entering[entrance] = None
        if len(self._entering) > self._limits.handshakes:
            # Whoever has said something may be half through.
            silent = (one for one in self._entering if not one.has_spoken)
            self.cut(next(silent, next(iter(self._entering))))
        entrance.deadline = asyncio.get_running_loop().call_later(
            self._limits.handshake_timeout_s, self.cut, entrance
        )

    def speak(self, entrance: "_Entrance", first: bytes) -> None:
        """It has said its first word."""
        if entrance not in self._entering:
            return
        if first[0] != _TLS_HANDSHAKE:
            self.cut(entrance)
            return
        task = asyncio.get_running_loop().create_task(self._enter(entrance, first))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cut(self, entrance: "_Entrance") -> None:
        """End it without a word."""
        if entrance in self._entering:
            self._on_cut("handshake")
            self.gone(entrance)
            entrance.transport.abort()

    def gone(self, entrance: "_Entrance") -> None:
        """It is through, or has ended."""
        self._entering.pop(entrance, None)
        if entrance.deadline is not None:
            entrance.deadline.cancel()

    def left(self, protocol: Http2) -> None:
        """It has ended."""
        self._inside.pop(protocol, None)

    async def _enter(self, entrance: "_Entrance", first: bytes) -> None:
        protocol = self._new()
        loop, transport = asyncio.get_running_loop(), entrance.transport
        handshake = loop.create_task(
            loop.start_tls(
                transport,
                protocol,
                self._tls.current().context,
                server_side=True,
                ssl_handshake_timeout=self._limits.handshake_timeout_s,
                ssl_shutdown_timeout=_SHUTDOWN_S,
            )
        )
        # Its first step puts TLS in the entrance's place, and has it told so.
        await asyncio.sleep(0)
        loop.call_soon(_hand_over, transport, first)
        try:
            secure = await handshake
        except (OSError, ssl.SSLError):
            transport.abort()
            return
        finally:
            self.gone(entrance)
        if secure is None or secure.is_closing():
            # It has gone meanwhile.
            transport.abort()
            return
        self._admit(protocol, secure)

    def _admit(self, protocol: Http2, transport: asyncio.Transport) -> None:
        name = common_name(transport.get_extra_info("peercert"))
        limits = self._limits
        reason = None
        if len(self._inside) >= limits.total:
            reason = "full"
        elif sum(other == name for other in self._inside.values()) >= limits.per_client:
            reason = "client_full"
        if reason is not None:
            _log.warning("connection_refused", reason=reason, common_name=name)
            self._on_cut(reason)
            transport.abort()
            return
        self._inside[protocol] = name
        protocol.enter(transport, name, limits, self._on_cut, self.left)


class _Entrance(asyncio.Protocol):
    """A socket on its way to TLS. It costs next to nothing until it says something."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.transport: Any = None
        self.deadline: asyncio.TimerHandle | None = None
        self.has_spoken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport = transport
        self._connections.begin(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio: the first word, and no more until TLS has taken over."""
        self.has_spoken = True
        self.transport.pause_reading()
        self._connections.speak(self, data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio."""
        self._connections.gone(self)


def _hand_over(transport: Any, first: bytes) -> None:
    """What the entrance has read, as if TLS had."""
    tls = transport.get_protocol()
    if not transport.is_closing() and isinstance(tls, asyncio.BufferedProtocol):
        buffer: Any = tls.get_buffer(len(first))
        buffer[: len(first)] = first
        tls.buffer_updated(len(first))


def common_name(certificate: Any) -> str:
    """Of a peer's certificate, as ssl decodes it; empty when it has none."""
    subject: Any = (certificate or {}).get("subject", ())
    names = (value for rdn in subject for key, value in rdn if key == "commonName")
    return str(next(names, ""))
