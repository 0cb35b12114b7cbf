"""A tls:// URL means TLS for the main app's side, too, whatever the server's first line says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from payd_client import ConsumerSettings
from payd_client.events import StreamUnreachable, connect
from payd_client.subscription import Subscription
from unit.cli.scripted_daemon import on_plain_asyncio

#: A server without TLS, or anybody in between, begins like this.
INFO = (
    b'INFO {"server_id":"x","version":"2.15.0","proto":1,"max_payload":1048576,"headers":true}\r\n'
)


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[str, asyncio.Queue[bytes]]]:
    """A tls:// URL with credentials, and everything that each connection to it has sent."""
    sent: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        try:
            received = await asyncio.wait_for(reader.read(4096), 2)
        except TimeoutError:
            received = b""
        await sent.put(received)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"tls://user:canary@127.0.0.1:{server.sockets[0].getsockname()[1]}", sent


async def consume(url: str) -> None:
    """A consumer tries until it may come in."""
    subscription = Subscription(ConsumerSettings(nats=url))
    try:
        await subscription.open()
    finally:
        await subscription.close()


async def tail(url: str) -> None:
    with pytest.raises(StreamUnreachable, match="does not answer"):
        await connect(url)


@pytest.mark.parametrize("client", [consume, tail])
def test_nothing_is_sent_to_a_server_that_offers_no_tls(
    client: Callable[[str], Awaitable[None]],
) -> None:
    async def first_words() -> bytes:
        async with listener() as (url, sent):
            task = asyncio.ensure_future(client(url))
            try:
                return await asyncio.wait_for(sent.get(), 30)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    found: list[bytes] = []

    async def run() -> None:
        found.append(await first_words())

    on_plain_asyncio(run())
    assert found == [b""]
