"""The session of a fresh connection: set its time limits, and refuse shared sessions.

There may be a pooler between payd and the server. PgBouncer refuses or drops time limits in the
startup message, so a statement sets them. In transaction pooling clients share sessions: advisory
locks of leases and migrations would pass to the next client and never be released. payd refuses
to run like that.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import asyncpg

from payd.adapters.postgres.statements import STATEMENTS

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

#: A prepared statement is missing, or exists already: it was prepared in another session.
_MIXED_UP = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
#: A busy pooler may give the two connections different sessions by chance, so try a few times.
_TRIES = 3


class SharedSession(Exception):
    """A pooler shares sessions between clients (transaction pooling)."""

    def __init__(self) -> None:
        super().__init__(
            "a pooler shares sessions between clients (transaction pooling): "
            "use session pooling, or connect to PostgreSQL directly"
        )


async def open_session(
    connection: "_Connection", settings: Mapping[str, str], timeout_s: float
) -> bool:
    """Apply the settings; return whether there is a pooler between. Raises SharedSession.

    A pooler invents the process id that a client gets at the start; the server knows the real one.
    """
    named = STATEMENTS["open_session"]
    arguments = named.arguments({"names": list(settings), "settings": list(settings.values())})
    try:
        row = await connection.fetchrow(named.sql, *arguments, timeout=timeout_s)
    except _MIXED_UP:
        raise SharedSession from None
    return row is not None and row["process_id"] != connection.get_server_pid()


async def refuse_shared_sessions(
    connection: "_Connection", connect: "Callable[[], Awaitable[_Connection]]", timeout_s: float
) -> None:
    """Raise SharedSession if a second connection gets the session of the idle first one."""
    ask = STATEMENTS["session_process"].sql
    other = await connect()
    try:
        for _ in range(_TRIES):
            mine = await connection.fetchval(ask, timeout=timeout_s)
            async with other.transaction():
                if await other.fetchval(ask, timeout=timeout_s) == mine:
                    raise SharedSession
    except _MIXED_UP:
        raise SharedSession from None
    finally:
        other.terminate()
