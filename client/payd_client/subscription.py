"""Connection of a consumer to NATS and its durable pull consumer, one message at a time."""

import asyncio
import contextlib
from logging import getLogger
from typing import Any

import nats.errors
import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from payd_client.bridge import check_cancelled
from payd_client.consumer import ConsumerSettings
from payd_client.dead_letters import bury, ensure_stream
from payd_client.nats_client import StrictClient
from payd_client.sharing import APPLICATION, OwnerChecks, warn_if_renamed, warn_if_shared

_log = getLogger("payd_client")

_FETCH_S = 2.0
_ANSWER_S = 5.0
_RETRY_S = 1.0
_CONNECT_S = 10.0
FAILURES = (
    nats.errors.Error,
    OSError,
    TimeoutError,
    # Raised by asyncio before Python 3.13.6 when it writes to a connection that was lost
    # (github.com/python/cpython/issues/136234).
    AttributeError,
    TypeError,
)


class Subscription:
    """Pull subscription to a durable consumer, which is created when it is missing.

    Runs on asyncio. Survives a lost connection and a deleted consumer.
    """

    def __init__(self, settings: ConsumerSettings) -> None:
        self._settings = settings
        self._client = StrictClient()
        self._jetstream: Any = None
        self._pull: Any = None
        self._owner_checks = OwnerChecks()
        #: Seconds for which NATS waits before it delivers a message again.
        self.ack_wait_s = settings.ack_wait_s

    async def open(self) -> None:
        """Connect and create what is missing. Retries until NATS and the stream are there."""
        while True:
            check_cancelled()
            try:
                await self._connect()
                info = await self._ensure_consumer()
                with contextlib.suppress(*FAILURES):
                    await warn_if_shared(self._client, info, self._settings.application)
                self._pull = await self._jetstream.pull_subscribe_bind(
                    durable=self._settings.durable, stream=self._settings.stream
                )
            except FAILURES as error:
                _log.warning(
                    "no events, stream %s cannot be read: %r", self._settings.stream, error
                )
            else:
                return
            await self.close()
            await asyncio.sleep(_RETRY_S)

    async def next(self) -> Any:
        """Wait for the next message and return it."""
        while True:
            check_cancelled()
            try:
                # One message: a fetch of more would wait until it has all of them.
                [message] = await self._pull.fetch(1, timeout=_FETCH_S)
            except TimeoutError:
                await self._check_owner()
            except FAILURES as error:
                _log.warning("no events for now: %r", error)
                await asyncio.sleep(_RETRY_S)
                await self._recover()
            else:
                await self._check_owner()
                return message

    async def _check_owner(self) -> None:
        """Check at intervals while reading: two applications may have started at the same time."""
        if not self._owner_checks.is_due(asyncio.get_running_loop().time()):
            return
        settings = self._settings
        with contextlib.suppress(*FAILURES):
            info = await self._jetstream.consumer_info(settings.stream, settings.durable)
            await warn_if_renamed(self._client, info, settings.application)

    async def _recover(self) -> None:
        """Restore the connection and the consumer; nats-py may be reconnecting by itself."""
        if self._client.is_closed:
            await self.open()
        with contextlib.suppress(*FAILURES):
            await self._ensure_consumer()

    async def bury(self, message: Any, reason: str) -> None:
        """Store a message as a dead letter, and only then acknowledge it. Retries until stored."""
        settings = self._settings
        _log.error("dead letter: %s: %s", message.subject, reason)
        while True:
            check_cancelled()
            try:
                await bury(
                    self._jetstream, settings.dead_letters, settings.durable, message, reason
                )
                break
            except FAILURES as error:
                _log.warning("the dead letter was not stored, next attempt soon: %r", error)
            await asyncio.sleep(_RETRY_S)
            with contextlib.suppress(*FAILURES):
                await ensure_stream(self._jetstream, settings.dead_letters)
        await acknowledge(message)

    async def end(self) -> None:
        """End the subscription, so that what is given back is not delivered here again."""
        if self._pull is not None:
            await self._pull.unsubscribe()
            await self._client.flush(timeout=1)

    async def close(self) -> None:
        """Send what is buffered and close the connection."""
        with contextlib.suppress(*FAILURES):
            await self._client.flush(timeout=1)
        with contextlib.suppress(*FAILURES):
            await self._client.close()
        # nats-py leaves the transport of a refused connection open.
        transport: Any = self._client._transport
        if transport is not None:
            transport.close()

    async def _connect(self) -> None:
        file = self._settings.credentials_file
        self._client = StrictClient()
        async with asyncio.timeout(_CONNECT_S):
            await self._client.connect(
                self._settings.nats.split(","),
                name=self._settings.durable,
                connect_timeout=5,
                # By default nats-py gives up after two minutes, and needs four to notice that a
                # server is dead.
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                ping_interval=10,
                max_outstanding_pings=2,
                error_cb=_ignore,
                user_credentials=str(file) if file else None,
            )
        self._jetstream = self._client.jetstream(timeout=_ANSWER_S)

    async def _ensure_consumer(self) -> Any:
        """Create the durable consumer when it is missing, and return NATS's description of it."""
        settings = self._settings
        try:
            info = await self._jetstream.consumer_info(settings.stream, settings.durable)
        except nats.js.errors.NotFoundError:
            info = await self._jetstream.add_consumer(settings.stream, _config(settings))
        if info.config.ack_policy != AckPolicy.EXPLICIT:
            raise ValueError(
                f"consumer {settings.durable} has another ack policy than explicit: delete it, or"
                " choose another name in ConsumerSettings.durable"
            )
        # An existing consumer may have been created with other waits than ours.
        waits = (settings.ack_wait_s, info.config.ack_wait, *(info.config.backoff or ()))
        self.ack_wait_s = min(wait for wait in waits if wait)
        try:
            await ensure_stream(self._jetstream, settings.dead_letters)
        except FAILURES as error:
            _log.warning("stream %s could not be created: %r", settings.dead_letters, error)
        return info


def _config(settings: ConsumerSettings) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=settings.durable,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=settings.ack_wait_s,
        # NATS drops nothing by itself: what cannot be handled becomes a dead letter.
        max_deliver=-1,
        # For all processes of the consumer together.
        max_ack_pending=8 * settings.held_max,
        filter_subject=settings.subject,
        metadata={APPLICATION: settings.application},
    )


async def acknowledge(message: Any) -> None:
    """Acknowledge and wait for the confirmation. Without one, the event is delivered again."""
    with contextlib.suppress(*FAILURES):
        await message.ack_sync(timeout=_ANSWER_S)


async def _ignore(_: Exception) -> None:
    """Take nats-py's report of a failed connection attempt, which `open` logs as well."""
