"""asyncpg for trio: a pool, and functions that run in one transaction each."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import asyncpg
import trio_asyncio

T = TypeVar("T")
P = ParamSpec("P")

#: A connection, pooled or not: asyncpg has a type for each.
Connection = Any
_SCHEMA = Path(__file__).with_name("schema.sql")
_DEADLINE_S = 10.0
#: The server cannot be reached, is full, or stops: the same statement may work in a moment.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
)


class DatabaseAway(Exception):
    """PostgreSQL is unreachable or too slow."""


class Database:
    """The main app's database."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def run(
        self,
        function: Callable[Concatenate[Connection, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Await an asyncio function of `store` in a transaction. Raises DatabaseAway."""

        async def transact() -> T:
            async with (
                self._pool.acquire(timeout=_DEADLINE_S) as connection,
                connection.transaction(),
            ):
                return await function(connection, *args, **kwargs)

        try:
            answer: T = await trio_asyncio.aio_as_trio(transact)()
        except _AWAY as error:
            raise DatabaseAway(str(error)) from None
        return answer


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open the database and create its tables. Needs a running trio_asyncio loop."""
    create: Any = trio_asyncio.aio_as_trio(_create_pool)
    pool = await create(url)
    try:
        database = Database(pool)
        await database.run(_create_tables)
        yield database
    finally:
        pool.terminate()


async def _create_pool(url: str) -> Any:
    return await asyncpg.create_pool(
        url, min_size=1, max_size=10, command_timeout=_DEADLINE_S, timeout=_DEADLINE_S
    )


async def _create_tables(connection: Connection) -> None:
    # Serialise: two processes that start together would both create the tables.
    await connection.execute("SELECT pg_advisory_xact_lock(7209)")
    await connection.execute(_SCHEMA.read_text())
