"""New blocks, announced over a WebSocket: each wakes the watch early, and none is believed.

An announcement says only that it may be worth asking. What is final, and what moved, the watch
reads from its endpoints as ever, with its own poll behind it: a connection that lies, is silent or
closes costs a few requests, or the time of a poll.
"""

import json
import random
import ssl
from urllib.parse import urlsplit

import trio

from payd.plugins import Logger, Metrics
from tempo_provider.websocket import SocketClosed, WebSocket, open_socket

#: Seconds without an announcement after which the connection is dropped: blocks come twice a
#: second.
SILENCE_S = 10.0
#: Seconds to connect.
CONNECT_S = 5.0
#: Seconds until the next connection; twice as many after each that brought nothing.
RETRY_S, RETRY_MAX_S = 1.0, 60.0
#: Shortest time between two steps, however often blocks are announced.
STEP_S = 0.5
#: Seconds without reading after each message: a server that floods has to wait.
REST_S = STEP_S / 2

_SUBSCRIBE = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
)


class Nudge:
    """Announcements of one server, for one watch."""

    def __init__(self, url: str, tls: ssl.SSLContext, log: Logger, metrics: Metrics) -> None:
        self._url = url
        self._tls = tls
        self._log = log
        self._metrics = metrics
        self._announced = trio.Event()
        #: Host and port: the rest of a URL may contain a key.
        self._name = urlsplit(url).netloc.rpartition("@")[2]

    async def wait(self, at_least_s: float, at_most_s: float) -> None:
        """Sleep until a block is announced, or was since the last call, within these bounds."""
        least_s = max(at_least_s, min(STEP_S, at_most_s))
        with trio.move_on_after(at_most_s):
            await trio.sleep(least_s)
            await self._announced.wait()
        self._announced = trio.Event()

    async def run(self) -> None:
        """Listen until cancelled, over any number of connections."""
        failures = 0
        while True:
            blocks, error = await self._listen()
            failures = 0 if blocks else failures + 1
            if failures <= 1:
                self._log.warning("nudge_lost", server=self._name, error=error, blocks=blocks)
            longest = min(RETRY_MAX_S, RETRY_S * 2.0 ** min(failures, 10))
            await trio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret

    async def _listen(self) -> tuple[int, str]:
        """Listen on one connection until it ends; return the announced blocks, and how it ended."""
        blocks = 0
        try:
            async with open_socket(self._url, self._tls, CONNECT_S) as socket:
                await socket.send(_SUBSCRIBE)
                while True:
                    with trio.fail_after(SILENCE_S):
                        await _next_block(socket)
                    blocks += 1
                    self._announced.set()
                    self._metrics.count("nudges_total")
                    await trio.sleep(REST_S)
        except trio.TooSlowError:
            return blocks, f"no block for {SILENCE_S:g} s"
        except SocketClosed as error:
            return blocks, str(error)
        except Exception as error:  # noqa: BLE001 - no server's doing may end the watch
            # The text may contain the URL.
            return blocks, type(error).__name__


async def _next_block(socket: WebSocket) -> None:
    """Wait until a block is announced."""
    while True:
        if _announces(await socket.receive()):
            return
        await trio.sleep(REST_S)


def _announces(message: bytes) -> bool:
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("method") == "eth_subscription"
