"""The peer for webhooks: the least that is safe. Verify, one INSERT, 200; nothing follows."""

import asyncio
import hashlib
import hmac
import json
import signal
import sys
from typing import Any

import asyncpg
from hypercorn.asyncio import serve
from hypercorn.config import Config

_TABLE = "CREATE TABLE IF NOT EXISTS peer_inbox (event_id text PRIMARY KEY, body bytea NOT NULL)"
_INSERT = "INSERT INTO peer_inbox (event_id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING"


async def main(url: str, secret: str, port: int) -> None:
    """Serve until SIGTERM."""
    pool = await asyncpg.create_pool(url, min_size=8, max_size=8)
    await pool.execute(_TABLE)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": message["type"] + ".complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message["body"]
        header = dict(scope["headers"])[b"stripe-signature"].decode()
        parts = dict(part.split("=", 1) for part in header.split(","))
        signed = f"{parts['t']}.".encode() + body
        expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        good = hmac.compare_digest(expected, parts["v1"])
        if good:
            await pool.execute(_INSERT, json.loads(body)["id"], body)
        answer = b'{"received": true}'
        headers = [(b"content-length", str(len(answer)).encode())]
        status = 200 if good else 400
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(app, config, shutdown_trigger=stop.wait)
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
