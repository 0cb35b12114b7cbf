"""The ready queue, the timers and the readers of trio-asyncio's loop, made faster.

The stock loop runs one asyncio handle per pass of trio's scheduler, sends each through a memory
channel, and keeps a cancelled timer until its time comes. That makes a database call take twice as
long as on asyncio, and a busy daemon keep some hundred thousand timers.
"""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

import attrs
import sniffio
import trio
import trio_asyncio
from trio_asyncio._async import TrioEventLoop
from trio_asyncio._handles import AsyncHandle, ScopedHandle

__all__ = ["speed_up"]

#: The release of trio-asyncio whose main loop was read; with another one the stock loop runs.
_FITS = "0.16.0"
#: Most handles in one trio pass: enough to save passes, too few to starve trio.
_BATCH_MAX = 128
#: Fewer cancelled timers than this stay in the heap, as in asyncio's own loop.
_CANCELLED_MIN = 100


def speed_up(loop: TrioEventLoop) -> bool:
    """Replace the parts of a loop that has just been opened; return whether its release fits."""
    if trio_asyncio.__version__ != _FITS:
        return False
    channel = loop._q_send
    handles = _Handles(loop=loop)
    parts = {
        "_main_loop_one": handles.run_pass,
        "_q_send": handles,
        "_queue_handle": handles.queue,
        "_timer_handle_cancelled": handles.note_cancelled,
        "_io_task": handles.call_when_ready,
        "call_soon": handles.call_soon,
        "call_later": handles.call_later,
        "call_at": handles.call_at,
    }
    for name, part in parts.items():
        setattr(loop, name, part)
    # The loop waits at its memory channel: with this handle its first pass ends.
    channel.send_nowait(asyncio.Handle(_do_nothing, (), loop))
    return True


def _do_nothing() -> None:
    """The callback of a handle that only wakes the loop."""


@attrs.define(eq=False)
class _Handles:
    """The handles of one loop: those that are ready, in order, and its timers, in a heap."""

    loop: TrioEventLoop
    _ready: deque[asyncio.Handle] = attrs.field(factory=deque, init=False)
    #: Whether handles run: those that are added meanwhile need nobody to be woken.
    _is_running: bool = attrs.field(default=False, init=False)
    #: The loop's task while it sleeps.
    _sleeper: trio.lowlevel.Task | None = attrs.field(default=None, init=False)
    #: Timers cancelled since the heap was built; some of them may have left it already.
    _cancelled: int = attrs.field(default=0, init=False)

    # -- what the loop offers to asyncio; without asyncio's checks of callbacks, which only its
    # debug mode makes --------------------------------------------------------------------------

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        self.loop._check_closed()
        handle = asyncio.Handle(callback, args, self.loop, context)
        self._ready.append(handle)
        if self._sleeper is not None and not self._is_running:
            self._wake()
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.loop.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self.loop, context)
        self.queue(timer)
        return timer

    def queue(self, handle: asyncio.Handle) -> asyncio.Handle:
        self.loop._check_closed()
        self.send_nowait(handle)
        return handle

    def send_nowait(self, handle: asyncio.Handle) -> None:
        """Add a handle; the name is that of the memory channel's method."""
        if isinstance(handle, asyncio.TimerHandle):
            heapq.heappush(self.loop._timers, handle)
            is_next = self.loop._timers[0] is handle
        else:
            self._ready.append(handle)
            is_next = not self._is_running
        if is_next and self._sleeper is not None:
            self._wake()

    def note_cancelled(self, _timer: asyncio.TimerHandle) -> None:
        """Build the heap without cancelled timers once they may be more than half of it."""
        self._cancelled += 1
        timers = self.loop._timers
        if self._cancelled > _CANCELLED_MIN and self._cancelled * 2 > len(timers):
            # asyncio calls this just before it marks the timer: that one stays until next time.
            timers[:] = [timer for timer in timers if not timer._cancelled]
            heapq.heapify(timers)
            self._cancelled = 0

    # -- the main loop ------------------------------------------------------------------------

    async def run_pass(self, no_wait: bool = False) -> None:
        """Run all handles that are ready, not just one; wait for one unless `no_wait`."""
        self._add_due()
        if no_wait:
            if not self._ready:
                raise trio.WouldBlock
        elif self._ready:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await self._sleep()
            self._add_due()
        self._run_ready()

    def _run_ready(self) -> None:
        name, sniffio.thread_local.name = sniffio.thread_local.name, "asyncio"
        ready, loop = self._ready, self.loop
        self._is_running = True
        try:
            for _ in range(_BATCH_MAX):
                if not ready:
                    return
                handle = ready.popleft()
                if isinstance(handle, AsyncHandle):
                    context, name_of_task = handle._context, handle._callback
                    context.run(loop._nursery.start_soon, handle._run, name=name_of_task)
                elif not handle._cancelled:
                    handle._run()
        finally:
            self._is_running = False
            sniffio.thread_local.name = name

    def _add_due(self) -> None:
        timers = self.loop._timers
        if timers and timers[0]._when <= (now := self.loop.time()):
            while timers and timers[0]._when <= now:
                self._ready.append(heapq.heappop(timers))

    async def _sleep(self) -> None:
        """Wait for a handle or the next timer."""
        timers = self.loop._timers
        self._sleeper = trio.lowlevel.current_task()
        with trio.CancelScope(deadline=timers[0]._when if timers else math.inf):
            await trio.lowlevel.wait_task_rescheduled(self._stop_sleeping)

    def _wake(self) -> None:
        if self._sleeper is not None:
            trio.lowlevel.reschedule(self._sleeper)
            self._sleeper = None

    def _stop_sleeping(self, _raise: object) -> trio.lowlevel.Abort:
        self._sleeper = None
        return trio.lowlevel.Abort.SUCCEEDED

    async def call_when_ready(
        self, fd: int, handle: ScopedHandle, wait_ready: Callable[[int], Awaitable[None]]
    ) -> None:
        """Call a reader or a writer whenever its socket is ready, until the handle is cancelled.

        The stock task only queues what follows from the call, wakes the loop for it, and waits
        until the loop has run it. Here it runs at once, and the loop may go on sleeping.
        """
        with handle._scope:
            try:
                while not handle._cancelled:
                    try:
                        await wait_ready(fd)
                    except OSError:
                        # The socket was closed in the same turn as the handle was cancelled.
                        if not handle._cancelled:
                            raise
                    if not handle._cancelled:
                        self._ready.append(handle)
                        self._run_now()
            except (OSError, ValueError, trio.BusyResourceError, trio.ClosedResourceError) as error:
                # ValueError: a socket that was closed has the number -1.
                handle._raise(error)

    def _run_now(self) -> None:
        """Run what is ready in the task of a socket; the end of the loop is the loop's own."""
        if self.loop._stop_wait is None:
            self._run_ready()
        if self._ready:
            self._wake()
