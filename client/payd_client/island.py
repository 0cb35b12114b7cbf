"""An asyncio loop for the libraries that need one, whatever loop the caller runs on."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from logging import getLogger
from types import TracebackType
from typing import Any, TypeVar

import grpclib.utils
import sniffio

_log = getLogger("payd_client")

T = TypeVar("T")


def go_on() -> None:
    """For every round of a loop. Raises asyncio.CancelledError when this task was to end.

    Before Python 3.12 `wait_for` swallows a cancellation that comes together with what it waits for,
    and the libraries here wait with it.
    """
    if is_ending():
        raise asyncio.CancelledError


def is_ending() -> bool:
    """Whether the current task was cancelled, whoever may have swallowed it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Island:
    """An async context manager. On asyncio it does nothing; on trio it is an asyncio loop.

    The loop is shielded: when the caller is cancelled, what runs on it is cancelled in asyncio's
    way, and can still say goodbye. Its goodbyes have deadlines of their own.
    """

    def __init__(self) -> None:
        self._exits = contextlib.AsyncExitStack()
        self._loop: Any = None

    async def __aenter__(self) -> "Island":
        if sniffio.current_async_library() == "trio":
            import trio

            nursery = await self._exits.enter_async_context(trio.open_nursery())
            left = trio.Event()
            self._loop = await nursery.start(_run_loop, left)
            self._exits.callback(left.set)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Not told of the error: a nursery would wrap it, and it is the caller's own.
        await self._exits.aclose()

    async def call(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Await an asyncio coroutine function from the caller's side."""
        if self._loop is None:
            return await function(*args)
        import trio_asyncio

        answer: T = await trio_asyncio.aio_as_trio(function, loop=self._loop)(*args)
        return answer

    async def close(self, function: Callable[[], Awaitable[None]]) -> None:
        """The same for a goodbye, which a cancelled caller waits for, too."""
        if self._loop is None:
            await function()
            return
        import trio

        with trio.CancelScope(shield=True):
            await self.call(function)

    def native(self, function: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        """A coroutine function of the caller's, for asyncio code to await."""
        if self._loop is None:
            return function
        import trio_asyncio

        wrapped: Callable[..., Awaitable[T]] = trio_asyncio.trio_as_aio(function, loop=self._loop)
        return wrapped


async def _run_loop(left: Any, *, task_status: Any) -> None:
    """Run the loop until `left` is set.

    grpclib binds `asyncio.current_task` when it is imported, and trio-asyncio replaces that function
    when it is imported. From Python 3.12 on the original sees only asyncio's own loop, so grpclib
    needs the replacement, whichever of the two the program imported first.
    """
    import trio
    import trio_asyncio

    grpclib.utils._current_task = asyncio.current_task
    with trio.CancelScope(shield=True):
        async with trio_asyncio.open_loop() as loop:
            loop.set_exception_handler(_tell)
            task_status.started(loop)
            await left.wait()


def _tell(_loop: object, context: dict[str, Any]) -> None:
    """What nobody on that loop awaits: the default would end the caller's program for it."""
    _log.warning("%s", context.get("message"), exc_info=context.get("exception"))
