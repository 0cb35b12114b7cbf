"""Rate limiter: one token bucket per client, which all daemons share through Redis.

A daemon draws permits from Redis in small blocks and admits calls from them without waiting. In any
t seconds all daemons together admit at most `burst + rate * t` calls and one block per daemon. If
Redis is unreachable, slow or wrong, each daemon limits by a bucket of its own; no payment depends
on Redis.
"""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import attrs

from payd.telemetry import get_logger

_log = get_logger(__name__)

_RETRY_S = 1.0
#: Most clients to remember; the least recently seen is forgotten first.
_CLIENTS_MAX = 1024
#: A block is the permits of this fraction of a second.
_BLOCKS_PER_S = 20

#: A token bucket by the server's clock, which all daemons share. If the clock is set back, the
#: bucket is not refilled once.
_DRAW = """
local rate, burst, wanted = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kept = redis.call('HMGET', KEYS[1], 'key', 'tokens', 'time')
local tokens = burst
if kept[1] or kept[2] or kept[3] then
  local before, last = tonumber(kept[2] or ''), tonumber(kept[3] or '')
  if kept[1] ~= KEYS[1] or not before or not last or before ~= before or last ~= last then
    return redis.error_reply('BADVALUE of a rate limit')
  end
  tokens = math.min(burst, math.max(0, before) + math.max(0, now - last) * rate / 1000000)
end
local granted = math.min(wanted, math.floor(tokens))
tokens = tokens - granted
redis.call('HSET', KEYS[1], 'key', KEYS[1], 'tokens', string.format('%.6f', tokens),
  'time', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) * 1000 / rate) + 1000)
return {ARGV[1], granted, math.ceil(math.max(0, 1 - tokens) * 1000000 / rate)}
"""


class NoAnswer(Exception):
    """Redis is unreachable, slow or wrong; the message says how."""


@attrs.frozen
class Refusal:
    """Redis answered a command with an error."""

    text: str


class Redis(Protocol):
    """A Redis that all daemons use."""

    async def exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands and return their answers, or a Refusal; raises NoAnswer."""

    async def close(self) -> None:
        """Close the connection."""


@attrs.frozen(kw_only=True)
class LimiterState:
    """State of the limiter, for metrics."""

    #: Whether limits are shared through Redis, as far as is known.
    shared: bool
    #: The last error of Redis or the connection; it may be over.
    last_error: str | None


@attrs.define
class _Client:
    """The state of one client in this process."""

    key: str
    #: Tokens in the bucket of this process, which limits alone when Redis does not answer.
    tokens: float
    time: float
    #: Permits drawn from Redis and not used yet.
    permits: int = 0
    #: Redis has no permits before this time, by this process's clock.
    refused_until: float = 0.0
    #: Redis refused this client's key, so it is not asked before this time.
    alone_until: float = 0.0


@attrs.frozen(eq=False)
class _Caller:
    """A call that waits for permits from Redis."""

    client: _Client
    answer: "asyncio.Future[float]"


class RateLimiter:
    """Limits calls per client, on the asyncio loop. `close` it after the last call."""

    def __init__(
        self,
        *,
        rate: float,
        burst: int,
        redis: Redis | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`rate` is permits per second; 0 admits everything. `clock` returns monotonic seconds."""
        self._rate = rate
        self._burst = max(1, burst)
        self._block = max(1, min(int(rate / _BLOCKS_PER_S), self._burst))
        self._redis = redis
        self._clock = clock
        self._clients: dict[str, _Client] = {}
        self._callers: list[_Caller] = []
        #: One task at a time asks Redis, so that a cancelled call cannot interrupt it.
        self._asking: asyncio.Task[None] | None = None
        self._is_failing = False
        #: Redis answered the last draw with an error for a client.
        self._is_refused = False
        self._retry_time = 0.0
        self._last_error: str | None = None

    def state(self) -> LimiterState:
        """The current state."""
        is_healthy = not self._is_failing and not self._is_refused
        shared = self._rate > 0 and self._redis is not None and is_healthy
        return LimiterState(shared=shared, last_error=self._last_error)

    async def admit(self, client: str) -> float:
        """Admit a call of `client`: return 0, or the seconds until it may try again."""
        if self._rate <= 0:
            return 0.0
        known = self._client(client)
        now = self._clock()
        wait = self._spend(known, now)
        if wait > 0:
            return wait
        if known.permits:
            known.permits -= 1
            return 0.0
        if now < known.refused_until:
            known.tokens += 1
            return known.refused_until - now
        if self._redis is None or now < known.alone_until:
            return 0.0
        if self._is_failing:
            if now >= self._retry_time:
                self._start(self._probe, self._redis)
            return 0.0
        return await self._drawn(self._redis, known)

    async def close(self) -> None:
        """Close the connection; admit calls that are still waiting."""
        if self._asking is not None:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking
        if self._redis is not None:
            await self._redis.close()

    # -- this process's own bucket -----------------------------------------------------------

    def _client(self, name: str) -> _Client:
        """Find or add a client, and move it to the end: the first is the least recently used."""
        client = self._clients.pop(name, None)
        if client is None:
            if len(self._clients) >= _CLIENTS_MAX:
                del self._clients[next(iter(self._clients))]
            key = f"payd:rate:{hashlib.sha256(name.encode()).hexdigest()[:32]}"
            client = _Client(key, float(self._burst), self._clock())
        self._clients[name] = client
        return client

    def _spend(self, client: _Client, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        gained = max(0.0, now - client.time) * self._rate
        client.tokens = min(float(self._burst), client.tokens + gained)
        client.time = now
        if client.tokens < 1:
            return (1 - client.tokens) / self._rate
        client.tokens -= 1
        return 0.0

    # -- Redis -------------------------------------------------------------------------------

    async def _drawn(self, redis: Redis, client: _Client) -> float:
        caller = _Caller(client, asyncio.get_running_loop().create_future())
        self._callers.append(caller)
        self._start(self._draw, redis)
        return await caller.answer

    def _start(self, ask: Callable[[Redis], Coroutine[Any, Any, None]], redis: Redis) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(ask(redis))

    async def _draw(self, redis: Redis) -> None:
        """Draw permits for waiting calls until none is left."""
        callers: list[_Caller] = []
        try:
            while self._callers and not self._is_failing:
                callers, self._callers = self._callers, []
                self._share(callers, await self._ask(redis, callers))
        except NoAnswer as error:
            self._fail(error)
        finally:
            # The bucket of this process has admitted them already.
            for caller in (*callers, *self._callers):
                _resolve(caller, 0.0)
            self._callers.clear()

    async def _ask(
        self, redis: Redis, callers: Sequence[_Caller]
    ) -> Mapping[str, tuple[int, float]]:
        """Return, by key, how many permits were granted and the seconds until the next one.

        Leaves out clients whose value in Redis is invalid. Raises NoAnswer.
        """
        wanted: dict[str, int] = {}
        for caller in callers:
            wanted[caller.client.key] = wanted.get(caller.client.key, 0) + 1
        asked = [(key, secrets.token_hex(8), number) for key, number in wanted.items()]
        answers = await redis.exchange(
            [
                ("EVAL", _DRAW, 1, key, nonce, repr(self._rate), self._burst, self._wish(number))
                for key, nonce, number in asked
            ]
        )
        granted = {}
        self._is_refused = False
        for (key, nonce, number), answer in zip(asked, answers, strict=True):
            if isinstance(answer, Refusal):
                self._is_refused = True
                self._note(answer)
            else:
                granted[key] = _checked(answer, nonce, self._wish(number))
        return granted

    def _wish(self, callers: int) -> int:
        return max(self._block, callers)

    def _share(self, callers: Sequence[_Caller], granted: Mapping[str, tuple[int, float]]) -> None:
        """Give permits to calls in order of arrival; keep the rest for later calls."""
        now = self._clock()
        for client in {id(caller.client): caller.client for caller in callers}.values():
            if client.key in granted:
                client.permits += granted[client.key][0]
            else:
                client.alone_until = now + _RETRY_S
        for caller in callers:
            client = caller.client
            if caller.answer.done() or client.key not in granted:
                continue
            if client.permits:
                client.permits -= 1
                _resolve(caller, 0.0)
                continue
            wait = max(granted[client.key][1], 1e-6)
            client.refused_until = now + wait
            client.tokens += 1
            _resolve(caller, wait)

    async def _probe(self, redis: Redis) -> None:
        """Check whether Redis answers again. No call waits for this."""
        try:
            [answer] = await redis.exchange([("PING",)])
            if answer != b"PONG":
                raise NoAnswer(f"expected PONG, got {answer!r:.100}")
        except NoAnswer as error:
            self._fail(error)
        else:
            self._is_failing = False
            _log.info("rate_limit_shared")

    # -- errors and log lines ----------------------------------------------------------------

    def _fail(self, error: NoAnswer) -> None:
        if not self._is_failing:
            _log.warning("rate_limit_alone", error=str(error))
        self._is_failing = True
        self._retry_time = self._clock() + _RETRY_S
        self._last_error = str(error)

    def _note(self, refusal: Refusal) -> None:
        """Report an error of one client's key; others may work."""
        if refusal.text != self._last_error:
            _log.warning("rate_limit_refused", error=refusal.text)
        self._last_error = refusal.text


def _checked(answer: Any, nonce: str, wanted: int) -> tuple[int, float]:
    """Validate the answer to a draw; the nonce shows that it belongs to this one.

    Raises NoAnswer.
    """
    match answer:
        case [bytes() as echoed, int() as granted, int() as wait_us] if (
            echoed == nonce.encode() and 0 <= granted <= wanted and wait_us >= 0
        ):
            return granted, wait_us / 1_000_000
    raise NoAnswer(f"expected the answer to a draw, got {answer!r:.100}")


def _resolve(caller: _Caller, wait: float) -> None:
    """Answer a call, unless it was cancelled."""
    if not caller.answer.done():
        caller.answer.set_result(wait)
