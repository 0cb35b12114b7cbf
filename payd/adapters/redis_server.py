"""The connection to Redis that the rate limiter asks through: opened when needed, with deadlines.

Imported only where a Redis is configured: redis takes 6 MiB, and a twelfth of the start's time.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from payd.adapters.rate_limit import NoAnswer, Refusal

__all__ = ["RedisServer"]

#: Time for an answer of Redis, and for a new connection with its first answer.
_ANSWER_S = 0.05
_CONNECT_S = 0.1

#: ValueError: the answer was not one of Redis.
_FAILURES = (
    RedisError,
    OSError,
    EOFError,
    TimeoutError,
    ValueError,
    # Raised by asyncio before Python 3.13.6 when it writes lines to a lost connection
    # (github.com/python/cpython/issues/136234).
    AttributeError,
    TypeError,
)


class RedisServer:
    """Redis at one address, for one task at a time, on the asyncio loop."""

    def __init__(self, addr: str, password: Callable[[], str | None]) -> None:
        """`addr` is host:port. `password` is called for each new connection."""
        self._addr = addr
        self._password = password
        self._connection: Connection | None = None

    async def exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands and return their answers; that of a refused command is a Refusal.

        Any interruption closes the connection: a late answer would be read as the next one's.
        Raises NoAnswer.
        """
        is_whole = False
        try:
            answers = await self._exchange(commands)
            is_whole = not any(isinstance(answer, Refusal) for answer in answers)
            return answers
        except _FAILURES as error:
            raise NoAnswer(_describe(error)) from error
        finally:
            if not is_whole:
                await self.close()

    async def close(self) -> None:
        """Close the connection; the next exchange opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*_FAILURES):
                await connection.disconnect(nowait=True)

    async def _exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        async with asyncio.timeout(_CONNECT_S if self._connection is None else _ANSWER_S):
            connection = self._connection = self._connection or self._new_connection()
            await connection.send_packed_command(connection.pack_commands(commands))
            return [await _answer(connection) for _ in commands]

    def _new_connection(self) -> Connection:
        host, _, port = self._addr.rpartition(":")
        return Connection(
            host=host.strip("[]"),
            port=int(port),
            password=self._password() or None,
            protocol=2,
            driver_info=None,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=_CONNECT_S,
            socket_timeout=_CONNECT_S,
        )


async def _answer(connection: Connection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return Refusal(_describe(error))


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
