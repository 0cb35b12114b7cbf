"""A WebSocket client on trio: wsproto speaks the protocol, this moves the bytes."""

import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

#: Bytes of a message; a longer one ends the connection.
MESSAGE_BYTES_MAX = 65_536
_READ_BYTES = 65_536


class SocketClosed(Exception):
    """The server refused or ended the connection, or broke the protocol."""


class WebSocket:
    """One connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._accepted = False
        self._part = bytearray()
        self._messages: deque[bytes] = deque()

    async def shake_hands(self, url: str) -> None:
        """Ask for the WebSocket, and wait until the server agrees. Raises SocketClosed."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = Request(host=parts.netloc.rpartition("@")[2], target=target)
        await self._stream.send_all(self._protocol.send(request))
        while not self._accepted:
            await self._read()

    async def send(self, text: str) -> None:
        """Send a message."""
        await self._stream.send_all(self._protocol.send(TextMessage(data=text)))

    async def receive(self) -> bytes:
        """Return the next message, whole. Raises SocketClosed."""
        while not self._messages:
            await self._read()
        return self._messages.popleft()

    async def _read(self) -> None:
        try:
            data = await self._stream.receive_some(_READ_BYTES)
            self._protocol.receive_data(bytes(data) or None)
            for event in self._protocol.events():
                await self._handle(event)
        except (ProtocolError, trio.BrokenResourceError) as error:
            raise SocketClosed(type(error).__name__) from None

    async def _handle(self, event: object) -> None:
        match event:
            case AcceptConnection():
                self._accepted = True
            case TextMessage(data=data) | BytesMessage(data=data):
                self._part += data.encode() if isinstance(data, str) else data
                if len(self._part) > MESSAGE_BYTES_MAX:
                    raise SocketClosed("a message is too long")
                if event.message_finished:
                    self._messages.append(bytes(self._part))
                    self._part.clear()
            case Ping():
                await self._stream.send_all(self._protocol.send(event.response()))
            case RejectConnection(status_code=status):
                raise SocketClosed(f"HTTP {status}")
            case CloseConnection(code=code):
                raise SocketClosed(f"closed with {code}")


@asynccontextmanager
async def open_socket(url: str, tls: ssl.SSLContext, connect_s: float) -> AsyncIterator[WebSocket]:
    """Connect to a `ws:` or `wss:` URL until the end of the block.

    Raises OSError, SocketClosed, and TooSlowError after `connect_s` without an answer.
    """
    parts = urlsplit(url)
    host, is_secure = parts.hostname or "", parts.scheme == "wss"
    port = parts.port or (443 if is_secure else 80)
    with trio.fail_after(connect_s):
        stream: trio.abc.Stream = await trio.open_tcp_stream(host, port)
    try:
        if is_secure:
            secure = trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)
            with trio.fail_after(connect_s):
                await _shake_tls_hands(secure)
            stream = secure
        socket = WebSocket(stream)
        with trio.fail_after(connect_s):
            await socket.shake_hands(url)
        yield socket
    finally:
        await trio.aclose_forcefully(stream)


async def _shake_tls_hands(stream: "trio.SSLStream[trio.abc.Stream]") -> None:
    """Check the server's certificate. Raises SocketClosed with what is wrong with it."""
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise SocketClosed(f"its certificate is refused: {cause.verify_message}") from None
        raise
