"""A JSON-RPC server of a scripted chain, over HTTP on trio: honest until a test changes it.

Lies (see `lies`) change the content of responses. A `Manner` changes their transport: an HTTP
status, bytes that are not JSON, silence. A manner may be limited to one method.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import attrs
import h11
import trio

from tempo_provider.companion.scripted.chain import Json, ScriptedChain
from tempo_provider.companion.scripted.rpc import View

#: Stands for every method.
ALL = "*"
_CHUNK = b" " * 65_536

#: Changes a response, given its request.
Lie = Callable[[Json, Json], Json]


@attrs.frozen(kw_only=True)
class Says:
    """Send a fixed response."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Floods:
    """Send a response that is too large to be read whole."""

    size: int


@attrs.frozen
class Hangs:
    """Read the request, and never respond."""


@attrs.frozen(kw_only=True)
class Drips:
    """Send a response in small pieces that never ends."""

    every_s: float = 0.05


@attrs.frozen
class Cuts:
    """Close the connection in the middle of the response."""


Manner = Says | Floods | Hangs | Drips | Cuts


@attrs.frozen(kw_only=True)
class Limit:
    """Answer so many HTTP requests in each window of time, and refuse the others."""

    requests: int
    window_s: float = 60.0
    #: Whether each response says how many requests are left.
    tells: bool = True
    #: Whether a refusal says how long to wait.
    tells_wait: bool = True
    status: int = 429


class ScriptedNode:
    """One endpoint, with the faults that a test sets."""

    def __init__(self, chain: ScriptedChain, url: str) -> None:
        self.url = url
        self.asked: Counter[str] = Counter()
        self.view = View(chain=chain)
        self.limit: Limit | None = None
        #: The answer to a list of requests where the node takes none.
        self.no_batches: Says | None = None
        #: HTTP requests in the present window, and in all those that were refused.
        self.used = self.refused = 0
        self._window = -1
        self._lies: list[Lie] = []
        self._manners: dict[str, Manner] = {}
        self._chain = chain
        self._asking = trio.Condition()

    # -- faults, from the call on ------------------------------------------------------------

    def heals(self) -> None:
        """Remove all faults."""
        self.view = View(chain=self._chain)
        self._lies.clear()
        self._manners.clear()

    def follows(self, chain: ScriptedChain) -> None:
        """Serve another chain, or another branch."""
        self.view.chain = chain

    def lags(self, blocks: int, *, silently: bool = False) -> None:
        """Lag behind the head; `silently` reports missing blocks as empty instead of unknown."""
        self.view.lag = blocks
        self.view.is_silent_about_the_future = silently

    def lies(self, *lies: Lie) -> None:
        """Apply lies to each response, one after the other."""
        self._lies = list(lies)

    def behaves(self, manner: Manner, method: str = ALL) -> None:
        """Respond to a method in this manner."""
        self._manners[method] = manner

    async def until_asked(self, method: str, times: int) -> None:
        """Wait until a method was called this many times in total."""
        with trio.fail_after(30):
            while self.asked[method] < times:
                async with self._asking:
                    await self._asking.wait()

    async def until_asked_again(self, method: str = "eth_getBlockByNumber", times: int = 3) -> None:
        """Wait for more requests, which shows that the client retries."""
        await self.until_asked(method, self.asked[method] + times)

    # -- a connection ------------------------------------------------------------------------

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection: requests one after the other, until the client closes it."""
        connection = h11.Connection(h11.SERVER)
        gone = (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError)
        with suppress(*gone):
            async with stream:
                while (body := await _read(connection, stream)) is not None:
                    await _say(connection, stream, await self._limited(json.loads(body)))
                    if connection.our_state is not h11.DONE:
                        return
                    connection.start_next_cycle()

    async def _limited(self, asked: Any) -> Manner:
        if self.limit is None:
            return await self._manner(asked)
        headers = self._count(self.limit)
        if self.used > self.limit.requests:
            self.refused += 1
            return Says(status=self.limit.status, headers=headers)
        manner = await self._manner(asked)
        if isinstance(manner, Says):
            return attrs.evolve(manner, headers={**manner.headers, **headers})
        return manner

    def _count(self, limit: Limit) -> dict[str, str]:
        """Count a request; return what the response says of the limit."""
        now = trio.current_time()
        window = int(now // limit.window_s)
        self.used = self.used + 1 if window == self._window else 1
        self._window = window
        left_s = max(1, round((window + 1) * limit.window_s - now))
        is_over = self.used > limit.requests
        wait = {"retry-after": str(left_s)} if limit.tells_wait and is_over else {}
        if not limit.tells:
            return wait
        return wait | {
            "ratelimit-limit": str(limit.requests),
            "ratelimit-remaining": str(max(0, limit.requests - self.used)),
            "ratelimit-reset": str(left_s),
        }

    async def _manner(self, asked: Any) -> Manner:
        requests = asked if isinstance(asked, list) else [asked]
        methods = [one["method"] for one in requests]
        manners = [self._manners[name] for name in (*methods, ALL) if name in self._manners]
        answers = [self._answer(one) for one in requests]
        said = answers if isinstance(asked, list) else answers[0]
        self.asked.update(methods)
        async with self._asking:
            self._asking.notify_all()
        headers = {"content-type": "application/json"}
        if self.no_batches is not None and isinstance(asked, list):
            return self.no_batches
        return manners[0] if manners else Says(body=json.dumps(said).encode(), headers=headers)

    def _answer(self, asked: Json) -> Json:
        answer = self.view.answer(asked)
        for lie in self._lies:
            answer = lie(asked, answer)
        return answer


class ScriptedSponsor(ScriptedNode):
    """A service that pays fees: it signs whatever it is asked to sign, and counts it."""

    def _answer(self, asked: Json) -> Json:
        return {"jsonrpc": "2.0", "id": asked["id"], "result": asked["params"][0]}


async def _read(connection: h11.Connection, stream: trio.SocketStream) -> bytes | None:
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return body
        elif isinstance(event, h11.ConnectionClosed):
            return None


async def _say(connection: h11.Connection, stream: trio.SocketStream, manner: Manner) -> None:
    async def send(event: Any) -> None:
        await stream.send_all(connection.send(event) or b"")

    def response(size: int, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
        named = {"content-length": str(size), **(headers or {})}
        return h11.Response(status_code=status, headers=list(named.items()))

    match manner:
        case Says(status=status, body=body, headers=headers):
            await send(response(len(body), status, headers))
            await send(h11.Data(data=body))
            await send(h11.EndOfMessage())
        case Floods(size=size):
            await send(response(size))
            for _ in range(0, size, len(_CHUNK)):
                await send(h11.Data(data=_CHUNK))
            await send(h11.EndOfMessage())
        case Cuts():
            await send(response(1_000))
            await send(h11.Data(data=b'{"jsonrpc"'))
        case Drips(every_s=every_s):
            await send(response(1_000_000))
            while True:
                await send(h11.Data(data=b" "))
                await trio.sleep(every_s)
        case Hangs():
            await trio.sleep_forever()


@asynccontextmanager
async def open_node(
    chain: ScriptedChain, kind: type[ScriptedNode] = ScriptedNode
) -> AsyncIterator[ScriptedNode]:
    """Serve a node until the end of the block."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        node = kind(chain, f"http://127.0.0.1:{port}")
        nursery.start_soon(trio.serve_listeners, node.serve, listeners)
        yield node
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_nodes(chain: ScriptedChain, count: int) -> AsyncIterator[list[ScriptedNode]]:
    """Serve several nodes of one chain, each with its own faults."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_node(chain)) for _ in range(count)]
