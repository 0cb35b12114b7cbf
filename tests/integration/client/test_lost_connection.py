"""What a consumer still had to send is no reason to fail when its connection is lost."""

import asyncio

from payd_client import ConsumerSettings
from payd_client.subscription import Subscription
from support.event_stream import EventStream
from support.own_nats import OwnNats
from support.relay import Relay, relayed
from unit.cli.scripted_daemon import on_plain_asyncio


def test_a_subscription_closes_after_its_connection_was_lost_with_data_to_send(
    stream: EventStream, own_nats: OwnNats
) -> None:
    """Before Python 3.13.6 asyncio raises a TypeError then, from 3.12 on."""
    with relayed(own_nats.url) as relay:
        on_plain_asyncio(_lose_it_and_close(relay))


async def _lose_it_and_close(relay: Relay) -> None:
    subscription = Subscription(ConsumerSettings(nats=f"nats://127.0.0.1:{relay.port}"))
    await subscription.open()
    client = subscription._client
    # On its own thread: this one has to notice the loss.
    await asyncio.to_thread(relay.cut)
    while not client.is_reconnecting:  # noqa: ASYNC110 - nats-py tells nobody
        await asyncio.sleep(0.01)
    await client.publish("payment.wish", b"")

    async with asyncio.timeout(30):
        await subscription.close()

    assert client.is_closed
