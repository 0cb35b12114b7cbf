"""A provider that holds the loop in a check: told to the bench, and interrupted where it would not end."""

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

import trio

from payd.plugins.testing.registry import Failed
from payd.providers.loop_monitor import OWNER, Owner, Steps

__all__ = ["interrupted_when_held", "owned"]

#: No remote side's answer is waited for so long without `await`.
HELD_MAX_S = 10.0
_LOOK_S = 1.0


@contextmanager
def owned(told: Callable[[float], None] | None) -> Iterator[None]:
    """What runs or is started in the block is the provider's: its long steps are told. None: nobody's."""
    token = OWNER.set(Owner("", told) if told else None)
    try:
        yield
    finally:
        OWNER.reset(token)


@asynccontextmanager
async def interrupted_when_held() -> AsyncIterator[None]:
    """Time the steps of this loop; a provider's that does not end is ended by Failed.

    Ended it is from a signal, and so only where nobody else uses that one, in the main thread.
    """
    steps = Steps()

    def look(_number: int, _frame: FrameType | None) -> None:
        if (held_s := steps.running_s()) >= HELD_MAX_S:
            raise Failed(
                f"it held the loop for {held_s:.0f} s, and would not end: what blocks belongs into"
                " trio.to_thread.run_sync"
            )

    trio.lowlevel.add_instrument(steps)
    try:
        # It sees a step from its beginning.
        await trio.lowlevel.checkpoint()
        with _alarmed(look):
            yield
    finally:
        trio.lowlevel.remove_instrument(steps)


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
