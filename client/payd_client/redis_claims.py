"""Claims in Redis; needs the extra `redis`."""

import asyncio
from collections.abc import Awaitable, Callable
from logging import getLogger
from typing import Any
from uuid import UUID

import attrs
import redis.exceptions
from redis.asyncio import Redis

from payd_client.claims import Claim
from payd_client.values import Event

_log = getLogger("payd_client")

_TIMEOUT_S = 1.0
#: Pause after a failure, so that not every handler waits for a Redis that is away.
_PAUSE_S = 5.0
_FAILURES = (
    redis.exceptions.RedisError,
    OSError,
    TimeoutError,
    # Raised by asyncio before Python 3.13.6 when it writes to a connection that was lost
    # (github.com/python/cpython/issues/136234).
    AttributeError,
    TypeError,
)

#: KEYS: event, payment. ARGV: token, milliseconds. One event of a payment at a time.
_CLAIM = """
if redis.call('GET', KEYS[1]) == 'done' then return 'done' end
local owner = redis.call('GET', KEYS[2])
if owner and owner ~= ARGV[1] then return 'taken' end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'mine'
"""
#: KEYS: event, payment. ARGV: token, milliseconds to remember. Keeps another process's claim.
_CONFIRM = """
redis.call('SET', KEYS[1], 'done', 'PX', ARGV[2])
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 'done'
"""
#: KEYS: event, payment. ARGV: token. Keeps another process's claim.
_RELEASE = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return 'released'
"""
#: KEYS: event, payment. ARGV: token, milliseconds. Keeps another process's claim.
_EXTEND = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('PEXPIRE', key, ARGV[2]) end
end
return 'extended'
"""
#: Result of a command that Redis did not answer.
_NO_ANSWER = object()


@attrs.define(eq=False, kw_only=True)
class RedisClaims:
    """Claims of one process of a durable consumer. Runs on asyncio.

    Every script compares the owner in the same step in which it writes, so that a process whose
    claim has expired cannot end the claim of its successor.
    """

    _url: str = attrs.field(repr=False)
    #: Name of the durable consumer; several of them may share a Redis.
    _durable: str
    #: Owner of the claims, different in each process.
    _token: str
    #: Seconds after which a claim expires when its owner has died.
    _claim_s: float
    #: Seconds to remember that an event is done.
    _remember_s: float
    _redis: Any = attrs.field(default=None, init=False)
    _paused_until: float = attrs.field(default=0.0, init=False)

    async def claim(self, event: Event) -> Claim:
        """Claim the event and its payment together."""
        answer = await self._run(_CLAIM, event, self._claim_s)
        return Claim.UNKNOWN if answer is _NO_ANSWER else Claim(answer)

    async def confirm(self, event: Event) -> None:
        """Mark the event as done and free its payment."""
        await self._run(_CONFIRM, event, self._remember_s)

    async def release(self, event: Event) -> None:
        """Delete the claims on the event and its payment."""
        await self._run(_RELEASE, event, 0)

    async def extend(self, event: Event) -> None:
        """Let the claims expire later."""
        await self._run(_EXTEND, event, self._claim_s)

    async def is_done(self, event_id: UUID | str) -> bool | None:
        """Read the mark of the event; None when Redis does not answer."""
        mark = await self._ask(lambda client: client.get(self._event_key(event_id)))
        return None if mark is _NO_ANSWER else mark == "done"

    async def close(self) -> None:
        """Close the connection, if there is one."""
        client, self._redis = self._redis, None
        if client is not None:
            await client.aclose()

    def _event_key(self, event_id: UUID | str) -> str:
        return f"payd:{self._durable}:event:{event_id}"

    async def _run(self, script: str, event: Event, time_s: float) -> Any:
        keys = (
            self._event_key(event.id),
            f"payd:{self._durable}:payment:{event.payment.id}",
        )
        milliseconds = int(time_s * 1000)
        return await self._ask(
            lambda client: client.eval(script, len(keys), *keys, self._token, milliseconds)
        )

    async def _ask(self, command: Callable[[Any], Awaitable[Any]]) -> Any:
        """Return Redis's answer; _NO_ANSWER after a failure and during the pause after it."""
        now = asyncio.get_running_loop().time()
        if now < self._paused_until:
            return _NO_ANSWER
        try:
            if self._redis is None:
                self._redis = Redis.from_url(
                    self._url,
                    decode_responses=True,
                    socket_timeout=_TIMEOUT_S,
                    socket_connect_timeout=_TIMEOUT_S,
                )
            async with asyncio.timeout(_TIMEOUT_S):
                return await command(self._redis)
        except _FAILURES as error:
            _log.warning("events are handled without claims, Redis does not answer: %r", error)
            self._paused_until = now + _PAUSE_S
            return _NO_ANSWER
