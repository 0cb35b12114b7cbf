"""Create payd's streams in JetStream, or report how existing ones differ from the settings.

`payd events create-stream` runs this at deployment. In production the daemon creates no stream, so
that a lost stream is noticed and not replaced by an empty one.
"""

import asyncio
import secrets
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import attrs
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from payd_client.nats_client import StrictClient

from payd.adapters.nats.identity import (
    BadSigningSeed,
    NatsIdentity,
    Permissions,
    connect_options,
    mint,
)

#: Settings to compare: all that payd sets. The server fills in others.
_COMPARED = (
    "subjects",
    "retention",
    "storage",
    "num_replicas",
    "max_age",
    "max_bytes",
    "max_msg_size",
    "discard",
    "duplicate_window",
)
#: How the server reports limits that payd leaves unset.
_UNLIMITED = {"max_age": 0, "max_bytes": -1, "max_msg_size": -1}
#: Far more than a request to create a stream needs.
_MESSAGE_BYTES = 65_536
_FAILURES = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError, BadSigningSeed)


class StreamSetupFailed(Exception):
    """NATS is unreachable or refuses the request; the message says what to check."""


@attrs.frozen(kw_only=True)
class Difference:
    """A setting of an existing stream that differs from the wanted one."""

    setting: str
    actual: object
    wanted: object


@attrs.frozen(kw_only=True)
class StreamReport:
    """Result for one stream: created, or its differences."""

    name: str
    created: bool
    #: Empty if the stream was created or has the wanted settings.
    differences: tuple[Difference, ...] = ()


@attrs.frozen(kw_only=True)
class StreamSetup:
    """Creates the given streams at the given servers, with the given identity."""

    servers: Sequence[str] = attrs.field(repr=False)
    streams: Sequence[StreamConfig]
    identity: NatsIdentity
    tls: ssl.SSLContext | None
    timeout_s: float

    async def run(self) -> list[StreamReport]:
        """Create what is missing and compare the rest. Raises StreamSetupFailed.

        Needs permission to read the info of the streams and to create them.
        """
        client = StrictClient()
        refusals: list[Exception] = []
        try:
            await self._connect(client, refusals)
            context = client.jetstream(timeout=self.timeout_s)
            return [await self._ensure(context, wanted) for wanted in self.streams]
        except _FAILURES as error:
            # NATS reports a denied subject to the connection; the request just times out.
            cause = refusals[-1] if refusals else error
            raise StreamSetupFailed(str(cause) or type(cause).__name__) from error
        finally:
            await client.close()

    async def _connect(self, client: Client, refusals: list[Exception]) -> None:
        inbox = f"_INBOX_payd.{secrets.token_hex(4)}"

        async def refused(error: Exception) -> None:
            refusals.append(error)

        seed = self.identity.signing_seed()
        identity = (
            mint(self.identity, seed, "payd-setup", self._permissions(inbox), datetime.now(UTC))
            if seed is not None
            else None
        )
        opening = client.connect(
            list(self.servers),
            name="payd events create-stream",
            connect_timeout=max(1, round(self.timeout_s)),
            allow_reconnect=False,
            inbox_prefix=inbox.encode(),
            tls=self.tls,
            error_cb=refused,
            **connect_options(self.identity, identity),
        )
        await asyncio.wait_for(opening, self.timeout_s)

    def _permissions(self, inbox: str) -> Permissions:
        names = [stream.name for stream in self.streams]
        api = [f"$JS.API.STREAM.{verb}.{name}" for verb in ("INFO", "CREATE") for name in names]
        return Permissions(
            publish=tuple(api), subscribe=(f"{inbox}.>",), message_bytes=_MESSAGE_BYTES
        )

    async def _ensure(self, context: JetStreamContext, wanted: StreamConfig) -> StreamReport:
        name = str(wanted.name)
        try:
            info = await context.stream_info(name)
        except nats.js.errors.NotFoundError:
            await context.add_stream(wanted)
            return StreamReport(name=name, created=True)
        return StreamReport(name=name, created=False, differences=_differences(info.config, wanted))


def _differences(actual: StreamConfig, wanted: StreamConfig) -> tuple[Difference, ...]:
    pairs = [(name, _plain(actual, name), _plain(wanted, name)) for name in _COMPARED]
    return tuple(
        Difference(setting=name, actual=is_now, wanted=should_be)
        for name, is_now, should_be in pairs
        if is_now != should_be
    )


def _plain(config: StreamConfig, name: str) -> Any:
    value = getattr(config, name)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        # Seconds, converted by nats-py from nanoseconds.
        value = int(value) if value.is_integer() else value
    if name in _UNLIMITED and not (value or 0) > 0:
        return _UNLIMITED[name]
    return value
