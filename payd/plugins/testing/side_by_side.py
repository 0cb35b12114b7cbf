"""Run checks side by side, and again alone where a neighbour may have had a part in the outcome.

Most of a check is waiting: for a watch, a delay, or a real clock. But a provider or a remote side
may share state among all of its instances in a process, and a slow neighbour takes time from a
check. So a check that did not pass beside others is run again alone, and only that run counts.
"""

from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio

from payd.plugins.testing.registry import Check, Level
from payd.plugins.testing.report import Verdict

__all__ = ["AT_ONCE", "Judgement", "side_by_side"]

#: Checks that run at the same time. With more of them computing takes the place of the waiting.
AT_ONCE = 6


@attrs.frozen(kw_only=True)
class Judgement:
    """The verdict of one run of a check.

    Attributes:
        verdict: The verdict.
        is_certain: Whether nothing that ran beside it can have had a part in it.
    """

    verdict: Verdict
    is_certain: bool


Run = Callable[[Check], Awaitable[Judgement]]


async def side_by_side(
    checks: Sequence[Check],
    run: Run,
    *,
    on_verdict: Callable[[Verdict], None],
    failures_max: int | None = None,
) -> Sequence[Verdict]:
    """Run checks, and return their verdicts in their order.

    With `failures_max`, it ends after so many failures. `on_verdict` is called in the order, too.
    """
    queue = _Queue(checks=checks, run=run, on_verdict=on_verdict, failures_max=failures_max)
    if len(checks) > 1:
        await queue.run_beside()
    await queue.run_alone()
    return queue.verdicts


@attrs.define(kw_only=True)
class _Queue:
    """The checks of one run, and what is known of them."""

    checks: Sequence[Check]
    run: Run
    on_verdict: Callable[[Verdict], None]
    failures_max: int | None
    #: The final verdicts so far, without a gap, in the order of the checks.
    verdicts: list[Verdict] = attrs.field(factory=list)
    _certain: dict[str, Verdict] = attrs.field(factory=dict)
    #: Failures beside others, whether they are final or not.
    _failures: int = 0

    async def run_beside(self) -> None:
        """Run those that may have neighbours."""
        slots = trio.Semaphore(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for check in sorted(self.checks, key=self._turn):
                if check.alone:
                    continue
                await slots.acquire()
                if self._is_enough(self._failures):
                    return
                nursery.start_soon(self._run_beside, check, slots)

    def _turn(self, check: Check) -> bool:
        """Those of watches first: they wait longest. In their order, if it may end before all."""
        return self.failures_max is None and check.level is not Level.WATCH

    async def _run_beside(self, check: Check, slots: trio.Semaphore) -> None:
        judgement = await self.run(check)
        slots.release()
        self._failures += judgement.verdict.is_red
        if judgement.is_certain:
            self._certain[check.name] = judgement.verdict
            self._take_certain()

    async def run_alone(self) -> None:
        """Run the others, and again those of which a neighbour may have changed the outcome."""
        while len(self.verdicts) < len(self.checks):
            if self._is_enough(sum(verdict.is_red for verdict in self.verdicts)):
                return
            check = self.checks[len(self.verdicts)]
            self._certain[check.name] = (await self.run(check)).verdict
            self._take_certain()

    def _take_certain(self) -> None:
        """Report what is final, up to the first check that is not."""
        for check in self.checks[len(self.verdicts) :]:
            if (verdict := self._certain.get(check.name)) is None:
                return
            self.verdicts.append(verdict)
            self.on_verdict(verdict)

    def _is_enough(self, failures: int) -> bool:
        return self.failures_max is not None and failures >= self.failures_max
