"""The open connections of one database: the newest idle one is used again, so many at most.

asyncpg's own pool starts two tasks and sets a timer for each statement, which costs more than the
statement. This one starts none: idle connections beyond their time are closed when another one
comes back.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    # Generic in the stubs only.
    Connection = asyncpg.Connection[asyncpg.Record]

#: An idle connection is closed after this time, so that a peak does not occupy the server for ever.
IDLE_MAX_S = 300.0


class Pool:
    """Hands out each connection to one user at a time."""

    def __init__(self, connect: "Callable[[], Awaitable[Connection]]", size_max: int) -> None:
        self._connect = connect
        self._size_max = size_max
        #: Those that are open, with the generation that they belong to.
        self._open: dict[Connection, int] = {}
        self._generation = 0
        self._opening = 0
        #: Newest last, each with the time at which it was released.
        self._idle: deque[tuple[Connection, float]] = deque()
        #: Served in order: with a connection, or with None when one may be opened.
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._closed: asyncio.Event | None = None

    def usage(self) -> tuple[int, int]:
        """Return the number of open connections, and of those in use."""
        return len(self._open), len(self._open) - len(self._idle)

    async def acquire(self, timeout_s: float) -> "Connection":
        """Return a connection to be released. Raises TimeoutError and the errors of connecting."""
        if (idle := self._take_idle()) is not None:
            return idle
        # The first connection may take as long as connecting may.
        async with asyncio.timeout(timeout_s if self._open else None):
            while True:
                if len(self._open) + self._opening < self._size_max:
                    return await self._open_another()
                if (connection := await self._wait()) is not None:
                    return connection

    def release(self, connection: "Connection") -> None:
        """Take a connection back; a closed or expired one is dropped."""
        is_current = self._open.get(connection) == self._generation
        if connection.is_closed() or not is_current or self._closed is not None:
            self._drop(connection)
        elif not self._serve(connection):
            now = asyncio.get_running_loop().time()
            self._idle.append((connection, now))
            while self._idle[0][1] < now - IDLE_MAX_S:
                self._drop(self._idle.popleft()[0])

    def expire(self) -> None:
        """Close idle connections now, and each of the others when it is released."""
        self._generation += 1
        while self._idle:
            self._drop(self._idle.pop()[0])

    async def close(self) -> None:
        """Close all connections when their users have released them."""
        self._closed = asyncio.Event()
        self.expire()
        if self._open:
            await self._closed.wait()

    def terminate(self) -> None:
        """Close all connections now."""
        for connection in list(self._open):
            self._drop(connection)

    def _take_idle(self) -> "Connection | None":
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._drop(connection)
        return None

    async def _open_another(self) -> "Connection":
        generation, connection = self._generation, None
        self._opening += 1
        try:
            connection = await self._connect()
        finally:
            self._opening -= 1
            if connection is None:
                self._serve(None)
        self._open[connection] = generation
        return connection

    async def _wait(self) -> "Connection | None":
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        is_used = False
        try:
            connection = await turn
            is_used = True
        finally:
            if not is_used:
                self._give_up(turn)
        return connection

    def _give_up(self, turn: "asyncio.Future[Connection | None]") -> None:
        if not turn.done() or turn.cancelled():
            # `_serve` drops one that was cancelled when it comes to it.
            with suppress(ValueError):
                self._waiting.remove(turn)
        elif (connection := turn.result()) is not None:
            # Served in the same turn of the loop as it was cancelled.
            self.release(connection)
        else:
            self._serve(None)

    def _serve(self, connection: "Connection | None") -> bool:
        """Serve the first that waits; return whether there was one."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False

    def _drop(self, connection: "Connection") -> None:
        if self._open.pop(connection, None) is not None:
            connection.terminate()
            self._serve(None)
        if self._closed is not None and not self._open:
            self._closed.set()
