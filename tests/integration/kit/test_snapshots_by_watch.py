"""A watch that polls a list of objects reports snapshots, and the kit counts their money."""

from typing import Any

import attrs
import trio
from integration.kit.broken import manifest_of, open_acme
from integration.kit.polling import Polling

from payd.plugins import Sink
from payd.plugins.testing import CHECKS, Level, Outcome, run_check
from payd.plugins.testing.run import run_checks

#: Its money is final at once, and `fetch` asks by itself.
IMPOSSIBLE = {"money that vanishes is dropped", "fetch knows no more than the watch has read"}
CHECKED = [check for check in CHECKS if check.level is Level.WATCH and check.name not in IMPOSSIBLE]


class HalfPolling(Polling):
    """Reports half of what was paid."""

    async def watch(self, sink: Sink, *, task_status: trio.TaskStatus[None]) -> None:
        await super().watch(HalfSink(sink), task_status=task_status)


class HalfSink:
    def __init__(self, sink: Sink) -> None:
        self.cursor = sink.cursor
        self._sink = sink

    async def put(self, observations: Any, **more: Any) -> None:
        halved = [
            attrs.evolve(one, fact=attrs.evolve(one.fact, confirmed=one.fact.confirmed // 2))
            for one in observations
        ]
        await self._sink.put(halved, **more)


def test_snapshots_pass() -> None:
    verdicts = trio.run(run_checks, CHECKED, manifest_of(Polling), open_acme)
    assert {one.outcome for one in verdicts} == {Outcome.PASSED}, verdicts


def test_half_of_the_money_does_not() -> None:
    [check] = [one for one in CHECKED if one.name == "a watch reports what was paid"]
    verdict = trio.run(run_check, check, manifest_of(HalfPolling), open_acme)
    assert verdict.outcome is Outcome.FAILED, verdict
    assert "were reported" in verdict.message
