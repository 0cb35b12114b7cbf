"""Limits of an HTTP port in bytes, seconds and connections, against floods, drips and silence."""

import contextlib
import random
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from integration.http.serving import HOST, RunningServer
from prometheus_client import CollectorRegistry
from support.daemon import Daemon, Place, running_daemon

from payd.transport.http import streams
from payd.transport.http.serve import HttpLimits, metrics_app, serve_app

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 1024 * 1024
MAX_BODY_BYTES = 256 * 1024


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    """As it is shipped."""
    with running_daemon(module_place.without_forks()) as daemon:
        yield daemon


@pytest.fixture
def many_files() -> Iterator[None]:
    """Enough of them for a thousand sockets of a test's own."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(4096, before[1])), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def limited(app: Any, **limits: Any) -> AsyncIterator[int]:
    """The port where `app` listens, within its limits."""
    async with trio.open_nursery() as nursery:
        serve: Any = partial(serve_app, app, limits=HttpLimits(**limits))
        yield await nursery.start(serve, HOST, 0, trio.Event())
        nursery.cancel_scope.cancel()


async def connect(port: int) -> trio.SocketStream:
    """Its own buffer is small: what it sent, the other side has taken."""
    connection = trio.socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
    await connection.connect((HOST, port))
    return trio.SocketStream(connection)


def port_of(daemon: Daemon) -> int:
    return int(daemon.http.rpartition(":")[2])


async def rest_of(stream: trio.SocketStream, *, within_s: float = 8.0) -> bytes:
    """What comes until the other side ends the connection."""
    answer = b""
    with trio.fail_after(within_s), contextlib.suppress(trio.BrokenResourceError):
        while data := await stream.receive_some():
            answer += data
    return answer


async def ask(port: int, request: bytes, *, within_s: float = 8.0) -> bytes:
    async with await connect(port) as stream:
        with contextlib.suppress(trio.BrokenResourceError), trio.fail_after(within_s):
            await stream.send_all(request)
        return await rest_of(stream, within_s=within_s)


async def answer_to(stream: trio.SocketStream, request: bytes = GET) -> bytes:
    """Of a short one, whose end is that of its document."""
    await stream.send_all(request)
    answer = b""
    with trio.fail_after(30):
        while not answer.endswith(b"}\n") and (data := await stream.receive_some()):
            answer += data
    return answer


async def answers(port: int) -> bool:
    async with await connect(port) as stream:
        answer = await answer_to(stream)
    return answer.startswith(b"HTTP/1.1 200")


def rss_mib(daemon: Daemon) -> float:
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def files_of(daemon: Daemon) -> int:
    return len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))


# -- bytes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/webhooks/mock", "/healthz", "/nothing/here"])
async def test_of_a_body_without_an_end_little_more_is_taken_than_the_limit(
    daemon: Daemon, path: str
) -> None:
    before = rss_mib(daemon)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    taken = 0
    answer = b""

    async with await connect(port_of(daemon)) as stream, trio.open_nursery() as nursery:

        async def read() -> None:
            nonlocal answer
            answer = await rest_of(stream, within_s=20)
            nursery.cancel_scope.cancel()

        nursery.start_soon(read)
        await stream.send_all(head)
        with contextlib.suppress(OSError):
            while taken < 100 * MIB:
                taken += await stream.socket.send(chunk)

    assert taken <= MAX_BODY_BYTES + MIB
    assert answer.startswith(b"HTTP/1.1 4")
    assert rss_mib(daemon) - before < 20


@pytest.mark.parametrize(
    ("lengths", "body", "status"),
    [
        (b"Content-Length: 10\r\n", b"x" * 5, b""),
        (b"Content-Length: 2\r\n", b"{}" + b"x" * MIB, b"HTTP/1.1 4"),
        (b"Content-Length: 999999999999\r\n", b"x" * 100, b""),
        (b"Content-Length: -1\r\n", b"", b"HTTP/1.1 400"),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n", b"{}", b"HTTP/1.1 400"),
        (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"FFFFFFFFFFFFFFFFFFFF\r\nx", b""),
        (b"Transfer-Encoding: chunked\r\n", b"zz\r\n", b"HTTP/1.1 4"),
    ],
    ids=["short", "long", "huge", "negative", "two", "both", "huge chunk", "no chunk"],
)
async def test_a_length_that_lies_ends_its_connection_and_nothing_else(
    daemon: Daemon, lengths: bytes, body: bytes, status: bytes
) -> None:
    async with await connect(port_of(daemon)) as stream:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(
                b"POST /webhooks/mock HTTP/1.1\r\nHost: x\r\n" + lengths + b"\r\n" + body
            )
            await stream.send_eof()
        answer = await rest_of(stream)

    assert answer.startswith(status)
    assert b"HTTP/1.1 2" not in answer
    assert await answers(port_of(daemon))


async def test_a_client_that_sent_too_much_can_still_read_the_refusal(daemon: Daemon) -> None:
    """Closing on unread bytes would reset the connection, and throw the answer away."""
    body = b"x" * (300 * 1024)
    request = f"POST /webhooks/mock HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    async with await connect(port_of(daemon)) as stream:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(request.encode() + body)
        await trio.sleep(0.2)
        answer = await rest_of(stream)
    head, _, document = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    assert f"content-length: {len(document)}".encode() in head.lower()
    assert document


async def test_senders_who_break_off_do_not_end_the_daemon(daemon: Daemon) -> None:
    # The refusal of the body and the end of its sender meet in one connection.
    head = b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n"
    for _ in range(60):
        async with await connect(port_of(daemon)) as stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(head + b"x" * 100)
                await stream.send_eof()
            await rest_of(stream)

    assert daemon.process.poll() is None
    assert await answers(port_of(daemon))


async def test_a_head_has_a_bound_of_its_own(daemon: Daemon) -> None:
    answer = await ask(port_of(daemon), b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"y" * MIB)

    assert answer.startswith(b"HTTP/1.1 431")


async def test_the_metrics_port_takes_no_body_either(daemon: Daemon) -> None:
    port = int(daemon.metrics.rpartition(":")[2])
    head = f"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: {100 * MIB}\r\n\r\n".encode()

    answer = await ask(port, head + b"x" * 2 * MIB)

    assert answer.startswith(b"HTTP/1.1 404")


# -- what must go on working -------------------------------------------------------------------


async def test_fifty_requests_are_answered_over_one_connection(daemon: Daemon) -> None:
    async with await connect(port_of(daemon)) as stream:
        for _ in range(50):
            assert (await answer_to(stream)).startswith(b"HTTP/1.1 200")


async def test_bodies_that_together_pass_the_limit_are_taken_one_by_one(
    running: RunningServer,
) -> None:
    body = b"x" * (MAX_BODY_BYTES - 1)

    for _ in range(4):
        answer = await running.client.post("/echo", content=body)
        assert answer.content == body


async def test_requests_sent_ahead_are_answered_in_turn(daemon: Daemon) -> None:
    last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    answer = await ask(port_of(daemon), GET * 20 + last)

    assert answer.count(b"HTTP/1.1 200 ") == 21


async def test_a_client_that_expects_100_continue_gets_it(running: RunningServer) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"

    async with await connect(running.port) as stream:
        await stream.send_all(head)
        with trio.fail_after(30):
            leave = bytes(await stream.receive_some())
            await stream.send_all(b"{}")
            answer = bytes(await stream.receive_some())

    assert leave.startswith(b"HTTP/1.1 100")
    assert answer.startswith(b"HTTP/1.1 200")


# -- seconds -----------------------------------------------------------------------------------


async def test_a_request_has_its_time_in_all_however_its_body_drips(running: RunningServer) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"

    async with limited(running.app, request_timeout_s=0.5) as port:
        begin = time.monotonic()
        async with await connect(port) as stream, trio.open_nursery() as nursery:

            async def drip() -> None:
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await stream.send_all(head)
                    while True:
                        await stream.send_all(b"x")
                        await trio.sleep(0.02)

            nursery.start_soon(drip)
            assert b" 2" not in (await rest_of(stream))[:12]
            nursery.cancel_scope.cancel()

    assert 0.4 < time.monotonic() - begin < 20


async def test_a_request_that_nobody_answers_ends_with_its_time(running: RunningServer) -> None:
    ended = trio.Event()

    async def hanging(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await running.app(scope, receive, send)
            return
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with limited(hanging, request_timeout_s=0.3) as port:
        assert (await ask(port, GET)).startswith(b"HTTP/1.1 500")
        assert ended.is_set()


async def test_a_client_that_does_not_read_the_answers_is_cut(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_SEND_TIMEOUT_S", 0.3)
    answered = len(running.answered)

    async with await connect(running.port) as stream:
        with trio.fail_after(30), pytest.raises(trio.BrokenResourceError):
            await stream.send_all(GET * 1_000_000)
    assert len(running.answered) > answered


# -- connections -------------------------------------------------------------------------------


@pytest.mark.usefixtures("many_files")
async def test_a_thousand_silent_sockets_shut_nobody_out(daemon: Daemon) -> None:
    before = files_of(daemon)
    async with contextlib.AsyncExitStack() as open_ones:
        for number in range(1000):
            await open_ones.enter_async_context(await connect(port_of(daemon)))
            if number % 100 == 99:
                assert await answers(port_of(daemon))

        assert files_of(daemon) <= before + 512 + 5


async def test_a_new_connection_replaces_a_silent_one(
    running: RunningServer,
) -> None:
    async with limited(running.app, max_connections=3) as port:
        kept, silent, began = [await connect(port) for _ in range(3)]
        async with kept, silent, began:
            assert (await answer_to(kept)).startswith(b"HTTP/1.1 200")
            await began.send_all(b"GET /hea")

            async with await connect(port) as newcomer:
                assert (await answer_to(newcomer)).startswith(b"HTTP/1.1 200")

                assert await rest_of(silent) == b""
                assert (await answer_to(kept)).startswith(b"HTTP/1.1 200")
                assert (await answer_to(began, GET[8:])).startswith(b"HTTP/1.1 200")


async def test_no_connection_replaces_a_request_under_way(running: RunningServer) -> None:
    entered, leave = trio.Event(), trio.Event()

    @running.app.get("/slow")
    async def slow() -> dict[str, str]:
        entered.set()
        await leave.wait()
        return {"slow": "done"}

    async with limited(running.app, max_connections=1) as port, await connect(port) as busy:
        await busy.send_all(GET.replace(b"/healthz", b"/slow"))
        await entered.wait()
        assert await ask(port, GET) == b""
        leave.set()
        assert b"done" in await answer_to(busy, b"")


async def test_a_stopping_server_does_not_wait_for_idle_connections(running: RunningServer) -> None:
    async with await connect(running.port) as silent, await connect(running.port) as kept:
        await answer_to(kept)
        begin = time.monotonic()
        running.stop.set()

        assert (await rest_of(silent), await rest_of(kept)) == (b"", b"")
        assert time.monotonic() - begin < 2.5


# -- rubbish -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 50,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
        b"GET http://[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET ?x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /%zz%00%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /nowhere HTTP/9.9\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /nowhere HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\r\n" * 100 + b"{",
    ],
    ids=[
        "h2",
        "tls",
        "url",
        "query",
        "path",
        "star",
        "connect",
        "version",
        "1.0",
        "no host",
        "lines",
    ],
)
async def test_rubbish_ends_its_connection_and_nothing_else(daemon: Daemon, said: bytes) -> None:
    lines = len(daemon.lines)

    answer = await ask(port_of(daemon), said)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert await answers(port_of(daemon))
    assert [line for line in daemon.lines[lines:] if line.get("level") == "error"] == []


async def test_noise_is_refused_over_and_over(daemon: Daemon) -> None:
    chance = random.Random(3)
    for _ in range(60):
        request = bytearray(GET.replace(b"/healthz", b"/readyz") + b"\r\n\r\n")
        for _ in range(chance.randrange(1, 12)):
            request[chance.randrange(len(request))] = chance.randrange(256)
        async with await connect(port_of(daemon)) as stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(bytes(request))
                await stream.send_eof()
            await rest_of(stream)

    assert await answers(port_of(daemon))


@pytest.mark.parametrize("wanted", ["h2c", "websocket"])
async def test_no_other_protocol_is_spoken_than_was_begun(daemon: Daemon, wanted: str) -> None:
    head = (
        f"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: {wanted}\r\n"
        "HTTP2-Settings: AAMAAABkAAQAAP__\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )

    answer = await ask(port_of(daemon), head.encode())

    assert answer.startswith(b"HTTP/1.1 200")


async def test_the_metrics_port_knows_no_websocket() -> None:
    head = GET.replace(b"\r\n\r\n", b"\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n")

    async with limited(metrics_app(CollectorRegistry())) as port:
        assert (await ask(port, head)).startswith(b"HTTP/1.1 404")
