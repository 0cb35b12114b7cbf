"""An event consumer as a process of its own: `consumer.py NATS REDIS` runs until SIGTERM."""

import signal
import sys

import trio
from payd_client import ConsumerSettings, Event, EventConsumer


async def main(nats: str, redis: str) -> None:
    """Say when it has begun; end in order."""
    consumer = EventConsumer(ConsumerSettings(nats=nats, redis=redis), _ignore)
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            await nursery.start(consumer.run)
            print("started", flush=True)  # noqa: T201 - the protocol
            async for _ in signals:
                break
            nursery.cancel_scope.cancel()


async def _ignore(event: Event) -> None:
    """Handled."""


if __name__ == "__main__":
    _, url, state = sys.argv
    trio.run(main, url, state)
