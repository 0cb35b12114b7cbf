"""A TCP relay in front of a real server, so that a test can cut one daemon off from it."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

from payd.dev.ports import any_free

T = TypeVar("T")

HOST = "127.0.0.1"
_CHUNK = 65_536


class Relay:
    """Listens on `port` and forwards to a server; runs in its own thread."""

    def __init__(self, url: str, on_request: Callable[[bytes], None] = lambda chunk: None) -> None:
        """`url` is the server's; only its host and port count. `on_request` sees what clients send.

        It is called on the relay's thread, before the server gets the bytes.
        """
        self._on_request = on_request
        target = urlsplit(url)
        self._target = str(target.hostname), int(target.port or 0)
        self.port = any_free()
        # Not by the event loop policy, which trio-asyncio replaces once a process uses it.
        self._loop: asyncio.AbstractEventLoop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self._delay_s = 0.0
        self._loses_responses = False
        self.restore()

    def cut(self) -> None:
        """Close every connection and refuse new ones, like a stopped server."""
        self._do(self._cut)

    def hang(self) -> None:
        """Accept connections but forward nothing, like a frozen server."""
        self._do(self._hang)

    def slow_down(self, delay_s: float) -> None:
        """Forward whatever arrives so much later."""
        self._delay_s = delay_s

    def lose_responses(self) -> None:
        """Forward requests, and reset the connection instead of forwarding a response."""
        self._loses_responses = True

    def restore(self) -> None:
        """Forward again, and at once."""
        self._delay_s, self._loses_responses = 0.0, False
        self._do(self._restore)

    def wait_for_connection(self) -> None:
        """Wait until a client has connected."""
        while not self._connections:
            time.sleep(0.01)

    def forget(self) -> None:
        """Never answer connections that were made while it hung; forward new ones again."""
        self._do(self._forget)

    def close(self) -> None:
        """End the thread."""
        self._do(self._cut)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(timeout=30)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _hang(self) -> None:
        self._passes.clear()

    async def _forget(self) -> None:
        self._passes = asyncio.Event()
        self._passes.set()

    async def _restore(self) -> None:
        self._passes.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            await self._passes.wait()
            other_reader, other_writer = await asyncio.open_connection(*self._target)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, other_writer, self._on_request))
                    group.create_task(self._pass(other_reader, writer, self._refuse_lost))
            finally:
                other_writer.transport.abort()
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        see: Callable[[bytes], None],
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            see(chunk)
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._passes.wait()
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError("one side hung up")

    def _refuse_lost(self, response: bytes) -> None:
        if self._loses_responses:
            raise ConnectionResetError("the response is lost")


@contextlib.contextmanager
def relayed(url: str, on_request: Callable[[bytes], None] = lambda chunk: None) -> Iterator[Relay]:
    """Run a relay to the server at this URL until the end of the block."""
    relay = Relay(url, on_request)
    try:
        yield relay
    finally:
        relay.close()
