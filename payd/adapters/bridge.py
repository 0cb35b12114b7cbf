"""The bridge between trio and asyncio.

asyncio libraries (gRPC, PostgreSQL, NATS, Redis) run on one asyncio loop inside trio. A port is
wrapped once for the loop of its callers; a call through the bridge costs about 75 µs.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar, cast

import trio_asyncio

from payd.adapters.asyncio_loop import speed_up
from payd.telemetry import get_logger

_log = get_logger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

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
        if not speed_up(loop):
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
