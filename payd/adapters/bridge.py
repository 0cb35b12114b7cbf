"""The bridge between trio and asyncio, and the settings of the asyncio loop.

asyncio libraries (gRPC, PostgreSQL, NATS, Redis) run on one asyncio loop inside trio. A port is
wrapped once for the loop of its callers; a call through the bridge costs about 75 µs.
"""

import asyncio
import heapq
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

import sniffio
import trio
import trio_asyncio
from trio_asyncio._async import TrioEventLoop
from trio_asyncio._handles import AsyncHandle

from payd.telemetry import get_logger

_log = get_logger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

#: The release of trio-asyncio whose main loop was read; with another one the stock loop runs.
_BATCHING_FITS = "0.16.0"
#: Most handles in one trio pass: enough to save passes, too few to starve trio.
_BATCH_MAX = 128

OnException = Callable[[str, BaseException | None], None]


@asynccontextmanager
async def open_loop(on_exception: OnException) -> AsyncIterator[None]:
    """Run an asyncio loop in this trio task; open it first, close it last.

    Exceptions that no task catches go to `on_exception`. By default trio-asyncio would end the
    daemon, for example because of one client's broken frame.
    """

    def handle(_loop: object, context: dict[str, Any]) -> None:
        on_exception(str(context.get("message")), context.get("exception"))

    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(handle)
        if trio_asyncio.__version__ == _BATCHING_FITS:
            loop._main_loop_one = partial(_batched_pass, loop)
            loop.call_soon = partial(_call_soon, loop)
        else:
            _log.warning("asyncio_loop_unbatched", trio_asyncio=trio_asyncio.__version__)
        yield


async def aio(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call an asyncio coroutine function from trio."""
    return cast(T, await trio_asyncio.aio_as_trio(function)(*args, **kwargs))


def for_trio(port: T) -> T:
    """Wrap a port whose coroutine methods run on asyncio, for callers on trio."""
    return cast(T, _Bridge(port, trio_asyncio.aio_as_trio))


def for_asyncio(port: T) -> T:
    """Wrap a port whose coroutine methods run on trio, for callers on asyncio."""
    return cast(T, _Bridge(port, trio_asyncio.trio_as_aio))


class _Bridge:
    """Wraps each coroutine method on first use; other attributes pass through."""

    def __init__(self, port: object, wrap: Callable[[Any], Any]) -> None:
        self._port = port
        self._wrap = wrap

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not inspect.iscoroutinefunction(value):
            return value
        bridged = self._wrap(value)
        setattr(self, name, bridged)
        return bridged


async def _batched_pass(loop: TrioEventLoop, no_wait: bool = False) -> None:
    """Run all handles that are ready in one pass of the main loop, not just one.

    The stock loop runs one asyncio handle per pass of trio's scheduler, which makes a database call
    take twice as long as on asyncio.
    """
    await TrioEventLoop._main_loop_one(loop, no_wait)
    for _ in range(_BATCH_MAX):
        if loop._timers and loop._timers[0]._when <= loop.time():
            handle = heapq.heappop(loop._timers)
        else:
            try:
                handle = loop._q_recv.receive_nowait()
            except trio.WouldBlock:
                return
            if isinstance(handle, asyncio.TimerHandle):
                heapq.heappush(loop._timers, handle)
                continue
        await _run(loop, handle)


def _call_soon(
    loop: TrioEventLoop, callback: Callable[..., object], *args: Any, context: Any = None
) -> asyncio.Handle:
    """`call_soon` without the check for coroutine functions, which asyncio makes only in debug."""
    handle = asyncio.Handle(callback, args, loop, context=context)
    loop._queue_handle(handle)
    return handle


async def _run(loop: TrioEventLoop, handle: Any) -> None:
    if isinstance(handle, AsyncHandle):
        handle._context.run(loop._nursery.start_soon, handle._run, name=handle._callback)
        await handle._started.wait()
    elif not handle._cancelled:
        name = sniffio.thread_local.name
        sniffio.thread_local.name = "asyncio"
        try:
            handle._run()
        finally:
            sniffio.thread_local.name = name
