"""Who holds the loop: the steps of a provider's tasks are timed, and a long one is told by name.

While one task computes, or waits without `await`, everybody else stands still. It cannot be stopped from
outside, but it can be named.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from time import perf_counter

import attrs
import trio

__all__ = ["HELD_S", "OWNER", "Owner", "Steps", "resisting", "told_when_held", "watched_nursery"]

#: A step this long is felt by everybody: an honest one takes microseconds.
HELD_S = 0.5


@attrs.frozen(eq=False)
class Owner:
    """A provider, as far as its tasks are concerned."""

    name: str
    #: Hears of a long step, in seconds.
    told: Callable[[float], None]


#: Whose a task is; set in a provider's tasks, and so in those that they start.
OWNER: ContextVar[Owner | None] = ContextVar("OWNER", default=None)


def resisting(task: trio.lowlevel.Task, *, cancelled: bool = False) -> Iterator[str]:
    """The owners of those below this task that were cancelled, and have not ended."""
    for nursery in task.child_nurseries:
        told = cancelled or nursery.cancel_scope.cancel_called
        for child in nursery.child_tasks:
            if told and (owner := child.context.get(OWNER)) is not None:
                yield owner.name
            yield from resisting(child, cancelled=told)


@asynccontextmanager
async def watched_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery; until its end every step of every task of this loop is timed."""
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    finally:
        trio.lowlevel.remove_instrument(steps)


@contextmanager
def told_when_held(told: Callable[[float], None]) -> Iterator[None]:
    """Time a synchronous call, which is part of somebody else's step."""
    began = perf_counter()
    try:
        yield
    finally:
        if (took := perf_counter() - began) >= HELD_S:
            told(took)


class Steps(trio.abc.Instrument):
    """Two looks at the clock a step: a fraction of a microsecond."""

    def __init__(self) -> None:
        self._began = perf_counter()
        self._task: trio.lowlevel.Task | None = None

    def held_s(self) -> float:
        """How long the step that is under way has lasted; 0 for one that has no owner."""
        if self._task is None or self._task.context.get(OWNER) is None:
            return 0.0
        return perf_counter() - self._began

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See trio."""
        self._began = perf_counter()
        self._task = task

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See trio."""
        self._task = None
        took = perf_counter() - self._began
        if took >= HELD_S and (owner := task.context.get(OWNER)) is not None:
            owner.told(took)
