"""Leases on PostgreSQL: an advisory lock that ends with its session, and a fence that outlives it.

The lock decides which daemon has the lease. The fence makes PostgreSQL refuse writes of a former
holder that has not noticed the end of its session yet.
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

#: An answer that takes longer counts as lost.
_ANSWER_S = 3.0
#: With these the server notices within about ten seconds that a holder's machine is gone.
_KEEPALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


class PostgresLeases:
    """Implements the port Leases, with one database session for each lease."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def acquire(self, name: str) -> "PostgresLease | None":
        """Try the advisory lock, then increase the fence. Raises StoreUnavailable."""
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
    """Implements the port HeldLease."""

    def __init__(self, connection: "_Connection", lease: Lease) -> None:
        self._connection = connection
        self.lease = lease

    async def check(self) -> None:
        """Run a statement in the lease's session: the lock lives as long as the session."""
        await _fetch(self._connection, "ping")

    async def release(self) -> None:
        """Close the session, which releases the lock."""
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
