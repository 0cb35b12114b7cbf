"""The bridge between trio and asyncio: cancellation, errors and values go across unchanged."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import trio

from payd.adapters import bridge
from payd.domain.errors import StoreUnavailable

PATIENCE_S = 60.0


class OnAsyncio:
    """A port that lives on asyncio."""

    name = "asyncio's"

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.seen: list[str] = []

    async def answer(self, value: int, *, more: int = 0) -> int:
        await asyncio.sleep(0)
        return value + more

    async def fail(self, error: BaseException) -> None:
        await asyncio.sleep(0)
        raise error

    async def wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.seen.append("asyncio.CancelledError")
            raise

    def now(self) -> str:
        return "now"


class OnTrio:
    """A port that lives on trio."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.ended = trio.Event()
        self.seen: list[str] = []

    async def answer(self, value: int, *, more: int = 0) -> int:
        await trio.lowlevel.checkpoint()
        return value + more

    async def fail(self, error: BaseException) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    async def wait(self) -> None:
        self.begun.set()
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            self.seen.append("trio.Cancelled")
            raise
        finally:
            self.ended.set()

    async def too_slow(self) -> None:
        with trio.fail_after(0):
            await trio.sleep_forever()


@pytest.fixture
async def loop() -> AsyncIterator[list[str]]:
    """An open loop, and what nobody caught on it."""
    uncaught: list[str] = []
    async with bridge.open_loop(lambda message, error: uncaught.append(f"{message}: {error}")):
        yield uncaught


ERRORS = [StoreUnavailable("away"), ValueError("wrong"), TimeoutError("late"), OSError("reset")]


# -- from trio to asyncio ----------------------------------------------------------------------


async def test_a_value_comes_back_to_trio(loop: list[str]) -> None:
    port = bridge.for_trio(OnAsyncio())
    assert await port.answer(1, more=2) == 3
    assert await bridge.aio(OnAsyncio().answer, 1, more=2) == 3


async def test_what_is_no_coroutine_passes_through(loop: list[str]) -> None:
    port = bridge.for_trio(OnAsyncio())
    assert (port.name, port.now()) == ("asyncio's", "now")
    with pytest.raises(AttributeError, match="nothing"):
        port.nothing  # type: ignore[attr-defined]  # noqa: B018 - that it raises is the point


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_an_error_reaches_trio_as_the_very_same(loop: list[str], error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        await bridge.for_trio(OnAsyncio()).fail(error)
    assert raised.value is error


async def test_cancelling_trio_cancels_the_asyncio_call(loop: list[str]) -> None:
    port = OnAsyncio()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.for_trio(port).wait)
            await port.begun.wait()
            nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught
    assert port.seen == ["asyncio.CancelledError"]


async def test_a_trio_deadline_ends_an_asyncio_call(loop: list[str]) -> None:
    with pytest.raises(trio.TooSlowError), trio.fail_after(0.05):
        await bridge.for_trio(OnAsyncio()).wait()


# -- from asyncio to trio ----------------------------------------------------------------------


async def test_a_value_comes_back_to_asyncio(loop: list[str]) -> None:
    port = bridge.for_asyncio(OnTrio())
    assert await bridge.aio(port.answer, 1, more=2) == 3


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_an_error_reaches_asyncio_as_the_very_same(loop: list[str], error: Exception) -> None:
    port = bridge.for_asyncio(OnTrio())

    async def caught_on_asyncio() -> BaseException:
        with pytest.raises(type(error)) as raised:
            await port.fail(error)
        return raised.value

    assert await bridge.aio(caught_on_asyncio) is error


async def test_trios_own_deadline_is_an_error_on_asyncio_and_no_cancellation(
    loop: list[str],
) -> None:
    port = bridge.for_asyncio(OnTrio())

    async def caught_on_asyncio() -> str:
        with pytest.raises(trio.TooSlowError):
            await port.too_slow()
        return "went on"

    assert await bridge.aio(caught_on_asyncio) == "went on"


async def test_cancelling_an_asyncio_task_cancels_the_trio_call(loop: list[str]) -> None:
    port = OnTrio()

    async def cancel_it() -> bool:
        task = asyncio.ensure_future(bridge.for_asyncio(port).wait())
        while not port.begun.is_set():  # noqa: ASYNC110 - a trio event cannot be awaited here
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    with trio.fail_after(PATIENCE_S):
        assert await bridge.aio(cancel_it)
        await port.ended.wait()
    assert port.seen == ["trio.Cancelled"]


async def test_an_asyncio_timeout_ends_a_trio_call(loop: list[str]) -> None:
    port = OnTrio()

    async def in_time() -> None:
        async with asyncio.timeout(0.05):
            await bridge.for_asyncio(port).wait()

    with trio.fail_after(PATIENCE_S), pytest.raises(TimeoutError):
        await bridge.aio(in_time)
    assert port.seen == ["trio.Cancelled"]


async def test_a_cancellation_crosses_both_bridges(loop: list[str]) -> None:
    port = OnTrio()
    there_and_back = bridge.for_asyncio(port)

    async def through_asyncio() -> None:
        await there_and_back.wait()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.aio, through_asyncio)
            await port.begun.wait()
            nursery.cancel_scope.cancel()
    assert port.seen == ["trio.Cancelled"]


# -- what nobody awaits ------------------------------------------------------------------------


async def test_a_callback_that_fails_is_reported_and_ends_nothing(loop: list[str]) -> None:
    async def schedule() -> None:
        def fail() -> None:
            raise ValueError("a broken frame")

        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)

    await bridge.aio(schedule)
    with trio.fail_after(PATIENCE_S):
        while not loop:  # noqa: ASYNC110 - the callback runs when the loop gets to it
            await trio.sleep(0.005)
    assert "a broken frame" in loop[0]
    assert await bridge.aio(OnAsyncio().answer, 1) == 1


def test_grpclib_sees_tasks_on_trio_even_if_it_was_imported_first() -> None:
    """From Python 3.12 on it did not: `payd doctor` with Vault ended with a RuntimeError."""
    code = """
import grpclib.utils
import asyncio, trio
from payd.adapters import bridge
from payd_client.bridge import see_tasks_on_trio

async def wait():
    see_tasks_on_trio()
    with grpclib.utils.Wrapper():
        await asyncio.sleep(0)

async def main():
    async with bridge.open_loop(lambda message, error: None):
        await bridge.aio(wait)

trio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
