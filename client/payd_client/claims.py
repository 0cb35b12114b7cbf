"""Who handles an event, and which ones are done: a first look, in Redis, shared by all consumers.

It may be lost: then nobody is held back, and the consumer's own database decides.
"""

import asyncio
import enum
from collections.abc import Awaitable, Callable
from logging import getLogger
from typing import Any, TypeVar
from uuid import UUID

import attrs
import redis.exceptions
from redis.asyncio import Redis

from payd_client.values import Event

_log = getLogger("payd_client")

T = TypeVar("T")

_TIMEOUT_S = 1.0
#: After a failure Redis is left alone so long: a handler should not wait for it each time.
_REST_S = 5.0
_FAILURES = (
    redis.exceptions.RedisError,
    OSError,
    TimeoutError,
    # Python before 3.13.6, when asyncio writes lines to a connection that was lost
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
#: KEYS: event, payment. ARGV: token, milliseconds to remember. A claim of another's stays.
_CONFIRM = """
redis.call('SET', KEYS[1], 'done', 'PX', ARGV[2])
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 'done'
"""
_RELEASE = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return 'released'
"""
_EXTEND = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('PEXPIRE', key, ARGV[2]) end
end
return 'extended'
"""


class Claim(enum.Enum):
    """What became of the wish to handle an event."""

    MINE = "mine"
    #: It has been handled, and need not be again.
    DONE = "done"
    #: Another consumer is at this payment; or one that died was, until its claim ends.
    TAKEN = "taken"
    #: Redis says nothing.
    UNKNOWN = "unknown"


@attrs.define(eq=False)
class Claims:
    """Of one consumer. Runs on asyncio."""

    #: redis://…; empty: there is none.
    _url: str = attrs.field(repr=False)
    #: Of the durable consumer; several of them share a Redis.
    _durable: str
    #: Who claims: one for each running consumer.
    _token: str
    #: A claim ends by itself when its owner died.
    _claim_s: float
    _remember_s: float
    _redis: Any = attrs.field(default=None, init=False)
    _rests_until: float = attrs.field(default=0.0, init=False)

    async def claim(self, event: Event) -> Claim:
        """Before the handler."""
        keys = self._keys(event)
        answer = await self._ask(_CLAIM, keys, int(self._claim_s * 1000))
        return Claim(answer) if answer else Claim.UNKNOWN

    async def confirm(self, event: Event) -> None:
        """After the handler."""
        await self._ask(_CONFIRM, self._keys(event), int(self._remember_s * 1000))

    async def release(self, event: Event) -> None:
        """When the handler has failed, or was stopped."""
        await self._ask(_RELEASE, self._keys(event), 0)

    async def extend(self, event: Event) -> None:
        """While the handler runs."""
        await self._ask(_EXTEND, self._keys(event), int(self._claim_s * 1000))

    async def is_done(self, event_id: str) -> bool | None:
        """Whether this event has been handled; None when Redis says nothing."""
        held = await self._safely(lambda client: client.get(self._event_key(event_id)))
        return None if held is _NOTHING else held == "done"

    async def close(self) -> None:
        """End the connection."""
        client, self._redis = self._redis, None
        if client is not None:
            await client.aclose()

    def _keys(self, event: Event) -> tuple[str, str]:
        return (
            self._event_key(event.id),
            f"payd:{self._durable}:payment:{event.payment.id}",
        )

    def _event_key(self, event_id: UUID | str) -> str:
        return f"payd:{self._durable}:event:{event_id}"

    async def _ask(self, script: str, keys: tuple[str, str], milliseconds: int) -> str:
        """The script's answer, "" when there is none."""
        answer = await self._safely(
            lambda client: client.eval(script, len(keys), *keys, self._token, milliseconds)
        )
        return "" if answer is _NOTHING else str(answer)

    async def _safely(self, act: Callable[[Any], Awaitable[Any]]) -> Any:
        now = asyncio.get_running_loop().time()
        if not self._url or now < self._rests_until:
            return _NOTHING
        try:
            if self._redis is None:
                self._redis = Redis.from_url(
                    self._url,
                    decode_responses=True,
                    socket_timeout=_TIMEOUT_S,
                    socket_connect_timeout=_TIMEOUT_S,
                )
            async with asyncio.timeout(_TIMEOUT_S):
                return await act(self._redis)
        except _FAILURES as error:
            _log.warning("events are not claimed: Redis: %r", error)
            self._rests_until = now + _REST_S
            return _NOTHING


_NOTHING = object()
