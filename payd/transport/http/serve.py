"""Listening: an ASGI application on trio, with limits for who drips or floods."""

import logging
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_BACKLOG = 100


async def serve_app(
    app: Any, host: str, port: int, stop: trio.Event, *, task_status: trio.TaskStatus[int]
) -> None:
    """Serve until `stop`, then finish what is under way, for 3 s at most; reports the port.

    Cancelling cuts it short. Raises OSError when the port cannot be bound.
    """
    config = Config()
    config.bind = [f"{host}:{port}"]
    config.alpn_protocols = ["http/1.1"]
    config.backlog = _BACKLOG
    config.graceful_timeout = 3
    config.keep_alive_timeout = 5
    config.h11_max_incomplete_size = 16 * 1024
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")

    async with trio.open_nursery() as nursery:
        binds: list[str] = await nursery.start(_serve, app, config, stop.wait)
        task_status.started(int(binds[0].rpartition(":")[2]))


async def _serve(
    app: Any, config: Config, trigger: Any, *, task_status: trio.TaskStatus[list[str]]
) -> None:
    await hypercorn_serve(
        app, config, shutdown_trigger=trigger, task_status=task_status, mode="asgi"
    )


def metrics_app(registry: CollectorRegistry) -> Any:
    """GET /metrics, as the scraper accepts it."""

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
