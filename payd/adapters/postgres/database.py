"""Runs statements on pooled connections, with deadlines; failures become StoreUnavailable.

Each statement is a transaction of its own and safe to repeat. After a lost connection it is
therefore tried once more on a fresh one.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import asyncpg
import attrs

from payd.adapters.postgres.pool import Pool
from payd.adapters.postgres.session import SharedSession, open_session, refuse_shared_sessions
from payd.adapters.postgres.statements import STATEMENTS
from payd.adapters.system import SystemClock
from payd.domain.errors import StoreUnavailable
from payd.plugins.context import Clock

R = TypeVar("R")

if TYPE_CHECKING:
    # Generic in the stubs only.
    _Connection = asyncpg.Connection[asyncpg.Record]

#: Deadlocks and serialization failures: the statement changed nothing, and is run again.
_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
#: The connection or the server is gone, or not there yet. asyncpg raises InterfaceError for some.
LOST = (
    OSError,
    asyncpg.InterfaceError,
    # asyncpg raises it when the connection breaks between two steps of its protocol.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,
)
#: The server answers, but cannot serve now.
_AWAY = (
    # Classes of SQLSTATE: 57 (cancelled by a deadline), 55 (no lock in time, for example two calls
    # with one key while the first commits slowly), 53 (out of resources), 58 (disk failure).
    asyncpg.OperatorInterventionError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
    SharedSession,
)
_TRIES_MAX = 3
#: Time to wait for a new password after the server refused those we have.
_PASSWORD_S = 5.0


@attrs.frozen(kw_only=True)
class DatabaseSettings:
    """Address and credentials of PostgreSQL, and time limits."""

    host: str
    port: int
    user: str
    #: Password at the start; `Database.use_password` replaces it.
    password: str = attrs.field(repr=False)
    name: str
    tls: ssl.SSLContext | str | bool = "prefer"
    pool_size: int = 8
    acquire_timeout_s: float = 1.0
    command_timeout_s: float = 3.0
    connect_timeout_s: float = 5.0
    #: Less than command_timeout_s, so that the server gives up first and the connection survives.
    statement_timeout_ms: int = 2500
    #: More than the server's deadlock_timeout (1 s by default), so that the server detects a
    #: deadlock before the wait ends, and the statement is run again.
    lock_timeout_ms: int = 2000
    idle_in_transaction_timeout_ms: int = 5000

    def session(self) -> dict[str, str]:
        """The time limits as PostgreSQL settings of a session."""
        return {
            "statement_timeout": str(self.statement_timeout_ms),
            "lock_timeout": str(self.lock_timeout_ms),
            "idle_in_transaction_session_timeout": str(self.idle_in_transaction_timeout_ms),
        }


#: How the pool's sessions plan. Each statement is planned once a session: by default PostgreSQL
#: plans some anew for each execution, which costs more than running them. A plan may be made while
#: the tables are still small, so it must not read a whole table where there is an index. Each reads
#: few rows, but a plan for any values expects many: starting workers or compiling expressions for
#: them takes longer than the statement (12 ms of 16, with ten million payments).
_PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}

#: The server refused the password. After a rotation it may know the new one before we do.
_REFUSED = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)


class Fetch(Protocol):
    """Runs named statements."""

    async def __call__(self, statement: str, **values: object) -> list[asyncpg.Record]:
        """Return the rows of a named statement."""


async def run_on(
    connection: "_Connection", statement: str, **values: object
) -> list[asyncpg.Record]:
    """Return the rows of a named statement, on a connection outside the pool."""
    named = STATEMENTS[statement]
    return await connection.fetch(named.sql, *named.arguments(values))


class Database:
    """A pool that connects on first use, and again after the connection is lost."""

    def __init__(
        self,
        settings: DatabaseSettings,
        on_refused: Callable[[], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`on_refused` is called when the server refuses every password; it fetches a new one.

        `clock` gives the times of payments in statements; the server's own clock gives those of
        leases and retries, which daemons must agree on.
        """
        self.clock = clock or SystemClock()
        self._settings = settings
        #: Newest first. The previous one may be valid for a moment longer.
        self._passwords = [settings.password]
        self._on_refused = on_refused
        self._renewed = asyncio.Event()
        self._pool: Pool | None = None
        #: Whether a pooler was checked and gives payd sessions of its own.
        self._sessions_are_own = False

    async def fetch(self, statement: str, **values: object) -> list[asyncpg.Record]:
        """Run a named statement and return its rows. Raises StoreUnavailable."""
        named = STATEMENTS[statement]
        arguments = named.arguments(values)

        async def run(connection: "_Connection") -> list[asyncpg.Record]:
            return await connection.fetch(
                named.sql, *arguments, timeout=self._settings.command_timeout_s
            )

        return await self._retry(run)

    async def fetch_one(self, statement: str, **values: object) -> asyncpg.Record | None:
        """Run a named statement and return its first row, if any. Raises StoreUnavailable."""
        rows = await self.fetch(statement, **values)
        return rows[0] if rows else None

    async def connect(self, also: Mapping[str, str] | None = None) -> "_Connection":
        """Open a connection outside the pool, for snapshots, migrations, leases and LISTEN.

        `also` are additional settings of its session. The caller closes it. Raises
        StoreUnavailable.
        """
        try:
            return await self._connect(**self._arguments(), session=also or {})
        except (*LOST, *_AWAY) as error:
            raise _unavailable(error) from error

    @asynccontextmanager
    async def snapshot(self) -> "AsyncIterator[Fetch]":
        """Run several statements that all read the same snapshot of the database.

        They run in a read-only transaction on a connection of their own. Raises StoreUnavailable.
        """
        async with self.reading() as connection:

            async def fetch(statement: str, **values: object) -> list[asyncpg.Record]:
                named = STATEMENTS[statement]
                return await connection.fetch(
                    named.sql, *named.arguments(values), timeout=self._settings.command_timeout_s
                )

            yield fetch

    @asynccontextmanager
    async def reading(self, also: Mapping[str, str] | None = None) -> "AsyncIterator[_Connection]":
        """Open the connection of a snapshot; `also` as in `connect`. Raises StoreUnavailable."""
        connection = await self.connect(also)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        except (TimeoutError, *LOST, *_AWAY) as error:
            raise _unavailable(error) from error
        finally:
            connection.terminate()

    async def use_password(self, password: str) -> None:
        """Use `password` for new connections; open ones are replaced as they return to the pool."""
        if password == self._passwords[0]:
            return
        self._passwords = [password, self._passwords[0]]
        self._renewed.set()
        self._renewed = asyncio.Event()
        if self._pool is not None:
            self._pool.expire()

    async def _connect(
        self, *args: Any, session: Mapping[str, str] | None = None, **arguments: Any
    ) -> "_Connection":
        """Connect and apply the session's settings. Raises SharedSession and asyncpg's errors."""
        connection = await self._log_in(*args, **arguments)
        limit_s, is_open = self._settings.connect_timeout_s, False
        try:
            settings = {**self._settings.session(), **(session or {})}
            through_pooler = await open_session(connection, settings, limit_s)
            if through_pooler and not self._sessions_are_own:
                another = partial(self._log_in, *args, **arguments)
                await refuse_shared_sessions(connection, another, limit_s)
                self._sessions_are_own = True
            is_open = True
        finally:
            if not is_open:
                connection.terminate()
        return connection

    async def _log_in(self, *args: Any, **arguments: Any) -> "_Connection":
        newest, *older = self._passwords
        # The newest one again: the server may begin to know it while an older one is tried.
        *first, last = (newest, *older, newest) if older else (newest,)
        for password in first:
            with suppress(*_REFUSED):
                return await asyncpg.connect(*args, **arguments, password=password)
        return await asyncpg.connect(*args, **arguments, password=last)

    async def ping(self) -> None:
        """Return when the server has answered. Raises StoreUnavailable."""
        await self.fetch("ping")

    async def time(self) -> datetime:
        """Return the server's clock. Raises StoreUnavailable."""
        [row] = await self.fetch("database_time")
        time: datetime = row["time"]
        return time

    async def close(self) -> None:
        """Close the pool; terminate connections that do not close in time. Idempotent."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), timeout=self._settings.command_timeout_s)
        except (TimeoutError, *LOST):
            pool.terminate()

    def usage(self) -> tuple[int, int]:
        """Return the number of open connections, and of busy ones."""
        return self._pool.usage() if self._pool is not None else (0, 0)

    async def _retry(self, run: "Callable[[_Connection], Awaitable[R]]") -> R:
        for attempt in range(1, _TRIES_MAX + 1):
            tried = self._passwords
            try:
                return await self._once(run)
            except _AGAIN as error:
                if attempt == _TRIES_MAX:
                    raise _unavailable(error) from error
            except asyncpg.UniqueViolationError:
                # Another transaction has just committed the key: the statement now finds it.
                if attempt > 1:
                    raise
            except TimeoutError as error:
                # TimeoutError is an OSError, but no lost connection: a retry would be as slow.
                raise _unavailable(error) from error
            except LOST as error:
                if attempt > 1:
                    raise _unavailable(error) from error
            except _REFUSED as error:
                if attempt == _TRIES_MAX or not await self._another_password(tried):
                    raise _unavailable(error) from error
            except _AWAY as error:
                raise _unavailable(error) from error
        raise AssertionError("unreachable")

    async def _another_password(self, tried: Sequence[str]) -> bool:
        """Ask for another password and wait for it; return whether one came in time."""
        if self._passwords is not tried:
            # It came meanwhile, and nobody would bring it again.
            return True
        if self._on_refused is None:
            return False
        renewed = self._renewed
        self._on_refused()
        try:
            await asyncio.wait_for(renewed.wait(), _PASSWORD_S)
        except TimeoutError:
            return False
        return True

    async def _once(self, run: "Callable[[_Connection], Awaitable[R]]") -> R:
        pool = self._opened()
        connection = await pool.acquire(self._settings.acquire_timeout_s)
        try:
            return await run(connection)
        except (TimeoutError, asyncio.CancelledError, *LOST):
            # The statement may still be running in this session: do not reuse it.
            connection.terminate()
            raise
        finally:
            pool.release(connection)

    def _opened(self) -> Pool:
        if self._pool is None:
            connect = partial(self._connect, **self._arguments(), session=_PLANS)
            self._pool = Pool(connect, self._settings.pool_size)
        return self._pool

    def _arguments(self) -> Mapping[str, Any]:
        settings = self._settings
        return {
            "host": settings.host,
            "port": settings.port,
            "user": settings.user,
            "database": settings.name,
            "ssl": settings.tls,
            "timeout": settings.connect_timeout_s,
            "server_settings": {"application_name": "payd"},
        }


def _unavailable(error: BaseException) -> StoreUnavailable:
    reason = str(error) if isinstance(error, SharedSession) else type(error).__name__
    return StoreUnavailable(f"PostgreSQL: {reason}", retry_after_s=1.0)
