"""Announced blocks wake the watch, and nothing that a WebSocket says is believed.

The servers are real ones on this machine: anvil, and some that are silent, close, flood or lie.
"""

import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest
import trio
from integration.tempo.watching import (
    MEMO,
    PAYER,
    US,
    USDC,
    Lines,
    MemorySink,
    a_chain,
    pay,
    reads_all,
    watching,
)
from support.authority import Authority
from support.tempo import Chain, running_chain
from tempo_provider import nudge, provider
from tempo_provider.companion.scripted.chain import ScriptedChain
from tempo_provider.companion.scripted.events import transfer
from tempo_provider.companion.scripted.node import Limit, open_node
from tempo_provider.nudge import Nudge
from tempo_provider.websocket import MESSAGE_BYTES_MAX
from trio.testing import MockClock
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

#: What a server sends after the subscription, until the event is set.
Server: TypeAlias = Callable[[ServerConnection, threading.Event], None]

#: The longest poll that can be set; a test that waits for one fails before it comes.
SLOW = {"poll_interval_s": 60.0, "request_timeout_s": 60}
NUDGE_S = 50.0
FAST = {"poll_interval_s": 0.05, "request_timeout_s": 60}


@pytest.fixture
def clock() -> MockClock:
    """It jumps to the next deadline when neither the watch nor a node has anything to do."""
    return MockClock(autojump_threshold=0.01)


@pytest.fixture
def chain() -> ScriptedChain:
    return a_chain()


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def chain_of_anvil(anvil: Path) -> Iterator[Chain]:
    with running_chain(anvil) as running:
        yield running


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are given up and made anew within moments."""
    monkeypatch.setattr(nudge, "SILENCE_S", 0.2)
    monkeypatch.setattr(nudge, "RETRY_S", 0.02)
    monkeypatch.setattr(nudge, "RETRY_MAX_S", 0.02)


class Announcer:
    """A server of announcements, whose connections can be waited for."""

    def __init__(self, says: Server, tls: ssl.SSLContext | None = None) -> None:
        self._connections = 0
        self._third = threading.Event()
        self._says = says
        self._server = serve(self._serve, "127.0.0.1", 0, max_size=None, ssl=tls)
        self.name = f"127.0.0.1:{self._server.socket.getsockname()[1]}"
        self.url = f"{'wss' if tls else 'ws'}://{self.name}/?key=secret"
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()

    async def reconnected(self) -> None:
        """Wait for a third connection."""
        with trio.fail_after(NUDGE_S):
            await trio.to_thread.run_sync(self._third.wait, abandon_on_cancel=True)

    def _serve(self, connection: ServerConnection) -> None:
        self._connections += 1
        if self._connections == 3:
            self._third.set()
        try:
            connection.recv()
            self._says(connection, self.ended)
        except ConnectionClosed:
            pass


@asynccontextmanager
async def announcing(says: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Announcer]:
    announcer = Announcer(says, tls)
    try:
        yield announcer
    finally:
        announcer.close()


def head(number: int = 1) -> str:
    """An announcement, with a receipt that nobody should read in it."""
    block = {"number": hex(number), "logs": [transfer(USDC, PAYER, US, 7, MEMO)]}
    params = {"subscription": "0x1", "result": block}
    return json.dumps(
        {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}, default=str
    )


# -- a good server -----------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority that the provider trusts."""
    trusted = Authority.new()
    (tmp_path / "ca.pem").write_bytes(trusted.pem())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    provider._tls.cache_clear()
    yield trusted
    provider._tls.cache_clear()


def server_context(folder: Path, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """What a server of this certificate needs."""
    (folder / "server.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_block_is_read_when_it_is_announced(
    chain: ScriptedChain, sink: MemorySink, authority: Authority, tmp_path: Path, scheme: str
) -> None:
    tls = server_context(tmp_path, *authority.server()) if scheme == "wss" else None
    blocks = threading.Event()

    def announce(connection: ServerConnection, ended: threading.Event) -> None:
        blocks.wait()
        for number in range(10**9, 10**9 + 100):
            connection.send(head(number))
            if ended.wait(0.1):
                return

    async with (
        announcing(announce, tls) as server,
        open_node(chain) as node,
        watching([node], sink, ws_url=server.url, **SLOW) as watch,
    ):
        await sink.reaches(3)
        pay(chain, 149)
        chain.settle(2)
        blocks.set()
        with trio.fail_after(NUDGE_S):
            await sink.until(lambda: sink.amounts == [149])
        await reads_all(watch, chain, 149)


class AnvilFigures:
    """Counts nudges."""

    def __init__(self) -> None:
        self.nudges = 0

    def set(self, figure: str, value: float) -> None:
        """Keep nothing."""

    def count(self, figure: str, amount: float = 1) -> None:
        """Count each."""
        self.nudges += 1


async def test_anvil_announces_its_blocks(chain_of_anvil: Chain) -> None:
    figures = AnvilFigures()
    url = chain_of_anvil.url.replace("http", "ws")
    waiting = Nudge(url, httpx.create_ssl_context(), Lines(), figures)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiting.run)
        with trio.fail_after(NUDGE_S):
            # The first block may be older than the subscription.
            while not figures.nudges:
                await trio.to_thread.run_sync(chain_of_anvil.mine)
                await waiting.wait(0.0, 0.2)
        nursery.cancel_scope.cancel()


# -- others ----------------------------------------------------------------------------------------


def says_nothing(connection: ServerConnection, ended: threading.Event) -> None:
    ended.wait()


def closes(connection: ServerConnection, ended: threading.Event) -> None:
    connection.close()


def talks_nonsense(connection: ServerConnection, ended: threading.Event) -> None:
    for text in ("", "{", "null", "7", "[" * 10_000, '{"method": 1}', b"\xff\x00"):
        connection.send(text)
    connection.ping()
    ended.wait()


def talks_too_long(connection: ServerConnection, ended: threading.Event) -> None:
    connection.send("x" * (MESSAGE_BYTES_MAX + 1))
    ended.wait()


@pytest.mark.parametrize("server", [says_nothing, closes, talks_nonsense, talks_too_long])
@pytest.mark.usefixtures("impatient")
async def test_a_server_that_announces_nothing_is_left_and_the_poll_goes_on(
    chain: ScriptedChain, sink: MemorySink, server: Server
) -> None:
    async with (
        announcing(server) as announcer,
        open_node(chain) as node,
        watching([node], sink, ws_url=announcer.url, **FAST) as watch,
    ):
        await announcer.reconnected()
        await sink.reaches(3)
        pay(chain, 149)
        chain.settle(2)
        await reads_all(watch, chain, 149)
        assert watch.figures.counts["nudges_total"] == 0
        [lost, *_] = watch.lines.named("nudge_lost")
        assert lost["server"] == announcer.name
        assert "secret" not in str(watch.lines.events)


@pytest.mark.parametrize(
    ("whose", "why"),
    [
        ("of an unknown authority", "unable to get local issuer certificate"),
        ("of another host", "IP address mismatch"),
    ],
)
async def test_a_server_with_a_certificate_that_is_refused_announces_nothing(
    chain: ScriptedChain,
    sink: MemorySink,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whose: str,
    why: str,
) -> None:
    """The poll goes on, and the log says why."""
    monkeypatch.setattr(nudge, "RETRY_S", 0.02)
    stranger = whose == "of an unknown authority"
    pair = Authority.new().server() if stranger else authority.server_of("other.example")
    async with (
        announcing(says_nothing, server_context(tmp_path, *pair)) as server,
        open_node(chain) as node,
        watching([node], sink, ws_url=server.url, **FAST) as watch,
    ):
        with trio.fail_after(NUDGE_S):
            while not watch.lines.named("nudge_lost"):  # noqa: ASYNC110 - nothing says so
                await trio.sleep(0.1)
        pay(chain, 149)
        chain.settle(2)
        await reads_all(watch, chain, 149)
        assert watch.figures.counts["nudges_total"] == 0
        [lost, *_] = watch.lines.named("nudge_lost")
        assert lost["error"].startswith("its certificate is refused: ")
        assert why in lost["error"]


async def test_a_server_that_cannot_speak_http_does_not_end_the_watch(
    chain: ScriptedChain, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nudge, "RETRY_S", 0.02)
    third = trio.Event()
    connections = count(1)

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 101 ?\r\nConnection: \x80\xff\r\n\r\n")
        if next(connections) == 3:
            third.set()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"
        async with open_node(chain) as node, watching([node], sink, ws_url=url, **FAST) as watch:
            with trio.fail_after(NUDGE_S):
                await third.wait()
            await sink.reaches(3)
            pay(chain, 149)
            chain.settle(2)
            await reads_all(watch, chain, 149)
            assert watch.lines.named("nudge_lost")[0]["error"] == "UnicodeDecodeError"
        nursery.cancel_scope.cancel()


async def test_without_the_server_the_poll_goes_on(chain: ScriptedChain, sink: MemorySink) -> None:
    nobody = "ws://127.0.0.1:9"
    async with open_node(chain) as node, watching([node], sink, ws_url=nobody, **FAST) as watch:
        await sink.reaches(3)
        pay(chain, 149)
        chain.settle(2)
        await reads_all(watch, chain, 149)


class FullSocket:
    """A connection on which there is always a message, up to a thousand."""

    def __init__(self, message: bytes) -> None:
        self.read = 0
        self._message = message

    async def send(self, text: str) -> None:
        """Send nothing."""

    async def receive(self) -> bytes:
        """Return the message at once."""
        if self.read == 1000:
            await trio.sleep_forever()
        self.read += 1
        return self._message


def floods(connection: ServerConnection, ended: threading.Event) -> None:
    while not ended.wait(0.002):
        connection.send(head())


@pytest.mark.parametrize(("message", "announced"), [(b"{}", 0), (b"", 0), (None, 41)])
async def test_a_flood_is_read_no_faster_than_blocks_come(
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    message: bytes | None,
    announced: int,
) -> None:
    """Announcements or anything else, and the sender has to wait."""
    socket = FullSocket(head().encode() if message is None else message)

    @asynccontextmanager
    async def connect(*_: object) -> AsyncIterator[FullSocket]:
        yield socket

    monkeypatch.setattr(nudge, "open_socket", connect)
    monkeypatch.setattr(nudge, "SILENCE_S", 3600.0)
    figures = AnvilFigures()
    flooded = Nudge("ws://one.example", httpx.create_ssl_context(), Lines(), figures)
    with trio.move_on_after(10.1):
        await flooded.run()
    assert (socket.read, figures.nudges) == (41, announced)


async def test_a_flood_of_announcements_keeps_within_the_endpoints_limit(
    clock: MockClock, chain: ScriptedChain, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nudge, "SILENCE_S", 3600.0)
    monkeypatch.setattr(nudge, "CONNECT_S", 3600.0)
    usual = {"poll_interval_s": 2.0, "request_timeout_s": 60}
    async with (
        announcing(floods) as server,
        open_node(chain) as node,
        watching([node], sink, ws_url=server.url, **usual) as watch,
    ):
        node.limit = Limit(requests=20)
        await sink.reaches(3)
        for number in range(1, 6):
            pay(chain, number)
            chain.settle(2)
            await sink.until(partial(_has_read, sink, number))
        await watch.figures.until_more("nudges_total")
        await reads_all(watch, chain, 1, 2, 3, 4, 5)
        assert node.refused == 0


def _has_read(sink: MemorySink, amount: int) -> bool:
    return amount in sink.amounts
