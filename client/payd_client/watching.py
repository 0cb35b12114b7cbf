"""Newer versions of a payment as they come, over restarts of payd and lost connections."""

import asyncio
import math
import random
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any
from uuid import UUID

import attrs

from payd_client.bridge import Bridge, check_cancelled
from payd_client.errors import Unavailable, error_of
from payd_client.messages import payment_of
from payd_client.proto import payment_pb2 as pb
from payd_client.values import Payment

#: A stream is opened anew after this time: a connection that broke silently is noticed then.
STREAM_S = 120.0
_PAUSE_FIRST_S = 0.1
_PAUSE_MAX_S = 5.0

#: A stream that lasted so many seconds was with payd, although it may have brought nothing.
_LASTED_S = 1.0

Opened = Callable[[], None]
#: Opens a stream for the request, calls the first function when payd has it and the second one with
#: each message, until payd ends it. Raises PaydClientError, and TimeoutError after `STREAM_S`.
Follow = Callable[[Any, Opened, Callable[[Any], None]], Coroutine[Any, Any, None]]


@attrs.define(eq=False, kw_only=True)
class Slot:
    """The newest version that was not taken yet, and how the stream ended."""

    version: int
    payment: Payment | None = None
    #: None while it goes on; StopAsyncIteration after a final status.
    end: Exception | None = None
    news: asyncio.Event = attrs.field(factory=asyncio.Event)

    def put(self, message: Any) -> None:
        """Replace a version that was not taken."""
        self.payment = payment_of(message.payment)
        self.version = self.payment.version
        self.news.set()

    def finish(self, end: Exception) -> None:
        """End the iteration when the last version was taken."""
        self.end = end
        self.news.set()

    async def take(self) -> Payment | None:
        """Return the newest version; None after a final status. Raises PaydClientError."""
        await self.news.wait()
        payment, self.payment = self.payment, None
        if payment is None:
            if self.end is not None and not isinstance(self.end, StopAsyncIteration):
                raise self.end
            return None
        if self.end is None:
            self.news.clear()
        return payment


class Watched(AsyncIterator[Payment]):
    """An iteration over the versions of a payment; `async with` ends it at once.

    A task of the client reads the stream. It ends with the stream, with `aclose`, when this object
    is no longer used, and with the client.
    """

    def __init__(
        self,
        bridge: Bridge,
        follow: Follow,
        payment_id: UUID | str,
        after_version: int,
        linger: timedelta,
        patience_s: float,
    ) -> None:
        """`PaymentClient.watch` explains the parameters."""
        self._bridge = bridge
        self._slot = Slot(version=after_version)
        self._read_on = partial(read_on, follow, self._slot, str(payment_id), linger, patience_s)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Watched":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> "Watched":
        return self

    async def __anext__(self) -> Payment:
        """Wait for a newer version. Raises PaydClientError, also NotFound and Unavailable."""
        payment = await self._bridge.call(self._take)
        if payment is None:
            raise StopAsyncIteration
        return payment

    async def aclose(self) -> None:
        """Leave the stream."""
        await self._bridge.close(self.leave)

    async def _take(self) -> Payment | None:
        if self._task is None:
            self._task = asyncio.create_task(self._read_on())
            # Without a reference to this object: it may be dropped before the stream ends.
            weakref.finalize(self, _cancel, asyncio.get_running_loop(), self._task)
        return await self._slot.take()

    async def leave(self) -> None:
        """End the iteration, on asyncio."""
        if self._slot.end is None:
            self._slot.finish(error_of("CANCELLED", "the watch was closed"))
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task


async def read_on(
    follow: Follow, slot: Slot, payment_id: str, linger: timedelta, patience_s: float
) -> None:
    """Fill the slot until payd ends the stream; open it again from the last version on.

    Gives up when payd was not reached for `patience_s` seconds.
    """
    now = asyncio.get_running_loop().time
    pause_s, reached = _PAUSE_FIRST_S, now()

    def put(message: Any) -> None:
        nonlocal pause_s, reached
        pause_s, reached = _PAUSE_FIRST_S, now()
        slot.put(message)

    open_since = math.inf

    def opened() -> None:
        nonlocal open_since
        open_since = now()

    while True:
        check_cancelled()
        open_since = math.inf
        request = pb.WatchPaymentRequest(payment_id=payment_id, after_version=slot.version)
        request.linger.FromTimedelta(linger)
        try:
            # In a task of its own: grpclib cancels the task of a stream that was cut, which would
            # look as if this one were no longer wanted.
            await asyncio.create_task(follow(request, opened, put))
        except TimeoutError:
            # The stream was open all the time.
            reached = now()
        except Unavailable as error:
            if now() - open_since > _LASTED_S:
                reached = now()
            if now() - reached > patience_s:
                slot.finish(error)
                return
            jitter = random.uniform(0.5, 1)  # noqa: S311 - no secret
            await asyncio.sleep(max(pause_s * jitter, error.retry_after_s or 0.0))
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)
        except Exception as error:  # noqa: BLE001 - the iterating caller gets it
            slot.finish(error)
            return
        else:
            slot.finish(StopAsyncIteration())
            return


def _cancel(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
    """Cancel a task from any thread, unless its loop has ended."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(task.cancel)
