"""A durable consumer of payd's events: each handled once, in order within a payment.

At least once is what a stream can promise. So each event is claimed in Redis before the handler
runs, confirmed after it and released when it fails; and the handler writes the event's id into its
own database, in the transaction of its effect: that decides, whatever Redis and NATS have lost.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs

from payd_client.dead_letters import DEAD_LETTERS
from payd_client.island import Island
from payd_client.sharing import application_of
from payd_client.values import Event

Handler = Callable[[Event], Awaitable[None]]


class Reject(Exception):
    """Raised by a handler for an event that it will never be able to handle: a dead letter."""


@attrs.frozen(kw_only=True)
class ConsumerSettings:
    """Where events come from, and how patiently they are handled."""

    #: nats://…, several with commas.
    nats: str = attrs.field(repr=False)
    #: redis://…; empty: only the handler's own database knows what is done.
    redis: str = attrs.field(default="", repr=False)
    #: Of NATS, where it wants one.
    credentials_file: Path | None = None
    stream: str = "PAYMENTS"
    #: One name for one application: two that share it take each other's events.
    durable: str = "main-app-payment"
    #: Names the application in a warning about that. All of its processes and releases need the
    #: same name, and another application on the same NATS account needs another one. Empty: the
    #: module and name of the handler; for a program's own file, that is the file's name without
    #: its folder, as in `app.py:on_event`. Set it where two applications have the same names.
    application: str = ""
    subject: str = "payment.>"
    dead_letters: str = DEAD_LETTERS
    #: Handlers at once, each for another payment.
    parallel: int = 16
    #: Messages taken and not yet acknowledged.
    held_max: int = 256
    #: After so long without a word a dead consumer's events are given to another.
    ack_wait_s: float = 30.0
    #: A handler that takes longer is cancelled, and tried again.
    handler_timeout_s: float = 300.0
    #: Waits after a handler has failed; the last one goes on until `attempts_max`.
    backoff_s: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0)
    #: Then it is a dead letter.
    attempts_max: int = 10
    #: A message that ended this many consumers is one, too.
    deliveries_max: int = 100
    #: How long Redis knows that an event is done.
    remember_s: float = 90 * 24 * 3600.0


class EventConsumer:
    """Runs inside the caller's nursery or task group, on trio or on asyncio.

    `await nursery.start(consumer.run)`, or `task_group.create_task(consumer.run())`. It ends when it
    is cancelled; or after `stop()`, when the handlers under way have ended. NATS and Redis may go
    away and come back meanwhile.
    """

    def __init__(self, settings: ConsumerSettings, handler: Handler) -> None:
        """`handler` runs on the caller's own loop; what it raises is a reason to try again."""
        application = settings.application or application_of(handler)
        self._settings = attrs.evolve(settings, application=application)
        self._handler = handler
        self._is_stopped = False
        self._end: Callable[[], None] = lambda: None

    async def run(self, task_status: Any = None) -> None:
        """Until cancelled or stopped. Started when its consumer exists at NATS."""
        # Late: who only has settings to write needs no NATS library.
        from payd_client.handling import Handling

        async with Island() as island:
            handling = Handling(self._settings, island.native(self._handler))
            started = task_status.started if task_status is not None else _nobody_waits
            self._end = handling.stop
            if self._is_stopped:
                handling.stop()
            await island.call(handling.run, started)

    def stop(self) -> None:
        """Take nothing more, and end. Repeatable; from the loop that runs it."""
        self._is_stopped = True
        self._end()


def _nobody_waits() -> None:
    """On asyncio."""
