"""The NATS client closes connections that offer no TLS, and reads on after late answers."""

import asyncio

import nats.errors
import pytest
from payd_client.nats_client import StrictClient
from support.relay import Relay
from support.stack import Stack
from unit.cli.scripted_daemon import on_plain_asyncio

INFO = b'INFO {"server_id":"x","version":"2.15.0","proto":1,"max_payload":1048576}\r\n'


def test_a_failed_attempt_closes_its_connection() -> None:
    async def run() -> None:
        ended: asyncio.Queue[bytes] = asyncio.Queue()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(INFO)
            # Ends when the client closes the connection.
            await ended.put(await reader.read())
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"tls://user:canary@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        # The client lives on, so that no garbage collection closes its socket.
        client = StrictClient()
        async with server, asyncio.timeout(10):
            with pytest.raises(nats.errors.Error, match="does not offer TLS"):
                await client.connect(url, allow_reconnect=False)
            assert await ended.get() == b""
        await client.close()

    on_plain_asyncio(run())


def test_a_client_reads_on_after_an_answer_that_came_too_late(stack: Stack) -> None:
    """A flush that has timed out waits no longer for its PONG."""
    relay = Relay(stack.nats)

    async def run() -> None:
        client = StrictClient()
        # Without pings, which would replace the connection after a while.
        await client.connect(f"nats://127.0.0.1:{relay.port}", ping_interval=3600)
        relay.slow_down(2.5)
        with pytest.raises(nats.errors.TimeoutError):
            await client.flush(timeout=1)
        relay.restore()
        async with asyncio.timeout(10):
            await client.flush(timeout=8)
            await client.flush(timeout=8)
        await client.close()

    try:
        on_plain_asyncio(run())
    finally:
        relay.close()
