"""Run one companion as a task, and turn everything that escapes from it into a report."""

from collections.abc import Callable
from datetime import datetime

import attrs
import trio

from payd.dev.clock import ClockRefused, Follow
from payd.dev.servers import ServerFailed
from payd.plugins import (
    Companion,
    CompanionContext,
    CompanionFailed,
    MoveClock,
    RunningCompanion,
)

#: The first start may download a program.
START_S = 180.0
#: Setting a clock is a request or two.
_MOVE_S = 30.0
#: Errors whose text is written for the person in front of `payd dev`.
_PLAIN = (CompanionFailed, ServerFailed, OSError)


@attrs.frozen
class Failure:
    """Why a companion does not run."""

    reason: str


class CompanionTask:
    """One companion, from its start to the end of `payd dev`."""

    def __init__(
        self,
        provider: str,
        companion: Companion,
        context: CompanionContext,
        report: Callable[[str], None],
        start_s: float = START_S,
    ) -> None:
        self._provider = provider
        self._companion = companion
        self._context = context
        self._report = report
        self._start_s = start_s
        self._is_running = False

    async def run(
        self, stop: trio.Event, *, task_status: trio.TaskStatus[RunningCompanion | Failure]
    ) -> None:
        """Report the running companion, or its failure, as the task's status; run until `stop`.

        The companion has a task of its own, since its nursery cancels the task that entered it
        when one of its servers fails: here that must not cancel `payd dev`.
        """
        try:
            with trio.move_on_after(self._start_s) as start:
                async with self._companion.open(self._context) as running:
                    if not isinstance(running, RunningCompanion):
                        raise TypeError(f"it gives a {type(running).__name__}, no RunningCompanion")
                    start.deadline = float("inf")
                    self._is_running = True
                    task_status.started(running)
                    await stop.wait()
        except Exception as error:  # noqa: BLE001 - anything may escape from a wheel
            self._failed(failure_of(error), task_status)
        else:
            if start.cancelled_caught:
                self._failed(Failure(f"no result within {self._start_s:g} s"), task_status)

    def _failed(
        self, failure: Failure, task_status: trio.TaskStatus[RunningCompanion | Failure]
    ) -> None:
        if not self._is_running:
            task_status.started(failure)
            return
        self._report(
            f"the companion of {self._provider} failed: {failure.reason}."
            " Its payments cannot proceed: start payd dev again"
        )


def follower(provider: str, move: MoveClock) -> Follow:
    """Let a companion's clock follow that of `payd dev`. It raises ClockRefused where it fails."""

    async def follow(time: datetime, runs: bool) -> None:
        try:
            with trio.fail_after(_MOVE_S):
                await move(time, runs)
        except Exception as error:
            reason = failure_of(error).reason
            raise ClockRefused(
                f"the companion of {provider} did not set its clock: {reason}; try again"
            ) from error

    return follow


def failure_of(error: Exception) -> Failure:
    """Describe the first cause of a failure."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ImportError):
        return Failure(f"{error}; install what the extra `dev` of its wheel lists")
    if isinstance(error, _PLAIN):
        return Failure(str(error))
    return Failure(f"{type(error).__name__}: {error}")
