"""The consumer's side of NATS: the connection, the durable consumer, one message after the other."""

import asyncio
import contextlib
from logging import getLogger
from typing import Any

import nats.errors
import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from payd_client.consumer import ConsumerSettings
from payd_client.dead_letters import bury, ensure_stream
from payd_client.island import go_on
from payd_client.nats_client import StrictClient
from payd_client.sharing import APPLICATION, warn, warn_if_shared

_log = getLogger("payd_client")

_PULL_S = 2.0
_ANSWER_S = 5.0
_AGAIN_S = 1.0
_CONNECT_S = 10.0
FAILURES = (
    nats.errors.Error,
    OSError,
    TimeoutError,
    # Python before 3.13.6, when asyncio writes lines to a connection that was lost
    # (github.com/python/cpython/issues/136234).
    AttributeError,
    TypeError,
)


class Subscription:
    """Of one durable pull consumer; made where it is missing. Runs on asyncio."""

    def __init__(self, settings: ConsumerSettings) -> None:
        self._settings = settings
        self._client = StrictClient()
        self._jetstream: Any = None
        self._pull: Any = None
        #: Whether somebody looked who reads it since this process does.
        self._looked = False
        #: How long the server waits for a word about a message.
        self.ack_wait_s = settings.ack_wait_s

    async def open(self) -> None:
        """Waits for NATS, for leave to come in, and for the stream, as long as it takes."""
        while True:
            go_on()
            try:
                await self._connect()
                info = await self._ensure()
                with contextlib.suppress(*FAILURES):
                    self._looked |= await warn_if_shared(
                        self._client, info, self._settings.application
                    )
                self._pull = await self._jetstream.pull_subscribe_bind(
                    durable=self._settings.durable, stream=self._settings.stream
                )
            except FAILURES as error:
                _log.warning("no events of %s: %r", self._settings.stream, error)
            else:
                return
            await self.close()
            await asyncio.sleep(_AGAIN_S)

    async def next(self) -> Any:
        """The next message. Waits as long as it takes."""
        while True:
            go_on()
            try:
                # One by one: a batch would wait until it is full.
                [message] = await self._pull.fetch(1, timeout=_PULL_S)
            except TimeoutError:
                await self._look_once()
            except FAILURES as error:
                _log.warning("no events for now: %r", error)
                await asyncio.sleep(_AGAIN_S)
                await self._recover()
            else:
                await self._look_once()
                return message

    async def _look_once(self) -> None:
        """Two applications that start together see each other only now."""
        if self._looked:
            return
        self._looked = True
        settings = self._settings
        with contextlib.suppress(*FAILURES):
            info = await self._jetstream.consumer_info(settings.stream, settings.durable)
            owner = (info.config.metadata or {}).get(APPLICATION)
            if owner is not None and owner != settings.application:
                warn(settings.durable, owner, settings.application)

    async def _recover(self) -> None:
        """The connection is being made anew, or was ended; or somebody has deleted the consumer."""
        if self._client.is_closed:
            await self.open()
        with contextlib.suppress(*FAILURES):
            await self._ensure()

    async def bury(self, message: Any, reason: str) -> None:
        """Make it a dead letter. Waits until that is stored, and only then acknowledges."""
        settings = self._settings
        _log.error("dead letter: %s: %s", message.subject, reason)
        while True:
            go_on()
            try:
                await bury(
                    self._jetstream, settings.dead_letters, settings.durable, message, reason
                )
                break
            except FAILURES as error:
                _log.warning("the dead letter was not stored: %r", error)
            await asyncio.sleep(_AGAIN_S)
            with contextlib.suppress(*FAILURES):
                await ensure_stream(self._jetstream, settings.dead_letters)
        await acknowledge(message)

    async def end(self) -> None:
        """Want nothing more: what is given back now would be sent to a wish of ours."""
        if self._pull is not None:
            await self._pull.unsubscribe()
            await self._client.flush(timeout=1)

    async def close(self) -> None:
        """With what was said on the way."""
        with contextlib.suppress(*FAILURES):
            await self._client.flush(timeout=1)
        with contextlib.suppress(*FAILURES):
            await self._client.close()
        # Of a connection that was refused, the library leaves it open.
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
                # By itself it gives up after two minutes, and notices a dead server after four.
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                ping_interval=10,
                max_outstanding_pings=2,
                error_cb=_ignore,
                user_credentials=str(file) if file else None,
            )
        self._jetstream = self._client.jetstream(timeout=_ANSWER_S)

    async def _ensure(self) -> Any:
        """What the server says of the consumer, which exists after this."""
        settings = self._settings
        try:
            info = await self._jetstream.consumer_info(settings.stream, settings.durable)
        except nats.js.errors.NotFoundError:
            info = await self._jetstream.add_consumer(settings.stream, _config(settings))
        if info.config.ack_policy != AckPolicy.EXPLICIT:
            raise ValueError(f"consumer {settings.durable} does not acknowledge explicitly")
        # Whoever made it may have chosen other ones.
        waits = (settings.ack_wait_s, info.config.ack_wait, *(info.config.backoff or ()))
        self.ack_wait_s = min(wait for wait in waits if wait)
        try:
            await ensure_stream(self._jetstream, settings.dead_letters)
        except FAILURES as error:
            _log.warning("there is no stream %s yet: %r", settings.dead_letters, error)
        return info


def _config(settings: ConsumerSettings) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=settings.durable,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=settings.ack_wait_s,
        # Never silently left behind: what cannot be handled becomes a dead letter.
        max_deliver=-1,
        # Of all consumers together.
        max_ack_pending=8 * settings.held_max,
        filter_subject=settings.subject,
        metadata={APPLICATION: settings.application},
    )


async def acknowledge(message: Any) -> None:
    """Until NATS has it in writing, or the time is up: then it comes again, and is known."""
    with contextlib.suppress(*FAILURES):
        await message.ack_sync(timeout=_ANSWER_S)


async def _ignore(_: Exception) -> None:
    """Each failed try to connect is told here."""
