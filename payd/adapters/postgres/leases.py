"""Leases on PostgreSQL: a lock that ends with its session, and a fence that outlives it.

The lock says who leads; the fence makes sure that who does not know better is refused.
"""

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from payd.adapters.postgres.database import LOST, Database
from payd.adapters.postgres.statements import STATEMENTS
from payd.ports import Lease, LeaseLost

T = TypeVar("T")

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

#: An answer that takes longer counts as none.
_ANSWER_S = 3.0
#: So that the server notices within some ten seconds that a holder's machine is gone.
_KEEPALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


class PostgresLeases:
    """The port Leases. A session of its own for each lease that is held."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def acquire(self, name: str) -> "PostgresLease | None":
        """See the port; raises StoreUnavailable."""
        connection = await self._database.connect(_KEEPALIVE)
        held = False
        try:
            if not await _fetch(connection, "try_lease_lock", name=name):
                return None
            fence = await _fetch(connection, "take_lease", name=name)
            held = True
            return PostgresLease(connection, Lease(name=name, fence=fence))
        except LeaseLost:
            return None
        finally:
            if not held:
                connection.terminate()


class PostgresLease:
    """The port HeldLease."""

    def __init__(self, connection: "_Connection", lease: Lease) -> None:
        self._connection = connection
        self.lease = lease

    async def check(self) -> None:
        """See the port."""
        await _fetch(self._connection, "ping")

    async def release(self) -> None:
        """See the port."""
        try:
            await self._connection.close(timeout=_ANSWER_S)
        except (TimeoutError, *LOST):
            self._connection.terminate()


async def _fetch(connection: "_Connection", statement: str, **values: object) -> int:
    named = STATEMENTS[statement]
    arguments = named.arguments(values)
    try:
        value: int = await _in_time(connection.fetchval(named.sql, *arguments))
    except (TimeoutError, asyncpg.PostgresError, *LOST) as error:
        raise LeaseLost(f"PostgreSQL: {type(error).__name__}") from error
    return value


async def _in_time(answer: Awaitable[T]) -> T:
    return await asyncio.wait_for(answer, _ANSWER_S)
