"""The monitor names the code that blocks the loop: a step, one of its tasks, or a pure method."""

import time
from functools import partial

import pytest
import trio
import trio.lowlevel
import trio.testing

from payd.providers import loop_monitor

HELD_S = 0.02


@pytest.fixture(autouse=True)
def _quickly_felt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_monitor, "BLOCKED_S", HELD_S)


async def hold() -> None:
    time.sleep(2 * HELD_S)  # noqa: ASYNC251 - that is the point


async def test_a_long_step_is_reported_to_its_owner() -> None:
    reported: list[float] = []

    async def owned() -> None:
        loop_monitor.OWNER.set(loop_monitor.Owner("toy", reported.append))
        await hold()
        await trio.lowlevel.checkpoint()

    async with loop_monitor.watched_nursery() as nursery:
        nursery.start_soon(owned)
    [seconds] = reported
    assert seconds >= 2 * HELD_S


async def test_a_task_that_it_started_is_its_own() -> None:
    reported: list[float] = []

    async def owned() -> None:
        loop_monitor.OWNER.set(loop_monitor.Owner("toy", reported.append))
        async with trio.open_nursery() as inner:
            inner.start_soon(hold)

    async with loop_monitor.watched_nursery() as nursery:
        nursery.start_soon(owned)
    assert len(reported) == 1


async def test_short_steps_and_those_of_others_are_not_reported() -> None:
    reported: list[float] = []

    async def owned() -> None:
        loop_monitor.OWNER.set(loop_monitor.Owner("toy", reported.append))
        for _ in range(10):
            await trio.lowlevel.checkpoint()

    async with loop_monitor.watched_nursery() as nursery:
        nursery.start_soon(owned)
        nursery.start_soon(hold)
    assert reported == []


async def test_a_task_that_resists_its_cancellation_is_named() -> None:
    ended = trio.Event()

    async def owned(name: str, *, resists: bool) -> None:
        loop_monitor.OWNER.set(loop_monitor.Owner(name, lambda seconds: None))
        async with trio.open_nursery() as inner:
            inner.start_soon(linger, resists)

    async def linger(resists: bool) -> None:
        with trio.CancelScope(shield=resists):
            await ended.wait()

    me = trio.lowlevel.current_task()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(owned, "toy", resists=True))
        nursery.start_soon(partial(owned, "train", resists=False))
        await trio.testing.wait_all_tasks_blocked()
        assert set(loop_monitor.resisting(me)) == set()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
            assert set(loop_monitor.resisting(me)) == {"toy"}
        ended.set()


def test_a_synchronous_method_that_takes_long_is_reported() -> None:
    reported: list[float] = []
    with loop_monitor.report_if_blocking(loop_monitor.Owner("toy", reported.append)):
        time.sleep(2 * HELD_S)
    with loop_monitor.report_if_blocking(loop_monitor.Owner("toy", reported.append)):
        pass
    assert len(reported) == 1
