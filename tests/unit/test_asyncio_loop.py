"""The asyncio loop inside trio keeps asyncio's promises, and no timer that was cancelled."""

import asyncio
import gc
import socket
import threading
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from payd.adapters import bridge

PATIENCE_S = 60.0
FAR_S = 3600.0


@pytest.fixture
async def loop() -> AsyncIterator[list[str]]:
    """An open loop, and the errors that reached its exception handler."""
    errors: list[str] = []
    async with bridge.open_loop(lambda message, error: errors.append(f"{message}: {error}")):
        with trio.fail_after(PATIENCE_S):
            yield errors


def _timers() -> int:
    gc.collect()
    return sum(isinstance(thing, asyncio.TimerHandle) for thing in gc.get_objects())


async def test_cancelled_timers_are_not_kept(loop: list[str]) -> None:
    async def set_and_cancel() -> tuple[int, int]:
        running = asyncio.get_running_loop()
        before = _timers()
        for _ in range(20):
            timers = [running.call_later(FAR_S, print) for _ in range(1000)]
            await asyncio.sleep(0)
            for timer in timers:
                timer.cancel()
            del timers, timer
        return before, _timers()

    before, after = await bridge.aio(set_and_cancel)
    assert after - before < 2000


async def test_timers_run_in_order_among_cancelled_ones(loop: list[str]) -> None:
    async def run() -> list[int]:
        running, ran = asyncio.get_running_loop(), list[int]()
        now = running.time()
        live = [0.03, 0.01, 0.02, 0.0]
        for number, delay in enumerate(live):
            running.call_at(now + delay, ran.append, number)
            for timer in [running.call_later(delay, ran.append, -1) for _ in range(300)]:
                timer.cancel()
        while len(ran) < len(live):  # noqa: ASYNC110 - the timers have no event
            await asyncio.sleep(0.005)
        return ran

    assert await bridge.aio(run) == [3, 1, 2, 0]


async def test_an_earlier_timer_ends_a_longer_sleep(loop: list[str]) -> None:
    """The loop sleeps until its next timer: one that comes before it must not wait for it."""
    ran = trio.Event()

    async def far() -> asyncio.AbstractEventLoop:
        running = asyncio.get_running_loop()
        running.call_later(FAR_S, print)
        return running

    running = await bridge.aio(far)
    await trio.testing.wait_all_tasks_blocked()
    running.call_later(0.001, ran.set)
    await ran.wait()


async def test_handles_run_in_the_order_of_their_calls(loop: list[str]) -> None:
    async def run() -> list[int]:
        running, ran = asyncio.get_running_loop(), list[int]()
        for number in range(1000):
            running.call_soon(ran.append, number)
        running.call_soon(ran.append, -1).cancel()
        while len(ran) < 1000:  # noqa: ASYNC110 - the handles have no event
            await asyncio.sleep(0)
        return ran

    assert await bridge.aio(run) == list(range(1000))


async def test_a_chain_of_handles_does_not_starve_trio(loop: list[str]) -> None:
    ended = trio.Event()

    async def spin() -> None:
        while not ended.is_set():  # noqa: ASYNC110 - spinning is the point
            await asyncio.sleep(0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.aio, spin)
        await trio.sleep(0.01)
        ended.set()


async def test_a_thread_wakes_the_loop(loop: list[str]) -> None:
    async def wait() -> None:
        running, called = asyncio.get_running_loop(), asyncio.Event()
        thread = threading.Thread(target=running.call_soon_threadsafe, args=(called.set,))
        running.call_later(0.01, thread.start)
        await called.wait()
        thread.join()

    await bridge.aio(wait)


async def test_a_reader_is_called_for_all_data_and_not_after_its_removal(loop: list[str]) -> None:
    ours, theirs = socket.socketpair()

    async def read() -> tuple[list[bytes], bool]:
        running, received = asyncio.get_running_loop(), list[bytes]()
        running.add_reader(ours, lambda: received.append(ours.recv(1)))
        theirs.send(b"abc")
        while len(received) < 3:  # noqa: ASYNC110 - a reader has no event
            await asyncio.sleep(0)
        removed = running.remove_reader(ours)
        theirs.send(b"d")
        await asyncio.sleep(0.01)
        return received, removed

    with ours, theirs:
        assert await bridge.aio(read) == ([b"a", b"b", b"c"], True)


async def test_a_reader_that_raises_is_reported(loop: list[str]) -> None:
    ours, theirs = socket.socketpair()

    async def read() -> None:
        asyncio.get_running_loop().add_reader(ours, lambda: 1 // 0)
        theirs.send(b"a")

    async def stop_reading() -> None:
        asyncio.get_running_loop().remove_reader(ours)

    with ours, theirs:
        await bridge.aio(read)
        while not loop:  # noqa: ASYNC110 - the exception handler has no event
            await trio.sleep(0.001)
        await bridge.aio(stop_reading)
    assert "ZeroDivisionError" in loop[0] or "division" in loop[0]


async def test_a_socket_that_is_closed_while_it_has_a_reader_is_reported(loop: list[str]) -> None:
    ours, theirs = socket.socketpair()

    async def read() -> None:
        asyncio.get_running_loop().add_reader(ours, ours.close)
        theirs.send(b"a")

    with ours, theirs:
        await bridge.aio(read)
        while not loop:  # noqa: ASYNC110 - the exception handler has no event
            await trio.sleep(0.001)
    assert "negative" in loop[0]


async def test_a_closed_loop_refuses_callbacks() -> None:
    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async with bridge.open_loop(lambda message, error: None):
        closed = await bridge.aio(running)
    with pytest.raises(RuntimeError, match="closed"):
        closed.call_soon(print)
    with pytest.raises(RuntimeError, match="closed"):
        closed.call_later(1, print)
