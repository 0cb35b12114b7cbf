"""POST /webhooks/{provider}: the bytes as they came, and a 2xx only for what is stored."""

from typing import Any

import pytest
import trio
from integration.http.serving import HOST, MAX_BODY_BYTES, RunningServer

from payd.domain.errors import (
    PaydError,
    ProviderUnavailable,
    StoreUnavailable,
    WebhookRefused,
    WebhookUnknown,
)

BODY = b'{"caf\xc3\xa9":  1 }\r\n'


async def test_the_bytes_and_headers_arrive_as_they_were_sent(running: RunningServer) -> None:
    answer = await running.client.post(
        "/webhooks/stripe", content=BODY, headers={"Stripe-Signature": "t=1,v1=a"}
    )

    assert (answer.status_code, answer.json()) == (200, {"received": True, "new": 1})
    [(provider, request)] = running.intake.taken
    assert (provider, request.body) == ("stripe", BODY)
    assert request.headers["stripe-signature"] == "t=1,v1=a"


async def test_a_repetition_is_answered_alike(running: RunningServer) -> None:
    for _ in range(2):
        answer = await running.client.post("/webhooks/stripe", content=BODY)
        assert answer.status_code == 200

    assert answer.json() == {"received": True, "new": 0}
    assert running.webhooks == [("stripe", "new"), ("stripe", "repeated")]


async def test_several_events_of_one_webhook_are_counted(running: RunningServer) -> None:
    for body in (b"one\ntwo\nthree", b"one\ntwo\nthree", b""):
        answer = await running.client.post("/webhooks/stripe", content=body)
        assert answer.status_code == 200

    assert running.webhooks == [("stripe", "new"), ("stripe", "repeated"), ("stripe", "empty")]
    assert running.events == [("stripe", "new", 3), ("stripe", "repeated", 3)]


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
async def test_a_body_is_raw_whatever_it_calls_itself(
    running: RunningServer, content_type: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    answer = await running.client.post("/webhooks/stripe", content=b"a=1&b=%zz", headers=headers)

    assert answer.status_code == 200
    assert running.intake.taken[-1][1].body == b"a=1&b=%zz"


@pytest.mark.parametrize(
    ("error", "status", "counted"),
    [
        (WebhookRefused("no signature fits", why="signature"), 400, ("stripe", "signature")),
        (WebhookUnknown("no such provider"), 404, ("", "webhook_unknown")),
        (StoreUnavailable("PostgreSQL is away"), 503, ("stripe", "store_unavailable")),
        (ProviderUnavailable("not running"), 503, ("stripe", "provider_unavailable")),
    ],
)
async def test_what_is_not_stored_is_never_answered_2xx(
    running: RunningServer, error: PaydError, status: int, counted: tuple[str, str]
) -> None:
    running.intake.error = error

    answer = await running.client.post("/webhooks/stripe", content=BODY)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == error.reason
    assert running.webhooks == [counted]


async def test_a_body_over_the_limit_is_refused_unread(running: RunningServer) -> None:
    answer = await running.client.post("/webhooks/stripe", content=b"x" * (MAX_BODY_BYTES + 1))

    assert answer.status_code == 413
    assert running.intake.taken == []


async def test_a_body_of_no_stated_length_is_refused_past_the_limit(running: RunningServer) -> None:
    async def chunks() -> Any:
        for _ in range(MAX_BODY_BYTES // 0x4000 + 1):
            yield b"x" * 0x4000

    answer = await running.client.post("/webhooks/stripe", content=chunks())

    assert answer.status_code == 413
    assert running.intake.taken == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_only_post_is_taken(running: RunningServer, method: str) -> None:
    answer = await running.client.request(method, "/webhooks/stripe")

    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    assert running.intake.taken == []


@pytest.mark.parametrize("path", ["/webhooks", "/webhooks/", "/webhooks/stripe/", "/webhooks/a/b"])
async def test_a_path_names_one_provider(running: RunningServer, path: str) -> None:
    answer = await running.client.post(path, content=BODY)

    assert answer.status_code == 404
    assert running.intake.taken == []


async def test_a_repeated_header_arrives_as_one(running: RunningServer) -> None:
    headers = [("X-Signature", "a"), ("X-Signature", "b")]

    await running.client.post("/webhooks/stripe", content=BODY, headers=headers)

    assert running.intake.taken[-1][1].headers["x-signature"] == "a, b"


async def test_a_webhook_keeps_its_request_id_and_is_counted(running: RunningServer) -> None:
    answer = await running.client.post(
        "/webhooks/stripe", content=BODY, headers={"x-request-id": "req-1"}
    )

    assert answer.headers["x-request-id"] == "req-1"
    assert running.answered == [("/webhooks/<provider>", 200)]


async def test_an_answer_is_one_write(running: RunningServer) -> None:
    request = b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    async with await trio.open_tcp_stream(HOST, running.port) as stream:
        for _ in range(20):
            await stream.send_all(request)
            with trio.fail_after(60):
                answer = await stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"}\n")
