"""HTTP server: an ASGI application on trio, with limits for slow and flooding clients."""

import logging
import socket
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from payd.transport.http.streams import Connections, HttpLimits, Service

__all__ = ["HttpLimits", "metrics_app", "serve_app"]

_BACKLOG = 256
#: What the kernel buffers before we read it; its default grows to megabytes.
_RECEIVE_BUFFER_BYTES = 128 * 1024
#: For requests that are under way when the server stops.
_GRACE_S = 3.0


async def serve_app(
    app: Any,
    host: str,
    port: int,
    stop: trio.Event,
    limits: HttpLimits = HttpLimits(),  # noqa: B008 - frozen
    *,
    shares_port: bool = False,
    task_status: trio.TaskStatus[int],
) -> None:
    """Serve until `stop`, then finish what is under way, for 3 s at most; reports the port.

    Cancelling cuts it short. Raises OSError when the port cannot be bound. With `shares_port`,
    other processes of this user may listen on the port, too.
    """
    config = _config(host, port)
    if shares_port:
        # Hypercorn sets SO_REUSEPORT for more than one worker; we start no workers.
        config.workers = 2
    listener = _listen(config)
    service = Service(
        app=wrap_app(app, config.wsgi_max_body_size, "asgi"),
        config=config,
        context=WorkerContext(None),
        limits=limits,
    )
    lifespan = Lifespan(service.app, config, {})
    async with listener, trio.open_nursery() as background:
        background.start_soon(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        await _serve(service, listener, stop, task_status)
        await lifespan.wait_for_shutdown()
        background.cancel_scope.cancel()


async def _serve(
    service: Service,
    listener: trio.SocketListener,
    stop: trio.Event,
    task_status: trio.TaskStatus[int],
) -> None:
    connections = Connections(service)
    async with trio.open_nursery() as under_way:
        async with trio.open_nursery() as accepting:
            accepting.start_soon(
                partial(
                    trio.serve_listeners, connections.serve, [listener], handler_nursery=under_way
                )
            )
            task_status.started(listener.socket.getsockname()[1])
            await stop.wait()
            accepting.cancel_scope.cancel()
        await service.context.terminated.set()
        connections.close_idle()
        under_way.cancel_scope.deadline = trio.current_time() + _GRACE_S


def _config(host: str, port: int) -> Config:
    config = Config()
    config.bind = [f"{host}:{port}"]
    config.keep_alive_timeout = 5
    config.h11_max_incomplete_size = 16 * 1024
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    return config


def _listen(config: Config) -> trio.SocketListener:
    [bound] = config.create_sockets().insecure_sockets
    # Before it listens: accepted sockets inherit it.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    bound.listen(_BACKLOG)
    return trio.SocketListener(trio.socket.from_stdlib_socket(bound))


def metrics_app(registry: CollectorRegistry) -> Any:
    """Return the application of GET /metrics, in the format that the scraper accepts."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await _lifespan(receive, send)
            return
        found = scope["method"] in ("GET", "HEAD") and scope["path"] == "/metrics"
        accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        encode, content_type = choose_encoder(accept)
        body = encode(registry) if found else b"GET /metrics\n"
        headers = [(b"content-type", (content_type if found else "text/plain").encode())]
        status = 200 if found else 404
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
