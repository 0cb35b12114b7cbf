"""Connections of the gRPC server, from accept to end: how many, for how long, which is cut.

A socket costs next to nothing until its first byte: only then TLS begins. It has to finish the
handshake in time and is counted apart until then, so that silent sockets exclude nobody: the
oldest of them makes room for a new one. After TLS, connections are limited in total and for each
client name, in idle time and in age; they end by GOAWAY, after the calls that they carry.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any

import attrs
import structlog

from payd.transport.grpc.http2 import Http2
from payd.transport.grpc.limits import ConnectionLimits, OnCut
from payd.transport.grpc.tls import Tls

_log = structlog.get_logger(__name__)

#: The first byte of every TLS handshake.
_TLS_HANDSHAKE = b"\x16"
#: How long a peer may take to answer the end of TLS.
_SHUTDOWN_S = 2.0
#: Sockets that wait for `accept`: a flood must not make a client repeat its first packet.
_BACKLOG = 2048
#: Accepted in one turn of the loop, so that a flood delays no call.
_ACCEPTS_A_TURN = 100
#: `accept` fails so when the process or the system is out of files or memory.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_EXHAUSTED_PAUSE_S = 1.0


@attrs.define(eq=False)
class _Entrance:
    """A socket that is not through TLS yet."""

    socket: socket.socket
    deadline: asyncio.TimerHandle
    #: The handshake; None while the peer is silent.
    handshake: "asyncio.Task[None] | None" = None


class Connections:
    """All connections of the server. Runs on asyncio."""

    def __init__(
        self, limits: ConnectionLimits, tls: Tls, new: Callable[[], Http2], on_cut: OnCut
    ) -> None:
        self._limits = limits
        self._tls = tls
        self._new = new
        self._on_cut = on_cut
        self._loop = asyncio.get_running_loop()
        self._listening: list[socket.socket] = []
        #: The oldest first.
        self._entering: dict[_Entrance, None] = {}
        self._inside: dict[Http2, str] = {}

    async def listen(self, host: str, port: int, *, shared: bool = False) -> int:
        """Listen; return the port. Raises OSError when it cannot be bound.

        `shared`: other processes of this user may listen on the port, too, and the kernel gives
        each new connection to one of them.
        """
        # asyncio resolves and binds; the sockets are ours, because its own accept would read
        # from them before TLS does.
        server = await self._loop.create_server(
            asyncio.Protocol, host, port, reuse_port=shared or None, start_serving=False
        )
        self._listening = [bound.dup() for bound in server.sockets]
        server.close()
        for listening in self._listening:
            listening.setblocking(False)
            listening.listen(_BACKLOG)
            self._loop.add_reader(listening, self._accept, listening)
        return int(self._listening[0].getsockname()[1])

    def inside(self) -> list[Http2]:
        """Return the connections that are through TLS."""
        return list(self._inside)

    def stop_listening(self) -> None:
        """Accept no new connection; open ones stay.

        Closing a socket resets connections that wait in its queue, so take those first.
        """
        for listening in self._listening:
            self._accept(listening)
            self._loop.remove_reader(listening)
            listening.close()
        self._listening.clear()

    def close(self) -> None:
        """Cut the sockets that are not through TLS."""
        for entrance in list(self._entering):
            self._cut(entrance)

    # -- before TLS ----------------------------------------------------------------------------

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                _log.error("accept_failed", error=str(error), retry_after_s=_EXHAUSTED_PAUSE_S)
                self._loop.remove_reader(listening)
                self._loop.call_later(_EXHAUSTED_PAUSE_S, self._accept_again, listening)
                return
            accepted.setblocking(False)
            self._begin(accepted)

    def _accept_again(self, listening: socket.socket) -> None:
        if listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)

    def _begin(self, accepted: socket.socket) -> None:
        entrance: _Entrance
        deadline = self._loop.call_later(
            self._limits.handshake_timeout_s, lambda: self._cut(entrance)
        )
        entrance = _Entrance(accepted, deadline)
        self._entering[entrance] = None
        self._loop.add_reader(accepted, self._first_byte, entrance)
        if len(self._entering) > self._limits.handshakes:
            # A peer that has sent something may be half through.
            silent = (one for one in self._entering if one.handshake is None)
            self._cut(next(silent, next(iter(self._entering))))

    def _first_byte(self, entrance: _Entrance) -> None:
        """Begin TLS, which reads the byte again."""
        try:
            first = entrance.socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        if first == _TLS_HANDSHAKE:
            self._loop.remove_reader(entrance.socket)
            entrance.handshake = self._loop.create_task(self._shake_hands(entrance))
        elif first:
            self._cut(entrance)
        else:
            self._forget(entrance)
            entrance.socket.close()

    async def _shake_hands(self, entrance: _Entrance) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._new,
                entrance.socket,
                ssl=self._tls.current().context,
                ssl_handshake_timeout=self._limits.handshake_timeout_s,
                ssl_shutdown_timeout=_SHUTDOWN_S,
            )
        except (OSError, ssl.SSLError):
            pass  # The context logs a failed handshake; asyncio has closed the socket.
        finally:
            self._forget(entrance)

    def _cut(self, entrance: _Entrance) -> None:
        """End it without a word."""
        if entrance not in self._entering:
            return
        self._on_cut("handshake")
        self._forget(entrance)
        if entrance.handshake is not None:
            entrance.handshake.cancel()
        else:
            entrance.socket.close()

    def _forget(self, entrance: _Entrance) -> None:
        self._entering.pop(entrance, None)
        entrance.deadline.cancel()
        if entrance.handshake is None:
            self._loop.remove_reader(entrance.socket)

    # -- after TLS -----------------------------------------------------------------------------

    def admit(self, protocol: Http2, transport: asyncio.Transport) -> None:
        """Begin HTTP/2, or cut a connection that is one too many."""
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
        protocol.enter(transport, name, limits, self._on_cut, self._left)

    def _left(self, protocol: Http2) -> None:
        self._inside.pop(protocol, None)


def common_name(certificate: Any) -> str:
    """Return the name in a peer's certificate, as ssl decodes it; empty when it has none."""
    subject: Any = (certificate or {}).get("subject", ())
    names = (value for rdn in subject for key, value in rdn if key == "commonName")
    return str(next(names, ""))
