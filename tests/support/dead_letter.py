"""A consumer that gives an event up."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import nats
from payd_client.consumer import DEAD_LETTERS
from payd_client.dead_letters import stream_config


def give_up(url: str, payment_id: str, event_id: str, body: bytes) -> int:
    """Make a dead letter of an event about this payment; return its position."""
    # A browser's test has a running loop in its own thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _give_up(url, payment_id, event_id, body)).result()


async def _give_up(url: str, payment_id: str, event_id: str, body: bytes) -> int:
    client = await nats.connect(url)
    await client.jetstream().add_stream(stream_config(DEAD_LETTERS))
    letter = await client.jetstream().publish(
        "payment_dlq.main-app-payment.payment.failed",
        body,
        headers={
            "ce-id": event_id,
            "ce-source": f"//payd/test/payments/{payment_id}",
            "payd-dead-reason": "rejected: no such user",
            "payd-dead-subject": "payment.failed",
            "payd-dead-deliveries": "3",
        },
    )
    await client.close()
    return letter.seq
