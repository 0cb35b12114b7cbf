"""The publisher and a real NATS server that is away, killed, frozen, or set up wrongly."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import nats
import nats.errors
import pytest
import trio
from integration.nats.server import (
    STREAM,
    NatsServer,
    a_publisher,
    an_event,
    connected,
    eventually,
    is_ready,
    stored,
)
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from payd import telemetry
from payd.adapters.bridge import aio
from payd.adapters.nats.publisher import JetStreamPublisher
from payd.adapters.nats.stream import MESSAGE_BYTES_MAX
from payd.codec.messages import event_body
from payd.codec.requests import ITEMS_MAX, METADATA_MAX, SUBSCRIPTIONS_MAX, URL_LENGTH_MAX
from payd.domain.attention import Attention, AttentionRecord
from payd.domain.money import Money
from payd.domain.next_action import Redirect
from payd.domain.payment import Customer, LineItem, Payment, Status
from payd.ports import OutboxRow, PublishError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IN_FLIGHT = 20


async def publish(publisher: JetStreamPublisher, row: OutboxRow) -> None:
    await aio(publisher.publish, row)


async def publish_as_the_outbox_does(publisher: JetStreamPublisher, row: OutboxRow) -> None:
    """Until it is acknowledged."""
    while True:
        try:
            await publish(publisher, row)
        except PublishError:
            await trio.sleep(0.05)
        else:
            return


async def publish_until_refused(publisher: JetStreamPublisher, body: bytes) -> None:
    """A server takes a moment to read its configuration."""
    with trio.fail_after(60):
        while True:
            await publish(publisher, an_event(body=body))


async def by_operator(url: str, config: StreamConfig) -> None:
    """Creates the stream from outside, as production does."""

    async def create() -> None:
        client = await nats.connect(url)
        await client.jetstream().add_stream(config)
        await client.close()

    await aio(create)


def production_stream(**overrides: Any) -> StreamConfig:
    settings: dict[str, Any] = {
        "name": STREAM,
        "subjects": ["payment.>"],
        "retention": RetentionPolicy.LIMITS,
        "storage": StorageType.FILE,
        "discard": DiscardPolicy.NEW,
        "duplicate_window": 3600,
    }
    return StreamConfig(**{**settings, **overrides})


# -- an event arrives --------------------------------------------------------------------------


async def test_an_event_arrives_as_it_was_written(nats_server: NatsServer) -> None:
    row = an_event(previous_event_id=UUID(int=7))
    async with connected(a_publisher(nats_server.url)) as publisher:
        await eventually(lambda: is_ready(publisher))
        await publish(publisher, row)

    [message] = await stored(nats_server.url)
    assert (message.subject, message.data) == ("payment.completed", row.body)
    assert message.headers == {
        **row.headers,
        "Nats-Msg-Id": str(row.event_id),
        "Nats-Expected-Stream": STREAM,
        "payd-previous-event-id": str(UUID(int=7)),
    }
    assert "Nats-Msg-Id" not in row.headers


async def test_an_event_that_is_published_again_is_stored_once(nats_server: NatsServer) -> None:
    row = an_event()
    async with connected(a_publisher(nats_server.url)) as publisher:
        await eventually(lambda: is_ready(publisher))
        await publish(publisher, row)
        await publish(publisher, row)

    assert len(await stored(nats_server.url)) == 1


async def test_the_largest_payment_fits(nats_server: NatsServer) -> None:
    row = an_event(body=_largest_event_body())
    async with connected(a_publisher(nats_server.url)) as publisher:
        await eventually(lambda: is_ready(publisher))
        await publish(publisher, row)

    [message] = await stored(nats_server.url)
    assert len(json.loads(message.data)["items"]) == ITEMS_MAX
    assert len(row.body) < MESSAGE_BYTES_MAX


async def test_an_event_that_is_too_large_is_refused_and_its_neighbour_is_not(
    nats_server: NatsServer,
) -> None:
    async with connected(a_publisher(nats_server.url)) as publisher:
        await eventually(lambda: is_ready(publisher))
        with pytest.raises(PublishError, match="size"):
            await publish(publisher, an_event(body=b"x" * (MESSAGE_BYTES_MAX + 1)))
        await publish(publisher, an_event())

    assert len(await stored(nats_server.url)) == 1


# -- the server comes and goes -----------------------------------------------------------------


async def test_events_survive_a_server_that_is_killed_while_twenty_are_in_flight(
    nats_server: NatsServer,
) -> None:
    rows = [an_event() for _ in range(600)]
    acked: list[OutboxRow] = []

    async def worker(publisher: JetStreamPublisher, mine: Sequence[OutboxRow]) -> None:
        for row in mine:
            await publish_as_the_outbox_does(publisher, row)
            acked.append(row)

    async with connected(a_publisher(nats_server.url)) as publisher:
        await eventually(lambda: is_ready(publisher))
        async with trio.open_nursery() as workers:
            for number in range(IN_FLIGHT):
                workers.start_soon(worker, publisher, rows[number::IN_FLIGHT])
            for after in (100, 300):
                await eventually(lambda: len(acked) >= after)  # noqa: B023 - asked at once
                nats_server.kill()
                assert len(acked) < len(rows)
                await nats_server.start()

    ids = Counter((message.headers or {})["ce-id"] for message in await stored(nats_server.url))
    assert ids == Counter(str(row.event_id) for row in rows)


async def test_an_event_is_refused_at_once_while_the_server_is_away(
    nats_server: NatsServer,
) -> None:
    async with connected(a_publisher(nats_server.url)) as publisher:
        await eventually(lambda: is_ready(publisher))
        nats_server.kill()
        await eventually(lambda: not publisher.state().connected)
        # Less than the time-out of a publish.
        with trio.fail_after(4), pytest.raises(PublishError):
            await publish(publisher, an_event())
        await nats_server.start()
        await eventually(lambda: is_ready(publisher))

    assert await stored(nats_server.url) == [], "nothing is delivered after it was refused"


async def test_a_server_that_is_away_at_the_start_is_waited_for(nats_server: NatsServer) -> None:
    await nats_server.stop()
    async with connected(a_publisher(nats_server.url)) as publisher:
        await eventually(lambda: publisher.state().last_error is not None)
        assert not publisher.state().connected
        # Less than the time-out of a publish.
        with trio.fail_after(4), pytest.raises(PublishError):
            await publish(publisher, an_event())
        await nats_server.start()
        await eventually(lambda: is_ready(publisher))
        await publish(publisher, an_event())

    assert len(await stored(nats_server.url)) == 1


async def test_a_stream_that_was_lost_with_its_disk_is_made_again(nats_server: NatsServer) -> None:
    async with connected(a_publisher(nats_server.url)) as publisher:
        await eventually(lambda: is_ready(publisher))
        nats_server.kill()
        nats_server.lose_everything()
        await nats_server.start()
        row = an_event()
        with trio.fail_after(60):
            await publish_as_the_outbox_does(publisher, row)

    assert [(m.headers or {})["ce-id"] for m in await stored(nats_server.url)] == [
        str(row.event_id)
    ]


async def test_a_frozen_server_costs_the_time_out_and_no_more(nats_server: NatsServer) -> None:
    row = an_event()
    async with connected(a_publisher(nats_server.url, publish_timeout_s=0.3)) as publisher:
        await eventually(lambda: is_ready(publisher))
        await nats_server.freeze()
        with (
            trio.fail_after(60),
            pytest.raises(PublishError, match=r"no acknowledgement within 0\.3 s"),
        ):
            await publish(publisher, row)
        nats_server.thaw()
        await publish_as_the_outbox_does(publisher, row)

    assert len(await stored(nats_server.url)) == 1


async def test_a_client_that_the_server_threw_out_is_built_anew(nats_server: NatsServer) -> None:
    """nats-py closes for ever when it sends more than the server takes since its last word."""
    async with connected(a_publisher(nats_server.url, publish_timeout_s=0.5)) as publisher:
        await eventually(lambda: is_ready(publisher))
        nats_server.reload("max_payload: 1000")
        with pytest.raises(PublishError, match=r"(?i)maximum payload"):
            await publish_until_refused(publisher, b"x" * 50_000)
        row = an_event()
        with trio.fail_after(60):
            await publish_as_the_outbox_does(publisher, row)

    assert str(row.event_id) in [(m.headers or {})["ce-id"] for m in await stored(nats_server.url)]


@pytest.mark.parametrize("away", [False, True], ids=["connected", "while the server is away"])
async def test_the_end_of_the_daemon_waits_for_no_server(
    nats_server: NatsServer, away: bool
) -> None:
    publisher = a_publisher(nats_server.url)
    if away:
        await nats_server.stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(aio, publisher.run)
        await eventually(lambda: is_ready(publisher) or publisher.state().last_error is not None)
        nursery.cancel_scope.cancel()
        start = trio.current_time()
    assert trio.current_time() - start < 15
    assert not publisher.state().connected


# -- a stream that is not as it must be --------------------------------------------------------


async def test_a_missing_stream_is_reported_and_used_as_soon_as_it_is_there(
    nats_server: NatsServer,
) -> None:
    async with connected(a_publisher(nats_server.url, create_stream=False)) as publisher:
        await eventually(lambda: publisher.state().problem is not None)
        assert publisher.state().connected
        problem = publisher.state().problem
        assert problem == "the stream PAYMENTS does not exist: run `payd events create-stream`"
        with pytest.raises(PublishError, match=r"no stream takes payment\.completed"):
            await publish(publisher, an_event())

        await by_operator(nats_server.url, production_stream())
        await eventually(lambda: is_ready(publisher))
        await publish(publisher, an_event())

    assert len(await stored(nats_server.url)) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"discard": DiscardPolicy.OLD}, "discard is not new"),
        ({"subjects": ["payment.completed"]}, "subjects are"),
        ({"retention": RetentionPolicy.INTEREST}, "retention is interest"),
        ({"storage": StorageType.MEMORY}, "storage is not file"),
        ({"no_ack": True}, "events are not acknowledged"),
        ({"max_msgs_per_subject": 1}, "max_msgs_per_subject"),
        ({"max_msg_size": 65536}, "max_msg_size is 65536"),
        ({"duplicate_window": 30}, "duplicate_window is 30 s"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_a_stream_that_could_lose_an_event_is_reported(
    nats_server: NatsServer, wrong: dict[str, Any], said: str
) -> None:
    await by_operator(nats_server.url, production_stream(**wrong))
    async with connected(a_publisher(nats_server.url, create_stream=False)) as publisher:
        await eventually(lambda: publisher.state().connected)
        problem = publisher.state().problem

    assert problem is not None
    assert said in problem


async def test_a_stream_as_production_makes_it_is_not_complained_about(
    nats_server: NatsServer,
) -> None:
    await by_operator(nats_server.url, production_stream())
    async with connected(a_publisher(nats_server.url, create_stream=False)) as publisher:
        await eventually(lambda: publisher.state().connected)
        assert publisher.state().problem is None


async def test_a_full_stream_refuses_and_keeps_what_it_has(nats_server: NatsServer) -> None:
    await by_operator(nats_server.url, production_stream(max_msgs=1))
    async with connected(a_publisher(nats_server.url, create_stream=False)) as publisher:
        await eventually(lambda: is_ready(publisher))
        first = an_event()
        await publish(publisher, first)
        with pytest.raises(PublishError, match="maximum messages"):
            await publish(publisher, an_event())

    assert [(m.headers or {})["ce-id"] for m in await stored(nats_server.url)] == [
        str(first.event_id)
    ]


async def test_an_event_of_another_stream_is_refused(nats_server: NatsServer) -> None:
    await by_operator(nats_server.url, production_stream(name="OTHER"))
    async with connected(a_publisher(nats_server.url, create_stream=False)) as publisher:
        await eventually(lambda: publisher.state().connected)
        with pytest.raises(PublishError, match="expected stream"):
            await publish(publisher, an_event())


async def test_an_answer_of_another_client_for_the_stream_is_not_believed(
    nats_server: NatsServer,
) -> None:
    async def impostor() -> Any:
        client = await nats.connect(nats_server.url)

        async def answer(message: Any) -> None:
            await message.respond(b"+OK")

        await client.subscribe("payment.>", cb=answer)
        await client.flush()
        return client

    async with connected(a_publisher(nats_server.url, create_stream=False)) as publisher:
        await eventually(lambda: publisher.state().connected)
        client = await aio(impostor)
        with pytest.raises(PublishError):
            await publish(publisher, an_event())
        await aio(client.close)


DENIED = """
authorization { users: [ { user: payd, password: "%s", permissions: {
  publish: ["payment.failed", "$JS.API.>"], subscribe: "_INBOX_payd.>" } } ] }
"""


async def test_a_denied_subject_is_named(nats_server: NatsServer) -> None:
    await nats_server.stop()
    await nats_server.start(DENIED % "pw")
    url = nats_server.url.replace("//", "//payd:pw@")
    async with connected(a_publisher(url, publish_timeout_s=0.5)) as publisher:
        await eventually(lambda: is_ready(publisher))
        await publish(publisher, an_event(subject="payment.failed"))
        with pytest.raises(PublishError, match=r"(?i)permissions violation.*payment\.completed"):
            await publish(publisher, an_event(subject="payment.completed"))


@pytest.mark.usefixtures("json_lines")
async def test_the_password_in_the_servers_address_is_in_no_line(
    nats_server: NatsServer, capfd: pytest.CaptureFixture[str]
) -> None:
    telemetry.set_level("debug")
    await nats_server.stop()
    await nats_server.start(DENIED % "right-password")
    url = nats_server.url.replace("//", "//payd:wrong-password@")
    async with connected(a_publisher(url)) as publisher:
        await eventually(lambda: publisher.state().last_error is not None)
        telemetry.get_logger("test").warning("nats_configured", url=url)

    written = capfd.readouterr().err
    assert "nats_configured" in written
    assert "wrong-password" not in written


def _largest_event_body() -> bytes:
    """Fill every field of the caller's to its limit, with the characters that take most bytes."""
    price = Money(currency_code="USD", minor_units=2**62)
    name = "x" * 64
    payment = Payment(
        id=uuid4(),
        status=Status.COMPLETED,
        idempotency_key="k" * 255,
        request_hash=b"",
        customer=Customer(id="c" * 128, wallet_address="w" * 128, email="😀" * 250),
        method="m" * 64,
        provider="p" * 64,
        amount=price,
        items=(LineItem(chain_profile_id=name, node_type=name, duration=name, unit_price=price),)
        * ITEMS_MAX,
        subscription_ids=("s" * 128,) * SUBSCRIPTIONS_MAX,
        metadata={f"{number:02}" + "😀" * 62: "😀" * 512 for number in range(METADATA_MAX)},
        pricing_version="v" * 64,
        create_time=NOW,
        update_time=NOW,
        expire_time=NOW,
        complete_time=NOW,
        provider_reference="r" * 255,
        next_action=Redirect(url="u" * URL_LENGTH_MAX),
        attention_records=tuple(AttentionRecord(reason=reason, since=NOW) for reason in Attention),
    )
    return event_body(
        payment,
        event_id=uuid4(),
        event_type="payment.completed",
        previous_status=Status.PROCESSING,
        reason="canceled",
        request_id="r" * 128,
    )


async def test_a_tls_url_never_becomes_a_plain_connection(nats_server: NatsServer) -> None:
    """The server, or an attacker in between, need only omit `tls_required` from its INFO."""
    url = nats_server.url.replace("nats://", "tls://user:canary@")
    async with connected(a_publisher(url, connect_timeout_s=1.0)) as publisher:
        await eventually(lambda: publisher.state().last_error is not None)
        state = publisher.state()
    assert not state.connected
    assert "does not offer TLS" in str(state.last_error)
