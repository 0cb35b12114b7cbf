"""A check waits for the money that it expects, however slowly the watch reports it."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from payd.plugins.testing.bench import Bench
from payd.plugins.testing.given import BenchSink

#: Seconds between two reports of a watch on a busy machine.
_SLOW_S = 1.0


class _Remote:
    needs_watch = True

    #: The cursor of a watch that has read everything; empty: it says nothing.
    last = ""

    async def rest(self) -> None:
        await trio.lowlevel.checkpoint()

    async def has_read(self, cursor: str | None) -> bool | None:
        await trio.lowlevel.checkpoint()
        return cursor == self.last if self.last else None


@pytest.fixture
def bench() -> Any:
    """As much of a bench as waits for its watch."""
    return SimpleNamespace(remote=_Remote(), sinks=[BenchSink()])


async def _report(sink: BenchSink, cursors: int) -> None:
    for cursor in range(cursors):
        await trio.sleep(_SLOW_S)
        await sink.put([], cursor=str(cursor))


async def test_the_second_report_of_a_slow_watch_is_awaited(
    bench: Any, autojump_clock: trio.testing.MockClock
) -> None:
    (sink,) = bench.sinks
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_report, sink, 2)
        await Bench.settled(bench, lambda sink: sink.at == "1")
    assert sink.at == "1"


async def test_a_slow_watch_whose_cursor_says_how_far_it_is_is_awaited(
    bench: Any, autojump_clock: trio.testing.MockClock
) -> None:
    (sink,) = bench.sinks
    bench.remote.last = "2"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_report, sink, 3)
        await Bench.settled(bench)
    assert sink.at == "2"


async def test_a_watch_that_never_reports_it_is_not_awaited_for_long(
    bench: Any, autojump_clock: trio.testing.MockClock
) -> None:
    await Bench.settled(bench, lambda sink: False)
    assert trio.current_time() < 20
