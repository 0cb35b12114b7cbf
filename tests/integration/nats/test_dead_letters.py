"""Dead letters on a real server: read page by page over gaps, and put back once."""

from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from integration.nats.server import (
    NatsServer,
    a_publisher,
    connected,
    eventually,
    is_ready,
    stored,
)
from payd_client.consumer import DEAD_LETTERS
from payd_client.dead_letters import stream_config

from payd.adapters.bridge import aio, for_trio
from payd.adapters.nats.dead_letters import JetStreamDeadLetters
from payd.adapters.nats.publisher import JetStreamPublisher
from payd.domain.errors import StreamUnavailable
from payd.ports import DeadLetterStream

BODY = b'{"status":"PAYMENT_STATUS_COMPLETED"}'


@pytest.fixture
async def publisher(nats_server: NatsServer) -> AsyncIterator[JetStreamPublisher]:
    async with connected(a_publisher(nats_server.url)) as publisher:
        await eventually(lambda: is_ready(publisher))
        yield publisher


@pytest.fixture
def dead_letters(publisher: JetStreamPublisher) -> DeadLetterStream:
    return for_trio(JetStreamDeadLetters(publisher, "PAYMENTS"))


async def bury(url: str, count: int, body: bytes = BODY, **identity: str) -> None:
    """As a consumer does, by a client that knows nothing of payd's daemon."""

    async def write() -> None:
        client = await nats.connect(url, **identity)
        jetstream = client.jetstream()
        await jetstream.add_stream(stream_config(DEAD_LETTERS))
        for number in range(1, count + 1):
            await jetstream.publish(
                "payment_dlq.main-app-payment.payment.completed",
                body,
                headers={
                    "ce-id": f"event-{number}",
                    "Nats-Msg-Id": f"main-app-payment:{number}",
                    "payd-dead-reason": "rejected: no such user",
                    "payd-dead-subject": "payment.completed",
                    "payd-dead-deliveries": "3",
                },
            )
        await client.close()

    await aio(write)


async def test_without_the_stream_there_are_no_dead_letters(
    dead_letters: DeadLetterStream,
) -> None:
    found = await dead_letters.read(0, 10)
    assert (found.letters, found.next, found.total) == ((), None, 0)
    assert await dead_letters.replay({1: BODY}) == []
    assert await dead_letters.get(1) is None


async def test_each_letter_is_read_once_however_many_were_deleted_between(
    nats_server: NatsServer, dead_letters: DeadLetterStream
) -> None:
    await bury(nats_server.url, 7)
    assert await dead_letters.replay({2: BODY, 3: BODY, 4: BODY}) == [2, 3, 4]

    first = await dead_letters.read(0, 2)
    second = await dead_letters.read(first.next or 0, 2)

    assert [one.sequence for one in first.letters + second.letters] == [1, 5, 6, 7]
    assert (first.next, second.next, first.total) == (5, None, 4)
    letter = first.letters[0]
    assert (letter.subject, letter.event_id) == ("payment.completed", "event-1")
    assert (letter.reason, letter.deliveries) == ("rejected: no such user", 3)
    assert letter.data == BODY


async def test_long_letters_make_a_short_page(
    nats_server: NatsServer, dead_letters: DeadLetterStream
) -> None:
    """An answer of 200 letters, each as long as an event may be, would be 50 MiB."""
    await bury(nats_server.url, 6, b"x" * 250_000)
    first = await dead_letters.read(0, 200)
    second = await dead_letters.read(first.next or 0, 200)
    assert [len(first.letters), len(second.letters)] == [4, 2]


async def test_a_replayed_letter_is_the_event_again_and_no_letter_any_more(
    nats_server: NatsServer, dead_letters: DeadLetterStream
) -> None:
    await bury(nats_server.url, 2)

    assert await dead_letters.get(1) == (await dead_letters.read(0, 1)).letters[0]
    assert await dead_letters.replay({1: b"{}"}) == [1]
    assert await dead_letters.get(1) is None
    assert await dead_letters.replay({1: b"{}", 9: b"{}"}) == []

    [event] = await stored(nats_server.url)
    assert (event.subject, event.data) == ("payment.completed", b"{}")
    assert event.headers == {
        "ce-id": "event-1",
        "Nats-Msg-Id": "replay:PAYMENTS_DLQ:1",
        "Nats-Expected-Stream": "PAYMENTS",
    }
    left = await dead_letters.read(0, 10)
    assert [one.sequence for one in left.letters] == [2]


async def test_a_letter_that_another_operator_puts_back_meanwhile_is_skipped(
    nats_server: NatsServer,
    publisher: JetStreamPublisher,
    dead_letters: DeadLetterStream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both have read it; the other one is faster."""
    await bury(nats_server.url, 3)
    jetstream = publisher.jetstream()
    publish = jetstream.publish

    async def publish_second(subject: str, body: bytes, *, stream: str, headers: Any) -> Any:
        if headers["Nats-Msg-Id"].endswith(":2"):
            await publish(subject, body, stream=stream, headers=headers)
            await jetstream.delete_msg(DEAD_LETTERS, 2)
        return await publish(subject, body, stream=stream, headers=headers)

    monkeypatch.setattr(jetstream, "publish", publish_second)
    assert await dead_letters.replay({1: BODY, 2: BODY, 3: BODY}) == [1, 3]
    assert [(one.headers or {})["ce-id"] for one in await stored(nats_server.url)] == [
        f"event-{number}" for number in (1, 2, 3)
    ]
    assert (await dead_letters.read(0, 10)).letters == ()


async def test_without_nats_the_call_fails_and_may_be_repeated(
    nats_server: NatsServer, publisher: JetStreamPublisher, dead_letters: DeadLetterStream
) -> None:
    await bury(nats_server.url, 1)
    nats_server.kill()
    with pytest.raises(StreamUnavailable):
        await dead_letters.read(0, 10)
    with pytest.raises(StreamUnavailable):
        await dead_letters.get(1)
    await eventually(lambda: not publisher.state().connected)
    with pytest.raises(StreamUnavailable, match="NATS_URL"):
        await dead_letters.replay({1: BODY})
