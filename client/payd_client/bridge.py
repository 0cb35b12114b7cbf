"""Run the asyncio libraries below the client on the caller's loop, asyncio or trio."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from logging import getLogger
from types import TracebackType
from typing import Any, TypeVar

import grpclib.utils

from payd_client.extras import require

_log = getLogger("payd_client")

T = TypeVar("T")


def check_cancelled() -> None:
    """Raise asyncio.CancelledError when the current task was cancelled; call it in every loop.

    Before Python 3.12, `asyncio.wait_for` swallows a cancellation that arrives together with the
    result, and grpclib and nats-py wait with it.
    """
    if is_cancelled():
        raise asyncio.CancelledError


def is_cancelled() -> bool:
    """Whether the current task was cancelled, even when something swallowed the exception."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Bridge:
    """Context manager that does nothing on asyncio, and runs an asyncio loop inside trio.

    The loop runs in a shielded scope: when trio cancels the caller, the tasks on the loop are
    cancelled by asyncio's rules and can still close their connections. Closing has deadlines.
    """

    def __init__(self) -> None:
        self._exits = contextlib.AsyncExitStack()
        self._loop: Any = None

    async def __aenter__(self) -> "Bridge":
        """Raises MissingExtra on trio without trio-asyncio."""
        if _is_on_trio():
            require("trio_asyncio", "trio", "payd_client on trio")
            import trio

            nursery = await self._exits.enter_async_context(trio.open_nursery())
            is_done = trio.Event()
            self._loop = await nursery.start(_run_loop, is_done)
            self._exits.callback(is_done.set)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Without the error: the nursery would wrap the caller's exception in a group.
        await self._exits.aclose()

    async def call(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Await an asyncio coroutine function from the caller's loop."""
        if self._loop is None:
            return await function(*args)
        import trio_asyncio

        result: T = await trio_asyncio.aio_as_trio(function, loop=self._loop)(*args)
        return result

    async def close(self, function: Callable[[], Awaitable[None]]) -> None:
        """Like `call`, to the end even when the caller is cancelled."""
        if self._loop is None:
            await function()
            return
        import trio

        with trio.CancelScope(shield=True):
            await self.call(function)

    def for_asyncio(self, function: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        """Wrap a coroutine function of the caller, so that asyncio code can await it."""
        if self._loop is None:
            return function
        import trio_asyncio

        wrapped: Callable[..., Awaitable[T]] = trio_asyncio.trio_as_aio(function, loop=self._loop)
        return wrapped


def _is_on_trio() -> bool:
    if "trio" not in sys.modules:
        # Nothing can run on a library that nobody has imported; sniffio need not be installed.
        return False
    require("sniffio", "trio", "payd_client on trio")
    import sniffio

    return sniffio.current_async_library() == "trio"


def see_tasks_on_trio() -> None:
    """Let grpclib see the tasks of loops that run on trio; call it once trio-asyncio is imported.

    grpclib 0.4.9 binds `asyncio.current_task` when it is imported, and trio-asyncio replaces that
    function when it is imported. From Python 3.12 on, the original sees only asyncio's own loops.
    So grpclib needs the replacement, whichever of the two was imported first.
    """
    grpclib.utils._current_task = asyncio.current_task


async def _run_loop(is_done: Any, *, task_status: Any) -> None:
    """Run an asyncio loop until `is_done` is set."""
    import trio
    import trio_asyncio

    see_tasks_on_trio()
    with trio.CancelScope(shield=True):
        async with trio_asyncio.open_loop() as loop:
            loop.set_exception_handler(_log_exception)
            task_status.started(loop)
            await is_done.wait()


def _log_exception(_loop: object, context: dict[str, Any]) -> None:
    """Log what nobody awaits; trio-asyncio's default handler would end the caller's program."""
    _log.warning("%s", context.get("message"), exc_info=context.get("exception"))
