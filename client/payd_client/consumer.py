"""Durable consumer of payd's events: each event handled once, in order within a payment.

A stream can only promise to deliver at least once. So each event is claimed in Redis before the
handler runs, confirmed after it and released when it fails. And the handler stores the event's id
in its own database, in the transaction of its effect: that decides, whatever Redis and NATS lost.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs

from payd_client.bridge import Bridge
from payd_client.extras import require
from payd_client.sharing import application_of
from payd_client.values import Event

#: Stream of dead letters.
DEAD_LETTERS = "PAYMENTS_DLQ"
#: Every event of payd.
ALL_SUBJECTS = "payment.>"
Handler = Callable[[Event], Awaitable[None]]


class Reject(Exception):
    """Raise it in a handler for an event that it can never handle: a dead letter."""


@attrs.frozen(kw_only=True)
class ConsumerSettings:
    """Addresses, names, limits and waits of a consumer."""

    #: URLs of NATS, separated by commas: nats://HOST:PORT or tls://HOST:PORT.
    nats: str = attrs.field(repr=False)
    #: redis://HOST:PORT, with the extra `redis`. Empty: no claims, the handler's database decides.
    redis: str = attrs.field(default="", repr=False)
    #: NATS credentials file (JWT and seed), with the extra `nkey`.
    credentials_file: Path | None = None
    stream: str = "PAYMENTS"
    #: Name of the durable consumer, one for each application: two applications that share a name
    #: take each other's events.
    durable: str = "main-app-payment"
    #: Name of the application, for a warning when two applications share `durable`. All processes
    #: and releases of the application need the same name. Empty: the module and name of the
    #: handler; for the program that was started, the file name without its folder, as in
    #: `app.py:on_event`. Set it when two applications would get the same name.
    application: str = ""
    #: Which events to receive. A consumer of some subjects only does not wait for a payment's
    #: previous event to be handled.
    subject: str = ALL_SUBJECTS
    #: Stream of dead letters.
    dead_letters: str = DEAD_LETTERS
    #: Handlers that run at the same time, each for another payment.
    parallel: int = 16
    #: Events received and not yet acknowledged.
    held_max: int = 256
    #: Seconds until NATS gives the events of a dead consumer to another one.
    ack_wait_s: float = 30.0
    #: Seconds after which a handler is cancelled, and the event tried again.
    handler_timeout_s: float = 300.0
    #: Seconds to wait after each failure of a handler; the last one repeats until `attempts_max`.
    backoff_s: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0)
    #: Failures of the handler after which the event becomes a dead letter.
    attempts_max: int = 10
    #: Deliveries after which an event becomes a dead letter: it may have crashed its consumers.
    deliveries_max: int = 100
    #: Seconds for which Redis remembers that an event is done.
    remember_s: float = 90 * 24 * 3600.0


class EventConsumer:
    """Consumer that runs in the caller's task group or nursery, on asyncio or trio.

    Start it with `task_group.create_task(consumer.run())` or `await nursery.start(consumer.run)`.
    It runs until it is cancelled, or until `stop()` was called and the running handlers have ended.
    NATS and Redis may go away and come back.
    """

    def __init__(self, settings: ConsumerSettings, handler: Handler) -> None:
        """Take a `handler` that runs on the caller's own loop; an exception of it means a retry."""
        application = settings.application or application_of(handler)
        self._settings = attrs.evolve(settings, application=application)
        self._handler = handler
        self._is_stopped = False
        self._stop: Callable[[], None] = lambda: None

    async def run(self, task_status: Any = None) -> None:
        """Handle events until cancelled or stopped. Raises MissingExtra.

        On trio, `nursery.start` returns when the durable consumer exists in NATS.
        """
        if self._settings.redis:
            require("redis", "redis", "ConsumerSettings.redis")
        if self._settings.credentials_file is not None:
            require("nkeys", "nkey", "ConsumerSettings.credentials_file")
        # Imported here, so that the settings alone do not load nats-py.
        from payd_client.handling import Handling
        from payd_client.tracing import continuing

        async with Bridge() as bridge:
            handling = Handling(self._settings, bridge.for_asyncio(continuing(self._handler)))
            started = task_status.started if task_status is not None else _ignore_start
            self._stop = handling.stop
            if self._is_stopped:
                handling.stop()
            await bridge.call(handling.run, started)

    def stop(self) -> None:
        """Receive no more events and end. Call it on the loop that runs the consumer."""
        self._is_stopped = True
        self._stop()


def _ignore_start() -> None:
    """On asyncio nothing waits for the start."""
