"""A dishonest RPC endpoint: a proxy in front of a real chain, with one fault at a time."""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from support.plain_http import NO_TLS
from support.tempo import Chain

Json = dict[str, Any]
#: Changes one JSON-RPC response, given the request.
Lie = Callable[[Json, Json], Json]


class LyingRpc:
    """A proxy that is honest until a test sets a fault; it counts requests."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._http = httpx.Client(verify=NO_TLS, timeout=60)
        self.asked: Counter[str] = Counter()
        self._lie: Lie | None = None
        self._instead: Callable[[BaseHTTPRequestHandler], None] | None = None
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                proxy._answer(self)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Ignore a client that disconnected."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._http.close()

    # -- what it does from now on --------------------------------------------------------------

    def is_honest(self) -> None:
        """Answer honestly from now on."""
        self._lie = self._instead = None

    def lies(self, lie: Lie) -> None:
        """Apply this change to every response from now on."""
        self._lie, self._instead = lie, None

    def says(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        """Send this response to every request from now on."""

        def instead(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.send_header("content-length", str(len(body)))
            handler.end_headers()
            with contextlib.suppress(OSError):
                handler.wfile.write(body)

        self._instead = instead

    def hangs(self, seconds: float) -> None:
        """Wait for this long and then disconnect, for every request from now on."""

        def instead(handler: BaseHTTPRequestHandler) -> None:
            time.sleep(seconds)
            handler.close_connection = True

        self._instead = instead

    # -- a request -----------------------------------------------------------------------------

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        asked = json.loads(body)
        for one in asked if isinstance(asked, list) else [asked]:
            self.asked[one["method"]] += 1
        if self._instead is not None:
            self._instead(handler)
            return
        said = json.dumps(self._forward(asked)).encode()
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(said)))
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(said)

    def _forward(self, asked: Any) -> Any:
        answer = self._http.post(self._chain.url, json=asked).json()
        lie = self._lie
        if lie is None:
            return answer
        if isinstance(asked, dict):
            return lie(asked, answer)
        by_id = {one["id"]: one for one in asked}
        return [lie(by_id[one["id"]], one) for one in answer]


@contextlib.contextmanager
def lying_rpc(chain: Chain) -> Iterator[LyingRpc]:
    """Run the proxy in front of the chain until the end of the block."""
    proxy = LyingRpc(chain)
    try:
        yield proxy
    finally:
        proxy.close()


# -- lies --------------------------------------------------------------------------------------


def about_logs(change: Callable[[list[Json]], list[Json]]) -> Lie:
    """Build a fault that changes every list of logs."""

    def lie(asked: Json, answer: Json) -> Json:
        if asked["method"] != "eth_getLogs" or "result" not in answer:
            return answer
        return answer | {"result": change([dict(log) for log in answer["result"]])}

    return lie


def about_ranges(change: Callable[[list[Json]], list[Json]]) -> Lie:
    """Change the logs of ranges but not of single blocks, as a balancer over two nodes may."""
    always = about_logs(change)

    def lie(asked: Json, answer: Json) -> Json:
        is_range = asked["method"] == "eth_getLogs" and "fromBlock" in asked["params"][0]
        return always(asked, answer) if is_range else answer

    return lie


def dropped(logs: list[Json]) -> list[Json]:
    """Drop all logs."""
    return []


def without_the_last(logs: list[Json]) -> list[Json]:
    """Drop one transfer: both of its logs."""
    return logs[:-2]


def altered(logs: list[Json]) -> list[Json]:
    """Multiply the amount by ten."""
    return [log | {"data": f"0x{10 * int(log['data'], 16):064x}"} for log in logs]


def added(logs: list[Json]) -> list[Json]:
    """Repeat the transfer at other log indexes."""
    again = [log | {"logIndex": hex(int(log["logIndex"], 16) + 100)} for log in logs]
    return logs + again


def of_another_block(logs: list[Json]) -> list[Json]:
    """Return logs of a block that is not on the chain."""
    return [log | {"blockHash": "0x" + "ab" * 32} for log in logs]


def garbled(logs: list[Json]) -> list[Json]:
    """Return logs that no contract can emit."""
    return [log | {"data": "0x", "topics": log["topics"][:1]} for log in logs]


def lagging(blocks: int, *, empty_beyond: bool) -> Lie:
    """Lag behind by some blocks; later blocks are empty or unknown."""

    def lie(asked: Json, answer: Json) -> Json:
        method, params = asked["method"], asked["params"]
        if method == "eth_getBlockByNumber" and params[0] == "finalized":
            newest = int(answer["result"]["number"], 16)
            lie.head = max(0, newest - blocks)  # type: ignore[attr-defined]
            header = {**answer["result"], "number": hex(lie.head)}  # type: ignore[attr-defined]
            return answer | {"result": header}
        head = getattr(lie, "head", 0)
        if method == "eth_getLogs" and int(params[0].get("toBlock", "0x0"), 16) > head:
            if empty_beyond:
                return answer | {"result": []}
            error = {"code": -32602, "message": "block range extends beyond current head block"}
            return {"jsonrpc": "2.0", "id": asked["id"], "error": error}
        return answer

    return lie


def range_limit(blocks: int) -> Lie:
    """Refuse longer ranges, as reth does."""

    def lie(asked: Json, answer: Json) -> Json:
        if asked["method"] != "eth_getLogs" or "fromBlock" not in asked["params"][0]:
            return answer
        span: Mapping[str, str] = asked["params"][0]
        if int(span["toBlock"], 16) - int(span["fromBlock"], 16) < blocks:
            return answer
        message = f"query exceeds max results 20000, retry with the range 1-{blocks}"
        error = {"code": -32602, "message": message}
        return {"jsonrpc": "2.0", "id": asked["id"], "error": error}

    return lie


def another_chain(asked: Json, answer: Json) -> Json:
    """Report mainnet's chain id."""
    return answer | {"result": "0x1"} if asked["method"] == "eth_chainId" else answer
