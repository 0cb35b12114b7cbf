"""Loop monitor: times the steps of providers' tasks and reports those that block the event loop.

While one task computes, or waits without `await`, nothing else in the daemon runs. Such a step
cannot be interrupted from outside, but its provider can be named.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from time import perf_counter

import attrs
import trio

__all__ = [
    "BLOCKED_S",
    "OWNER",
    "Owner",
    "Steps",
    "report_if_blocking",
    "resisting",
    "watched_nursery",
]

#: A step this long delays every payment; a good one takes microseconds.
BLOCKED_S = 0.5


@attrs.frozen(eq=False)
class Owner:
    """The provider that a task belongs to."""

    name: str
    #: Called with the seconds of each long step.
    report: Callable[[float], None]


#: The owner of a task. Set in a provider's tasks, and inherited by the tasks that they start.
OWNER: ContextVar[Owner | None] = ContextVar("OWNER", default=None)


def resisting(task: trio.lowlevel.Task, *, cancelled: bool = False) -> Iterator[str]:
    """Yield the owners of tasks below this one that were cancelled and have not ended."""
    for nursery in task.child_nurseries:
        is_cancelled = cancelled or nursery.cancel_scope.cancel_called
        for child in nursery.child_tasks:
            if is_cancelled and (owner := child.context.get(OWNER)) is not None:
                yield owner.name
            yield from resisting(child, cancelled=is_cancelled)


@asynccontextmanager
async def watched_nursery() -> AsyncIterator[trio.Nursery]:
    """Open a nursery; until its end every step of every task of this loop is timed."""
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    finally:
        trio.lowlevel.remove_instrument(steps)


@contextmanager
def report_if_blocking(owner: Owner) -> Iterator[None]:
    """Time a synchronous call of a provider, which is part of another task's step."""
    began = perf_counter()
    try:
        yield
    finally:
        if (took := perf_counter() - began) >= BLOCKED_S:
            owner.report(took)


class Steps(trio.abc.Instrument):
    """Trio instrument that reads the clock twice a step, in a fraction of a microsecond."""

    def __init__(self) -> None:
        self._began = perf_counter()
        self._task: trio.lowlevel.Task | None = None

    def running_s(self) -> float:
        """Return how long the current step has lasted; 0 for one without an owner."""
        if self._task is None or self._task.context.get(OWNER) is None:
            return 0.0
        return perf_counter() - self._began

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note when the step begins."""
        self._began = perf_counter()
        self._task = task

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Report the step to its owner if it was long."""
        self._task = None
        took = perf_counter() - self._began
        if took >= BLOCKED_S and (owner := task.context.get(OWNER)) is not None:
            owner.report(took)
