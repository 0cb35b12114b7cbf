"""Publisher on JetStream: reconnects for ever, and waits for the acknowledgement of each event.

By default nats-py closes for good after some attempts, and may deliver a message after it reported
a failure. Here it reconnects without limit and buffers nothing while disconnected; a client that
closes or hangs is replaced. A minted identity is renewed before it expires, on a second connection
that takes over while the first one finishes its publishes. Each publish either is acknowledged or
raises PublishError.
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

from payd.adapters.nats.failures import FAILURES, describe
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
    "payment.refunded",
    "payment.refund_failed",
    "payment.disputed",
    "payment.dispute_closed",
    "payment.attention",
)

_RETRY_S = 1.0
#: Interval of checks of the stream while connected.
_CHECK_S = 5.0
#: A client that is disconnected for longer is replaced: its reconnecting task may have died.
_HANGING_S = 30.0
_CLOSE_S = 2.0
#: Attempts of a first connection; each may take connect_timeout_s.
_TRIES = 2
#: A minted identity is renewed after this fraction of its lifetime. After a failure the renewal is
#: retried after a fraction of the time left, at most _RENEW_AGAIN_MAX_S.
_RENEW_AT = 0.7
_RENEW_AGAIN_AT = 0.25
_RENEW_AGAIN_MAX_S = 60.0
_RENEWAL_JITTER = 0.05
_INBOX = "_INBOX_payd"


@attrs.frozen(kw_only=True)
class StreamState:
    """State of the connection and the stream, for readiness checks."""

    connected: bool
    #: Why events cannot be published; None if they can, or if it is unknown.
    problem: str | None
    #: The last error of the server or the connection; it may be over.
    last_error: str | None = None


@attrs.define(eq=False)
class _Link:
    """One connection and its identity."""

    client: Client
    #: None if the identity never expires.
    identity: Identity | None
    closed: asyncio.Event
    #: The signing seed that minted the identity.
    minted_with: str | None = attrs.field(default=None, repr=False)
    #: Set after the first check of the stream, whose request sets up the reply inbox.
    context: JetStreamContext | None = None
    in_flight: int = 0
    #: Set when the last publish in flight ends.
    idle: asyncio.Event = attrs.field(factory=asyncio.Event)
    #: Whether it is being closed on purpose, so that its errors are not reported.
    is_retired: bool = False

    @property
    def is_open(self) -> bool:
        return self.context is not None and bool(self.client.is_connected)


class JetStreamPublisher:
    """Implements the port Publisher. `run` keeps the connection; `publish` uses it."""

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
        """`limits` apply to a stream that the publisher creates.

        `on_renewal` is called after each renewal of a minted identity, with "ok" or "failed".
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
        #: Number of errors received, and the last one that was logged.
        self._error_count = 0
        self._logged_error: str | None = None
        self._check_now = asyncio.Event()
        for secret in _secrets_of(servers):
            register_secret(secret)

    def state(self) -> StreamState:
        """The current state."""
        connected = self._link is not None and self._link.is_open
        return StreamState(connected=connected, problem=self._problem, last_error=self._last_error)

    def identity_expire_time(self) -> datetime | None:
        """When the minted identity in use expires; None without one."""
        identity = self._link.identity if self._link is not None else None
        return identity.expire_time if identity is not None else None

    async def publish(self, row: OutboxRow) -> bool:
        """Publish with the event's id, by which the stream drops duplicates."""
        link, context = self._opened()
        errors_before = self._error_count
        link.in_flight += 1
        try:
            ack = await context.publish(
                row.subject,
                row.body,
                timeout=self._publish_timeout_s,
                stream=self._stream,
                headers=_headers(row),
            )
        except nats.js.errors.NoStreamResponseError:
            self._report_problem(f"no stream takes {row.subject}: run `payd events create-stream`")
            self._check_now.set()
            raise PublishError(
                f"no stream takes {row.subject}: run `payd events create-stream`"
            ) from None
        except FAILURES as error:
            self._refuse(error, errors_before)
        else:
            return not ack.duplicate
        finally:
            link.in_flight -= 1
            if not link.in_flight:
                link.idle.set()

    def jetstream(self) -> JetStreamContext:
        """Return the connection in use, for other streams. Raises PublishError without one."""
        return self._opened()[1]

    def _opened(self) -> tuple[_Link, JetStreamContext]:
        link = self._link
        if link is None or link.context is None or not link.is_open:
            raise PublishError("not connected to NATS: check NATS_URL and the server")
        return link, link.context

    async def publish_all(self, rows: Sequence[OutboxRow]) -> Sequence[PublishError | None]:
        """Publish concurrently: all events are sent before the first acknowledgement returns."""
        results = await asyncio.gather(*map(self.publish, rows), return_exceptions=True)
        return [_error_of(result) for result in results]

    async def run(self) -> None:
        """Connect, check the stream regularly, and reconnect, until cancelled."""
        try:
            while True:
                try:
                    await self._live()
                except (*FAILURES, BadSigningSeed) as error:
                    if str(error) != self._last_error:
                        self._note(error)
                await asyncio.sleep(_RETRY_S)
        finally:
            retiring = list(self._retiring)
            for task in retiring:
                task.cancel()
            await asyncio.gather(*retiring, return_exceptions=True)

    async def renew(self) -> bool:
        """Connect with a new identity before the old connection closes; return success."""
        if self._link is None:
            # The next connection mints a new identity anyway.
            return False
        asked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._renewals.append(asked)
        self._check_now.set()
        return await asked

    async def renew_if_rotated(self) -> None:
        """Renew the identity if the signing seed has changed."""
        link = self._link
        if link is not None and self._identity.signing_seed() != link.minted_with:
            await self.renew()

    async def ensure_stream(self) -> None:
        """Create or check the stream; `state` then reports its problem.

        Raises errors of nats-py if there is no answer.
        """
        if self._link is not None:
            context = self._link.client.jetstream(timeout=self._publish_timeout_s)
            self._report_problem(await self._ensure_stream(context))

    async def _ensure_stream(self, context: JetStreamContext) -> str | None:
        """Return the stream's problem, if any."""
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
        """Connect and watch until the connection closes or hangs, renewing the identity in time."""
        try:
            self._link = link = await self._open()
            _log.info("nats_connected")
            self._logged_error = None
            await self._watch(link)
        finally:
            last, self._link = self._link, None
            self._finish_renewals(False)
            if last is not None:
                await _close(last)

    async def _open(self) -> _Link:
        """Connect with a new identity. Raises BadSigningSeed and errors of nats-py."""
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
            # By default nats-py notices a dead peer after four minutes.
            ping_interval=10,
            max_outstanding_pings=2,
            pending_size=0,
            inbox_prefix=inbox.encode(),
            tls=self._tls,
            **self._callbacks(link),
            **connect_options(self._identity, identity),
        )
        errors_before, is_open = self._error_count, False
        try:
            # nats-py alone would try for ever, while the identity expires.
            await asyncio.wait_for(opening, self._connect_timeout_s * _TRIES)
            is_open = True
        except TimeoutError:
            if self._error_count == errors_before:
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
            self._check_now.set()

        async def on_reconnected() -> None:
            _log.info("nats_reconnected")
            self._logged_error = None
            self._check_now.set()

        async def on_disconnected() -> None:
            if not link.client.is_closed and not link.is_retired:
                _log.warning("nats_disconnected")

        async def on_error(error: Exception) -> None:
            # Only here nats-py reports a denied publish; the publish itself just times out.
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
            self._check_now.clear()
            if link.client.is_connected:
                seen_connected = loop.time()
                self._report_problem(await self._check(link))
            pause_s = _CHECK_S
            if not link.client.is_connected:
                if self._renewals:
                    # The connection may come back with its old identity.
                    renew_at = loop.time()
                self._finish_renewals(False)
            elif self._renewals or loop.time() >= renew_at:
                fresh = await self._renewed(link)
                renew_at = self._renewal_due(fresh or link, loop.time(), again=fresh is None)
                link = fresh or link
            if link.client.is_connected:
                pause_s = max(0.0, min(_CHECK_S, renew_at - loop.time()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._check_now.wait(), pause_s)
            if self._problem is not None:
                # Without a stream every publish requests another check.
                await asyncio.sleep(_RETRY_S)

    def _renewal_due(self, link: _Link, now: float, *, again: bool = False) -> float:
        """Time of the next renewal by the loop's clock; `again` after a failed one."""
        if link.identity is None:
            return math.inf
        left_s = (link.identity.expire_time - datetime.now(UTC)).total_seconds()
        jitter = random.uniform(1 - _RENEWAL_JITTER, 1)  # noqa: S311 - jitter, no secret
        wait_s = min(left_s * _RENEW_AGAIN_AT, _RENEW_AGAIN_MAX_S) if again else left_s * _RENEW_AT
        return now + max(_RETRY_S / 2, wait_s * jitter)

    async def _renewed(self, old: _Link) -> _Link | None:
        """Open a second connection; the old one closes when its last publish has ended.

        Returns None on failure; then the old connection stays in use.
        """
        fresh: _Link | None = None
        try:
            fresh = await self._open()
            problem = await self._check(fresh)
            if not fresh.is_open:
                raise ConnectionError("closed at once")
            if problem is not None and self._problem is None:
                # The old connection can publish, and the new one cannot: keep the old one.
                raise ConnectionError(problem)
        except (*FAILURES, BadSigningSeed) as error:
            self._on_renewal("failed")
            self._last_error = describe(error)
            _log.warning("nats_identity_renewal_failed", error=self._last_error)
            if fresh is not None:
                await _close(fresh)
            self._finish_renewals(False)
            return None
        self._link = fresh
        self._report_problem(problem)
        task = asyncio.get_running_loop().create_task(self._retire(old))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        self._on_renewal("ok")
        self._finish_renewals(True)
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

    def _finish_renewals(self, worked: bool) -> None:
        asked, self._renewals = self._renewals, []
        for one in asked:
            if not one.done():
                one.set_result(worked)

    async def _check(self, link: _Link) -> str | None:
        """Check the stream over this connection; return its problem, if any."""
        context = link.context or link.client.jetstream(timeout=self._publish_timeout_s)
        try:
            problem = await self._ensure_stream(context)
        except FAILURES as error:
            problem = f"cannot read the stream {self._stream}: {describe(error)}"
        link.context = context
        return problem

    # -- errors and log lines ------------------------------------------------------------------

    def _refuse(self, error: BaseException, errors_before: int) -> NoReturn:
        """Raise PublishError.

        The reason of a time-out, such as a denied subject, arrives through `error_cb`.
        """
        reason = describe(error)
        if isinstance(error, nats.errors.TimeoutError):
            reason = f"no acknowledgement within {self._publish_timeout_s:g} s"
            if self._error_count > errors_before:
                reason += f"; the server reported: {self._last_error}"
        raise PublishError(reason) from error

    def _note(self, error: BaseException) -> None:
        """Keep an error, and log it once: without NATS every attempt fails in the same way."""
        text = self._last_error = describe(error)
        self._error_count += 1
        if text != self._logged_error:
            _log.warning("nats_failed", error=text)
        self._logged_error = text

    def _report_problem(self, problem: str | None) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        if problem is None:
            _log.info("stream_ready", stream=self._stream)
        else:
            _log.error("stream_unusable", stream=self._stream, problem=problem)


async def _close(link: _Link) -> None:
    """Close at once: nothing is buffered, since each publish is awaited by its caller."""
    link.is_retired = True
    with contextlib.suppress(*FAILURES):
        await asyncio.wait_for(link.client.close(), _CLOSE_S)


def _secrets_of(servers: Sequence[str]) -> Iterator[str]:
    """Password or token of each URL, as written and decoded."""
    for server in servers:
        url = urlsplit(server)
        secret = url.password if url.password is not None else url.username
        if secret:
            yield from (secret, unquote(secret))


def _error_of(result: bool | BaseException) -> PublishError | None:
    """The error of a publish; any other exception is a defect and is raised."""
    if isinstance(result, BaseException) and not isinstance(result, PublishError):
        raise result
    return result if isinstance(result, PublishError) else None


def _headers(row: OutboxRow) -> dict[str, str]:
    headers = {**row.headers, "Nats-Msg-Id": str(row.event_id)}
    if row.previous_event_id:
        headers["payd-previous-event-id"] = str(row.previous_event_id)
    return headers
