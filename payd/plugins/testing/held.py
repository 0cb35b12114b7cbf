"""Detect a provider that blocks the event loop during a check, and interrupt it."""

import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType

import trio

from payd.plugins.testing.registry import Failed
from payd.providers.loop_monitor import OWNER, Owner, Steps

__all__ = ["HeldTheLoop", "interrupted_when_held", "owned"]

#: Seconds of one step after which it is interrupted: it waits for something without `await`, or it
#: has computed for so long.
HELD_MAX_S = 10.0
#: A step that computes less than this part of its time waits, unless it queues for a processor.
_WAITS = 0.02
#: However busy the machine is, a step does not take so many times HELD_MAX_S.
_PATIENCE = 6
_LOOK_S = 1.0


class HeldTheLoop(Failed):
    """A step of the provider did not end. Nothing beside it can be the cause."""


@contextmanager
def owned(on_long_step: Callable[[float], None] | None) -> Iterator[None]:
    """Report long steps of tasks that run or start in the block; with None, report nothing."""
    token = OWNER.set(Owner("", on_long_step) if on_long_step else None)
    try:
        yield
    finally:
        OWNER.reset(token)


@asynccontextmanager
async def interrupted_when_held() -> AsyncIterator[None]:
    """Time the steps of this loop, and raise Failed inside a step that does not end.

    A SIGALRM handler raises it. So this works only in the main thread, and only if no other code
    uses that signal.
    """
    steps = Steps()
    #: Time of the last look into the step, and the thread's own times at its first look.
    seen_s = computed_s = queued_s = 0.0

    def look(_number: int, _frame: FrameType | None) -> None:
        nonlocal seen_s, computed_s, queued_s
        held_s = steps.running_s()
        if held_s <= seen_s or not seen_s:
            computed_s, queued_s = time.thread_time(), time_in_queue_s()
        seen_s = held_s
        if is_stuck(held_s, time.thread_time() - computed_s, time_in_queue_s() - queued_s):
            raise HeldTheLoop(
                f"it blocked the event loop for {held_s:.0f} s and did not end: run blocking code"
                " with trio.to_thread.run_sync"
            )

    trio.lowlevel.add_instrument(steps)
    try:
        # The instrument sees a step only from its beginning.
        await trio.lowlevel.checkpoint()
        with _alarmed(look):
            yield
    finally:
        trio.lowlevel.remove_instrument(steps)


def is_stuck(held_s: float, computed_s: float, queued_s: float) -> bool:
    """Whether a step has waited or computed for too long; one that gets no processor has not."""
    waits = held_s - queued_s >= HELD_MAX_S and computed_s < held_s * _WAITS
    return waits or computed_s >= HELD_MAX_S or held_s >= _PATIENCE * HELD_MAX_S


def time_in_queue_s() -> float:
    """Seconds in which this thread was ready and got no processor; 0 where no kernel says it."""
    try:
        # Documentation/scheduler/sched-stats.rst of Linux: computed, queued, time slices.
        _, queued_ns, _ = Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return 0.0
    return int(queued_ns) / 1e9


@contextmanager
def _alarmed(look: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        yield
        return
    try:
        signal.signal(signal.SIGALRM, look)
    except ValueError:
        # Not the main thread.
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, _LOOK_S, _LOOK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
