"""Publisher on JetStream: a connection that never gives up, and acks that are waited for.

nats-py by default closes for ever after some attempts, and delivers after it said that it
failed. Here it reconnects without end, buffers nothing while it is away, and is built anew when
it closed or hangs all the same. An identity of our own making is renewed before it ends, on a
second connection that takes over while the first one finishes. A publish is acknowledged or
PublishError, nothing between.
"""

import asyncio
import contextlib
import math
import random
import secrets
import ssl
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import attrs
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from payd_client.nats_client import StrictClient

from payd.adapters.nats.identity import (
    BadSigningSeed,
    Identity,
    NatsIdentity,
    connect_options,
    mint,
    permissions,
)
from payd.adapters.nats.stream import MESSAGE_BYTES_MAX, StreamLimits, mismatch, stream_config
from payd.ports import OutboxRow, PublishError
from payd.telemetry import get_logger, register_secret

_log = get_logger(__name__)

EVENT_SUBJECTS = (
    "payment.completed",
    "payment.failed",
    "payment.canceled",
    "payment.attention",
)

_RETRY_S = 1.0
#: How often the stream is looked at while connected.
_CHECK_S = 5.0
#: A client that reconnects for longer is thrown away: one whose reconnecting task died never ends.
_HANGING_S = 30.0
_CLOSE_S = 2.0
#: Of a first connection, each as long as a connection may take.
_TRIES = 2
#: A minted identity is renewed at this part of its life; at this part of what is left, and soon,
#: when that failed.
_RENEW_AT = 0.7
_RENEW_AGAIN_AT = 0.25
_RENEW_AGAIN_MAX_S = 60.0
_RENEWAL_JITTER = 0.05
_INBOX = "_INBOX_payd"
#: ValueError and KeyError: who answered is no stream.
_FAILURES = (
    nats.errors.Error,
    nats.js.errors.Error,
    OSError,
    EOFError,
    TimeoutError,
    ValueError,
    KeyError,
    # Python before 3.13.6, when asyncio writes lines to a connection that was lost
    # (github.com/python/cpython/issues/136234).
    AttributeError,
    TypeError,
)


@attrs.frozen(kw_only=True)
class StreamState:
    """For readiness."""

    connected: bool
    #: Why the stream cannot be published to; None when it can, or nothing is known.
    problem: str | None
    #: What the server or the connection said last that was no ack; it may be over.
    last_error: str | None = None


@attrs.define(eq=False)
class _Link:
    """One connection, and who we are on it."""

    client: Client
    #: None where there is nothing to renew.
    identity: Identity | None
    closed: asyncio.Event
    #: The signing seed that made the identity.
    minted_with: str | None = attrs.field(default=None, repr=False)
    #: Set once the stream was looked at over it: its first request prepares the rest.
    context: JetStreamContext | None = None
    in_flight: int = 0
    #: Set by the last publish under way.
    idle: asyncio.Event = attrs.field(factory=asyncio.Event)
    #: Whether its end is no news.
    is_retired: bool = False

    @property
    def is_open(self) -> bool:
        return self.context is not None and bool(self.client.is_connected)


class JetStreamPublisher:
    """The port Publisher. `run` keeps the connection; `publish` uses it."""

    def __init__(  # noqa: PLR0913 - settings, each by its name
        self,
        servers: Sequence[str],
        *,
        stream: str,
        create_stream: bool,
        limits: StreamLimits | None = None,
        publish_timeout_s: float = 5.0,
        connect_timeout_s: float = 5.0,
        identity: NatsIdentity | None = None,
        tls: ssl.SSLContext | None = None,
        on_renewal: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        """`limits` are those of a stream that it creates.

        `on_renewal` hears how each renewal of a minted identity ended: ok or failed.
        """
        self._servers = list(servers)
        self._stream = stream
        self._create_stream = create_stream
        self._limits = limits
        self._publish_timeout_s = publish_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._identity = identity or NatsIdentity()
        self._tls = tls
        self._on_renewal = on_renewal
        self._link: _Link | None = None
        self._renewals: list[asyncio.Future[bool]] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._problem: str | None = None
        self._last_error: str | None = None
        #: How often something was heard; and whether it goes without saying again.
        self._errors_heard = 0
        self._told: str | None = None
        self._look_now = asyncio.Event()
        for secret in _secrets_of(servers):
            register_secret(secret)

    def state(self) -> StreamState:
        """As it stands now."""
        connected = self._link is not None and self._link.is_open
        return StreamState(connected=connected, problem=self._problem, last_error=self._last_error)

    def identity_expire_time(self) -> datetime | None:
        """Of the minted one in use; None where there is none."""
        identity = self._link.identity if self._link is not None else None
        return identity.expire_time if identity is not None else None

    async def publish(self, row: OutboxRow) -> bool:
        """See the port."""
        link = self._link
        if link is None or link.context is None or not link.is_open:
            raise PublishError("not connected to NATS")
        heard_before = self._errors_heard
        link.in_flight += 1
        try:
            ack = await link.context.publish(
                row.subject,
                row.body,
                timeout=self._publish_timeout_s,
                stream=self._stream,
                headers=_headers(row),
            )
        except nats.js.errors.NoStreamResponseError:
            self._tell_problem(f"no stream takes {row.subject}")
            self._look_now.set()
            raise PublishError(f"no stream takes {row.subject}") from None
        except _FAILURES as error:
            self._refuse(error, heard_before)
        else:
            return not ack.duplicate
        finally:
            link.in_flight -= 1
            if not link.in_flight:
                link.idle.set()

    async def run(self) -> None:
        """Connect, watch the stream, connect again; until cancelled."""
        try:
            while True:
                try:
                    await self._live()
                except (*_FAILURES, BadSigningSeed) as error:
                    if str(error) != self._last_error:
                        self._note(error)
                await asyncio.sleep(_RETRY_S)
        finally:
            retiring = list(self._retiring)
            for task in retiring:
                task.cancel()
            await asyncio.gather(*retiring, return_exceptions=True)

    async def renew(self) -> bool:
        """Come again under a fresh identity, before the old one leaves; whether that worked."""
        if self._link is None:
            # Whoever connects next is fresh.
            return False
        asked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._renewals.append(asked)
        self._look_now.set()
        return await asked

    async def renew_if_rotated(self) -> None:
        """Renew when the signing seed in force is another one."""
        link = self._link
        if link is not None and self._identity.signing_seed() != link.minted_with:
            await self.renew()

    async def ensure_stream(self) -> None:
        """Create or check the stream; what is wrong with it shows in `state`.

        Raises what nats-py raises when there is no answer.
        """
        if self._link is not None:
            context = self._link.client.jetstream(timeout=self._publish_timeout_s)
            self._tell_problem(await self._ensure_stream(context))

    async def _ensure_stream(self, context: JetStreamContext) -> str | None:
        """What is wrong with it."""
        try:
            info = await context.stream_info(self._stream)
        except nats.js.errors.NotFoundError:
            if not self._create_stream:
                return f"the stream {self._stream} does not exist: run `payd events create-stream`"
            info = await context.add_stream(stream_config(self._stream, self._limits))
            _log.info("stream_created", stream=self._stream)
        return mismatch(info.config)

    # -- connections -------------------------------------------------------------------------

    async def _live(self) -> None:
        """From connecting until the connection is closed or hangs, renewed as often as it is due."""
        try:
            self._link = link = await self._open()
            _log.info("nats_connected")
            self._told = None
            await self._watch(link)
        finally:
            last, self._link = self._link, None
            self._answer_renewals(False)
            if last is not None:
                await _close(last)

    async def _open(self) -> _Link:
        """A connection under a fresh identity. Raises BadSigningSeed and what nats-py raises."""
        inbox = f"{_INBOX}.{secrets.token_hex(4)}"
        seed = self._identity.signing_seed()
        identity = self._mint(seed, inbox) if seed is not None else None
        client, closed = StrictClient(), asyncio.Event()
        link = _Link(client, identity, closed, seed)
        opening = client.connect(
            self._servers,
            name="payd",
            connect_timeout=max(1, round(self._connect_timeout_s)),
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            # The default notices a dead peer after four minutes.
            ping_interval=10,
            max_outstanding_pings=2,
            pending_size=0,
            inbox_prefix=inbox.encode(),
            tls=self._tls,
            **self._callbacks(link),
            **connect_options(self._identity, identity),
        )
        heard_before, is_open = self._errors_heard, False
        try:
            # By itself it would try for ever, with an identity that ends meanwhile.
            await asyncio.wait_for(opening, self._connect_timeout_s * _TRIES)
            is_open = True
        except TimeoutError:
            if self._errors_heard == heard_before:
                raise
            raise ConnectionError(self._last_error) from None
        finally:
            if not is_open:
                await _close(link)
        return link

    def _mint(self, seed: str, inbox: str) -> Identity:
        may = permissions(
            self._stream, EVENT_SUBJECTS, inbox, MESSAGE_BYTES_MAX, creates=self._create_stream
        )
        return mint(self._identity, seed, "payd", may, datetime.now(UTC))

    def _callbacks(self, link: _Link) -> dict[str, Any]:
        async def on_closed() -> None:
            if link.client.last_error is not None and not link.is_retired:
                self._note(link.client.last_error)
            link.closed.set()
            self._look_now.set()

        async def on_reconnected() -> None:
            _log.info("nats_reconnected")
            self._told = None
            self._look_now.set()

        async def on_disconnected() -> None:
            if not link.client.is_closed and not link.is_retired:
                _log.warning("nats_disconnected")

        async def on_error(error: Exception) -> None:
            # A denied publish is told here only; the publish itself just times out.
            if not link.is_retired:
                self._note(error)

        return {
            "closed_cb": on_closed,
            "reconnected_cb": on_reconnected,
            "disconnected_cb": on_disconnected,
            "error_cb": on_error,
        }

    async def _watch(self, link: _Link) -> None:
        loop = asyncio.get_running_loop()
        seen_connected = loop.time()
        renew_at = self._renewal_due(link, loop.time())
        while not link.closed.is_set() and loop.time() - seen_connected < _HANGING_S:
            self._look_now.clear()
            if link.client.is_connected:
                seen_connected = loop.time()
                self._tell_problem(await self._look(link))
            pause_s = _CHECK_S
            if not link.client.is_connected:
                if self._renewals:
                    # It may come back as it was.
                    renew_at = loop.time()
                self._answer_renewals(False)
            elif self._renewals or loop.time() >= renew_at:
                fresh = await self._renewed(link)
                renew_at = self._renewal_due(fresh or link, loop.time(), again=fresh is None)
                link = fresh or link
            if link.client.is_connected:
                pause_s = max(0.0, min(_CHECK_S, renew_at - loop.time()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), pause_s)
            if self._problem is not None:
                # A stream that cannot be created makes every publish ask for another look.
                await asyncio.sleep(_RETRY_S)

    def _renewal_due(self, link: _Link, now: float, *, again: bool = False) -> float:
        """On the loop's clock; `again` after a renewal that failed."""
        if link.identity is None:
            return math.inf
        left_s = (link.identity.expire_time - datetime.now(UTC)).total_seconds()
        jitter = random.uniform(1 - _RENEWAL_JITTER, 1)  # noqa: S311 - jitter, no secret
        wait_s = min(left_s * _RENEW_AGAIN_AT, _RENEW_AGAIN_MAX_S) if again else left_s * _RENEW_AT
        return now + max(_RETRY_S / 2, wait_s * jitter)

    async def _renewed(self, old: _Link) -> _Link | None:
        """A connection beside the old one, which leaves when its last publish is acknowledged.

        None when it cannot be had, and nothing has changed.
        """
        fresh: _Link | None = None
        try:
            fresh = await self._open()
            problem = await self._look(fresh)
            if not fresh.is_open:
                raise ConnectionError("closed at once")
            if problem is not None and self._problem is None:
                # The old one publishes: whoever may not, does not take over.
                raise ConnectionError(problem)
        except (*_FAILURES, BadSigningSeed) as error:
            self._on_renewal("failed")
            self._last_error = _describe(error)
            _log.warning("nats_identity_renewal_failed", error=self._last_error)
            if fresh is not None:
                await _close(fresh)
            self._answer_renewals(False)
            return None
        self._link = fresh
        self._tell_problem(problem)
        task = asyncio.get_running_loop().create_task(self._retire(old))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        self._on_renewal("ok")
        self._answer_renewals(True)
        return fresh

    async def _retire(self, link: _Link) -> None:
        link.is_retired = True
        link.idle.clear()
        try:
            if link.in_flight:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(link.idle.wait(), self._publish_timeout_s + _CLOSE_S)
        finally:
            await _close(link)

    def _answer_renewals(self, worked: bool) -> None:
        asked, self._renewals = self._renewals, []
        for one in asked:
            if not one.done():
                one.set_result(worked)

    async def _look(self, link: _Link) -> str | None:
        """What is wrong with the stream, seen over this connection."""
        context = link.context or link.client.jetstream(timeout=self._publish_timeout_s)
        try:
            problem = await self._ensure_stream(context)
        except _FAILURES as error:
            problem = f"the stream {self._stream} cannot be read: {_describe(error)}"
        link.context = context
        return problem

    # -- what is told ------------------------------------------------------------------------

    def _refuse(self, error: BaseException, heard_before: int) -> NoReturn:
        """A time-out's real reason, a denied subject say, comes by another way."""
        said = _describe(error)
        if isinstance(error, nats.errors.TimeoutError):
            said = f"no ack within {self._publish_timeout_s:g} s"
            if self._errors_heard > heard_before:
                said += f"; heard meanwhile: {self._last_error}"
        raise PublishError(said) from error

    def _note(self, error: BaseException) -> None:
        """Each attempt of a day without NATS fails alike: it is told once."""
        said = self._last_error = _describe(error)
        self._errors_heard += 1
        if said != self._told:
            _log.warning("nats_error", error=said)
        self._told = said

    def _tell_problem(self, problem: str | None) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        if problem is None:
            _log.info("stream_ready", stream=self._stream)
        else:
            _log.error("stream_unusable", stream=self._stream, problem=problem)


async def _close(link: _Link) -> None:
    """Nothing waits in it to be sent: every publish is awaited by its caller."""
    link.is_retired = True
    with contextlib.suppress(*_FAILURES):
        await asyncio.wait_for(link.client.close(), _CLOSE_S)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _secrets_of(servers: Sequence[str]) -> Iterator[str]:
    """A URL's password; or what stands alone in its place, a token."""
    for server in servers:
        url = urlsplit(server)
        secret = url.password if url.password is not None else url.username
        if secret:
            yield from (secret, unquote(secret))


def _headers(row: OutboxRow) -> dict[str, str]:
    headers = {**row.headers, "Nats-Msg-Id": str(row.event_id)}
    if row.previous_event_id:
        headers["payd-previous-event-id"] = str(row.previous_event_id)
    return headers
