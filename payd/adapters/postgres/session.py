"""A fresh connection's session: its time limits, and whether it is payd's own.

Poolers stand between payd and the server. PgBouncer refuses time limits in the startup message, or
drops them when told to ignore them, so a statement sets them. In transaction pooling a session is
nobody's own: locks that payd holds for its leases and migrations would belong to whoever comes
next, and never be released. That is refused.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import asyncpg

from payd.adapters.postgres.statements import STATEMENTS

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

#: A prepared statement that another session made, or that was made in another one.
_MIXED_UP = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
#: A busy pooler may give the two connections different sessions by chance.
_TRIES = 3


class SharedSession(Exception):
    """A pooler in transaction mode: use session pooling, or connect to PostgreSQL directly."""

    def __init__(self) -> None:
        super().__init__(
            "a pooler shares sessions between clients (transaction pooling): "
            "use session pooling, or connect to PostgreSQL directly"
        )


async def open_session(
    connection: "_Connection", settings: Mapping[str, str], timeout_s: float
) -> bool:
    """Set the session's settings; whether a pooler stands between. Raises SharedSession.

    Poolers make up the process id that a client gets at the start, which is for cancelling.
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
    """Raise SharedSession when a second connection gets the session of an idle first one."""
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
