"""The pool of connections: so many at most, each with one user, none kept that is closed or old."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from payd.adapters.postgres.pool import IDLE_MAX_S, Pool

LONG_S = 60.0
SHORT_S = 0.01


class FakeConnection:
    """What the pool uses of asyncpg's connection."""

    def __init__(self) -> None:
        self.is_terminated = False

    def is_closed(self) -> bool:
        return self.is_terminated

    def terminate(self) -> None:
        self.is_terminated = True


class Server:
    """Opens connections, or refuses to."""

    def __init__(self) -> None:
        self.opened: list[Any] = []
        self.error: Exception | None = None
        self.may_open = asyncio.Event()
        self.may_open.set()

    async def connect(self) -> Any:
        await self.may_open.wait()
        if self.error is not None:
            raise self.error
        self.opened.append(FakeConnection())
        return self.opened[-1]


def run(test: Callable[[Server, Pool], Coroutine[Any, Any, None]]) -> None:
    async def with_limit() -> None:
        server = Server()
        async with asyncio.timeout(LONG_S):
            await test(server, Pool(server.connect, 2))

    asyncio.run(with_limit())


def test_an_idle_connection_is_used_again() -> None:
    async def test(server: Server, pool: Pool) -> None:
        first = await pool.acquire(LONG_S)
        assert pool.usage() == (1, 1)
        pool.release(first)
        assert pool.usage() == (1, 0)
        assert await pool.acquire(LONG_S) is first
        assert len(server.opened) == 1

    run(test)


def test_a_caller_beyond_the_limit_waits_for_a_release_and_is_served_in_order() -> None:
    async def test(server: Server, pool: Pool) -> None:
        first, second = await pool.acquire(LONG_S), await pool.acquire(LONG_S)
        waiting = [asyncio.create_task(pool.acquire(LONG_S)) for _ in range(2)]
        await asyncio.sleep(0)
        pool.release(second)
        pool.release(first)
        assert await asyncio.gather(*waiting) == [second, first]
        assert pool.usage() == (2, 2)

    run(test)


def test_a_caller_that_waits_too_long_gets_an_error_and_takes_nothing() -> None:
    async def test(server: Server, pool: Pool) -> None:
        first = await pool.acquire(LONG_S)
        await pool.acquire(LONG_S)
        with pytest.raises(TimeoutError):
            await pool.acquire(SHORT_S)
        pool.release(first)
        assert await pool.acquire(LONG_S) is first

    run(test)


def test_a_connection_that_comes_with_a_cancellation_is_not_lost() -> None:
    async def test(server: Server, pool: Pool) -> None:
        first = await pool.acquire(LONG_S)
        await pool.acquire(LONG_S)
        waiting = asyncio.create_task(pool.acquire(LONG_S))
        await asyncio.sleep(0)
        pool.release(first)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        assert pool.usage() == (2, 1)
        assert await pool.acquire(LONG_S) is first

    run(test)


def test_a_caller_that_is_cancelled_before_the_next_one_is_served_ends_as_cancelled() -> None:
    async def test(server: Server, pool: Pool) -> None:
        first, _ = await pool.acquire(LONG_S), await pool.acquire(LONG_S)
        waiting = [asyncio.create_task(pool.acquire(LONG_S)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        pool.release(first)
        assert await waiting[1] is first
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]

    run(test)


def test_a_place_that_comes_with_a_cancellation_goes_to_the_next() -> None:
    async def test(server: Server, pool: Pool) -> None:
        first = await pool.acquire(LONG_S)
        await pool.acquire(LONG_S)
        waiting = [asyncio.create_task(pool.acquire(LONG_S)) for _ in range(2)]
        await asyncio.sleep(0)
        first.terminate()
        pool.release(first)
        waiting[0].cancel()
        assert await waiting[1] is server.opened[2]
        assert waiting[0].cancelled()

    run(test)


def test_a_closed_connection_is_replaced() -> None:
    async def test(server: Server, pool: Pool) -> None:
        first, second = await pool.acquire(LONG_S), await pool.acquire(LONG_S)
        pool.release(first)
        first.terminate()
        assert await pool.acquire(LONG_S) is server.opened[2]
        waiting = asyncio.create_task(pool.acquire(LONG_S))
        await asyncio.sleep(0)
        second.terminate()
        pool.release(second)
        assert await waiting is server.opened[3]
        assert pool.usage() == (2, 2)

    run(test)


def test_an_error_of_connecting_frees_the_place() -> None:
    async def test(server: Server, pool: Pool) -> None:
        server.error = OSError("refused")
        for _ in range(3):
            with pytest.raises(OSError, match="refused"):
                await pool.acquire(LONG_S)
        server.may_open.clear()
        failing = [asyncio.create_task(pool.acquire(LONG_S)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting = asyncio.create_task(pool.acquire(LONG_S))
        await asyncio.sleep(0)
        server.may_open.set()
        results = await asyncio.gather(*failing, waiting, return_exceptions=True)
        assert [type(result) for result in results] == [OSError] * 3
        assert pool.usage() == (0, 0)

    run(test)


def test_only_the_first_connection_may_take_longer_than_the_limit() -> None:
    async def test(server: Server, pool: Pool) -> None:
        server.may_open.clear()
        first = asyncio.create_task(pool.acquire(SHORT_S))
        await asyncio.sleep(3 * SHORT_S)
        server.may_open.set()
        await first
        server.may_open.clear()
        with pytest.raises(TimeoutError):
            await pool.acquire(SHORT_S)

    run(test)


def test_old_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server, pool: Pool) -> None:
        loop = asyncio.get_running_loop()
        first, second = await pool.acquire(LONG_S), await pool.acquire(LONG_S)
        pool.release(first)
        now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: now + IDLE_MAX_S + 1)
        pool.release(second)
        monkeypatch.undo()
        assert [one.is_terminated for one in server.opened] == [True, False]
        assert pool.usage() == (1, 0)

    run(test)


def test_expired_connections_are_closed_when_they_are_free() -> None:
    async def test(server: Server, pool: Pool) -> None:
        used, idle = await pool.acquire(LONG_S), await pool.acquire(LONG_S)
        pool.release(idle)
        pool.expire()
        assert (used.is_closed(), idle.is_closed()) == (False, True)
        pool.release(used)
        assert used.is_closed()
        assert await pool.acquire(LONG_S) is server.opened[2]

    run(test)


def test_closing_waits_for_the_users() -> None:
    async def test(server: Server, pool: Pool) -> None:
        used = await pool.acquire(LONG_S)
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(SHORT_S)
        assert not closing.done()
        pool.release(used)
        await closing
        assert used.is_closed()

    run(test)


def test_terminating_waits_for_nobody() -> None:
    async def test(server: Server, pool: Pool) -> None:
        used = await pool.acquire(LONG_S)
        pool.terminate()
        assert used.is_closed()
        pool.release(used)
        assert pool.usage() == (0, 0)

    run(test)
