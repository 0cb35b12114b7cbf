"""The HTTP server over real sockets: responses, and limits against slow or large requests."""

import contextlib
import gc
import json

import httpx
import pytest
import trio
from integration.http.serving import HOST, MAX_BODY_BYTES, RunningServer, serving
from support.plain_http import NO_TLS

from payd import telemetry
from payd.domain.errors import StoreUnavailable
from payd.transport.http import app as http_app
from payd.transport.http.app import Check

PROBLEM = "application/problem+json"


async def exchange(running: RunningServer, request: bytes, *, within_s: float = 5.0) -> bytes:
    """Send a request on a new connection; return everything until the server closes it."""
    stream = await trio.open_tcp_stream(HOST, running.port)
    answer = b""
    async with stream:
        with trio.fail_after(within_s):
            # The server may close the connection without reading a refused request.
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(request)
            with contextlib.suppress(trio.BrokenResourceError):
                while data := await stream.receive_some():
                    answer += data
    return answer


# -- what operators and the main app ask -------------------------------------------------------


async def test_a_process_that_lives_says_so(running: RunningServer) -> None:
    answer = await running.client.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["cache-control"] == "no-store"


async def test_a_daemon_with_everything_is_ready(running: RunningServer) -> None:
    answer = await running.client.get("/readyz")

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["status"] == "ready"
    nats = answer.json()["checks"]["nats"]
    assert nats == {"ok": True, "detail": "", "required": True, "state": None}


async def test_a_daemon_without_its_database_is_not_ready_and_says_why(
    running: RunningServer,
) -> None:
    running.checks["database"] = Check(ok=False, detail="connection refused")

    answer = await running.client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["status"] == "not_ready"
    assert answer.json()["checks"]["database"]["detail"] == "connection refused"
    assert answer.json()["checks"]["nats"]["ok"] is True


async def test_a_daemon_without_its_rate_limiter_is_ready_all_the_same(
    running: RunningServer,
) -> None:
    running.checks["redis"] = Check(ok=False, detail="away", required=False)

    answer = await running.client.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["checks"]["redis"]["ok"] is False


async def test_a_dependency_that_hangs_is_not_ready_and_holds_up_nobody(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_app, "_READINESS_TIMEOUT_S", 0.1)
    running.hangs = True

    answer = await running.client.get("/readyz", timeout=2)

    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")


async def test_the_payment_methods_are_those_of_the_enabled_providers(
    running: RunningServer,
) -> None:
    answer = await running.client.get("/api/v1/payment-methods")

    assert answer.status_code == 200
    assert answer.json() == {
        "methods": [
            {
                "method": "card",
                "provider": "stripe",
                "display_name": "Card",
                "currencies": ["USD", "EUR"],
                "crypto_currencies": [],
            },
            {
                "method": "crypto",
                "provider": "tempo",
                "display_name": "Stablecoin",
                "currencies": ["USD"],
                "crypto_currencies": ["USDC"],
            },
        ]
    }


async def test_head_and_options_are_answered_without_a_body(running: RunningServer) -> None:
    head = await running.client.head("/healthz")
    options = await running.client.options("/api/v1/payment-methods")

    assert (head.status_code, head.content) == (200, b"")
    assert (options.status_code, options.content) == (200, b"")
    assert {"GET", "HEAD", "OPTIONS"} <= set(options.headers["allow"].split(", "))


async def test_a_request_keeps_its_id_or_gets_one(running: RunningServer) -> None:
    kept = await running.client.get("/healthz", headers={"x-request-id": "req-1"})
    made = await running.client.get("/healthz")
    replaced = await running.client.get("/healthz", headers={"x-request-id": "a b"})

    assert kept.headers["x-request-id"] == "req-1"
    assert len(made.headers["x-request-id"]) == 32
    assert len(replaced.headers["x-request-id"]) == 32


async def test_each_answer_is_counted_by_route_not_by_path(running: RunningServer) -> None:
    await running.client.get("/healthz?probe=1")
    await running.client.get("/no/such/thing")

    assert running.answered == [("/healthz", 200), ("unmatched", 404)]


@pytest.mark.usefixtures("json_lines")
async def test_a_request_is_one_line_and_only_on_debug(
    running: RunningServer, capfd: pytest.CaptureFixture[str]
) -> None:
    await running.client.get("/healthz")
    quiet = capfd.readouterr().err
    telemetry.set_level("debug")
    await running.client.get("/healthz", headers={"x-request-id": "req-1"})
    [line] = [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    assert quiet == ""
    assert (line["event"], line["route"], line["code"]) == ("http_finished", "/healthz", 200)
    assert line["request_id"] == "req-1"


# -- problems ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [
        ("GET", "/nothing/here", 404, "Not Found"),
        ("POST", "/healthz", 405, "Method Not Allowed"),
        ("BREW", "/healthz", 405, "Method Not Allowed"),
        ("GET", "/healthz/", 404, "Not Found"),
        ("GET", "/broken", 500, "Internal Server Error"),
    ],
)
async def test_a_refusal_is_a_problem_document(
    running: RunningServer, method: str, path: str, status: int, title: str
) -> None:
    answer = await running.client.request(method, path)

    document = answer.json()
    assert answer.status_code == document["status"] == status
    assert answer.headers["content-type"] == PROBLEM
    assert (document["type"], document["title"]) == ("about:blank", title)
    assert "boom at the till" not in answer.text
    if status == 405:
        assert "GET" in answer.headers["allow"]


@pytest.mark.usefixtures("json_lines")
async def test_a_failure_of_ours_is_logged_and_not_shown_to_the_caller(
    running: RunningServer, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = await running.client.get("/broken", headers={"x-request-id": "req-9"})

    [line] = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert line["level"] == "error"
    assert "ZeroDivisionError: boom at the till" in line["exception"]
    assert line["request_id"] == "req-9"
    assert "detail" not in answer.json()


async def test_a_reason_of_the_contract_keeps_its_name(running: RunningServer) -> None:
    @running.app.get("/away")
    async def away() -> bytes:
        raise StoreUnavailable("the database is away")

    answer = await running.client.get("/away")

    assert answer.status_code == 503
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["title"] == "STORE_UNAVAILABLE"


# -- slow and flooding clients -----------------------------------------------------------------


async def test_a_body_within_the_limit_is_read(running: RunningServer) -> None:
    body = b"x" * MAX_BODY_BYTES

    answer = await running.client.post("/echo", content=body)

    assert answer.content == body


@pytest.mark.parametrize("path", ["/echo", "/nothing/here"])
async def test_a_body_over_the_limit_is_refused_before_it_is_sent(
    running: RunningServer, path: str
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"

    answer = await exchange(running, head.encode())

    assert answer.startswith(b"HTTP/1.1 413")
    assert PROBLEM.encode() in answer
    assert b"connection: close" in answer.lower()


async def test_a_body_without_a_stated_length_is_refused_where_it_passes_the_limit(
    running: RunningServer,
) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"

    answer = await exchange(running, head + chunk * (MAX_BODY_BYTES // 0x4000 + 1))

    assert answer.startswith(b"HTTP/1.1 413")
    assert PROBLEM.encode() in answer


async def test_a_body_that_drips_is_cut_after_its_time(running: RunningServer) -> None:
    running.app.config["BODY_TIMEOUT"] = 0.3
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nfirst"

    answer = await exchange(running, head)

    assert answer.startswith(b"HTTP/1.1 408")
    assert PROBLEM.encode() in answer


async def test_a_body_that_nobody_reads_does_not_become_the_next_request(
    running: RunningServer,
) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\nGET /readyz HTTP/1.1"

    answer = await exchange(running, request)

    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"checks" not in answer


async def test_an_answer_before_the_end_of_a_body_says_that_its_connection_ends(
    running: RunningServer,
) -> None:
    """RFC 9112, 9.6: without it, a client sends its next request here."""
    head = b"POST /nothing/here HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nfirst"

    answer = await exchange(running, head)

    assert answer.startswith(b"HTTP/1.1 404")
    assert b"\r\nconnection: close\r\n" in answer.lower()


async def test_an_answer_to_a_whole_request_keeps_its_connection(running: RunningServer) -> None:
    answer = await running.client.post("/echo", content=b"all of it")

    assert "connection" not in answer.headers


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /healthz HTTP/1.1\r\nContent-Length: x\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
    ids=["TLS", "no length", "long header"],
)
async def test_nonsense_is_refused_and_the_server_keeps_serving(
    running: RunningServer, nonsense: bytes
) -> None:
    answer = await exchange(running, nonsense + b"\r\n\r\n")

    assert answer == b"" or answer.split(b" ")[1].startswith(b"4")
    assert (await running.client.get("/healthz")).status_code == 200


async def test_a_header_that_drips_is_cut(running: RunningServer) -> None:
    answer = await exchange(running, b"GET /healthz HTTP/1.1\r\nHos", within_s=8)

    assert b"200" not in answer


# hypercorn drops the socket that it could not bind without closing it.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_two_servers_cannot_listen_on_one_port(running: RunningServer) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with serving(running.app, running.port):
            pytest.fail("it opened")

    assert caught.group_contains(OSError, match="in use")
    del caught
    gc.collect()


async def test_a_stopped_server_accepts_no_connection(running: RunningServer) -> None:
    async with serving(running.app) as port:
        url = f"http://{HOST}:{port}/healthz"
        async with httpx.AsyncClient(verify=NO_TLS) as client:
            assert (await client.get(url)).status_code == 200

    async with httpx.AsyncClient(verify=NO_TLS) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_a_request_under_way_is_answered_while_the_server_stops(
    running: RunningServer,
) -> None:
    asked, answered = trio.Event(), list[httpx.Response]()

    @running.app.get("/slow")
    async def slow() -> bytes:
        asked.set()
        await trio.sleep(0.3)
        return b"done"

    async def ask() -> None:
        answered.append(await running.client.get("/slow"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await asked.wait()
        running.stop.set()
    [answer] = answered
    assert (answer.content, answer.headers["connection"]) == (b"done", "close")
    with pytest.raises(httpx.TransportError):
        await running.client.get("/healthz")
