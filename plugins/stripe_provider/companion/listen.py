"""Serve the application so that it can close a connection, which ASGI does not offer."""

import socket
import struct
from contextvars import ContextVar
from typing import Any, NoReturn

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

_CONNECTION: ContextVar[trio.SocketStream] = ContextVar("connection")
_NO_LINGER = struct.pack("ii", 1, 0)


async def listen(app: Any, host: str, port: int, *, task_status: trio.TaskStatus[str]) -> None:
    """Serve until cancelled; report the URL. Raises OSError."""
    config = Config()
    config.alpn_protocols = ["http/1.1"]
    config.include_server_header = False
    # The application sends the date of the stand-in's own clock.
    config.include_date_header = False
    config.accesslog = None
    config.errorlog = None
    context = WorkerContext(None)
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")

    async def connection(stream: trio.SocketStream) -> None:
        _CONNECTION.set(stream)
        # Its annotation has only the TLS stream; it serves plain streams, too.
        server = TCPServer(
            wrapped,
            config,
            context,
            ConnectionState({}),
            stream,  # type: ignore[arg-type]
        )
        await server

    listeners = await trio.open_tcp_listeners(port, host=host)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, connection, listeners)
        bound = listeners[0].socket.getsockname()[1]
        task_status.started(f"http://{host}:{bound}")


async def hang_up(*, reset: bool) -> NoReturn:
    """Close the connection of the current request, which cancels the request's task."""
    stream = _CONNECTION.get()
    if reset:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    await stream.aclose()
    await trio.sleep_forever()
    raise AssertionError
