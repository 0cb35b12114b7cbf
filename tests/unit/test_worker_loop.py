"""A working loop never spins: not when it is woken for nothing, and not when nothing succeeds.

The daemon's stop ends its waits.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from payd.adapters import bridge
from payd.daemon.worker_loop import concurrently, run_worker, work_guarded
from payd.domain.errors import StoreUnavailable

SECONDS = 10.0
#: A loop that claims so often in SECONDS spins.
TOO_MANY = 1000


@attrs.define(slots=False)
class Bench:
    """Something to claim, and how often it was claimed."""

    rows: Callable[[], Sequence[int]]
    #: What working on a batch gives.
    result: bool = True
    claims: int = 0
    worked: list[int] = attrs.field(factory=list)
    stopping: trio.Event = attrs.field(factory=trio.Event)

    async def claim(self) -> Sequence[int]:
        self.claims += 1
        assert self.claims < TOO_MANY, "the loop spins"
        return self.rows()

    async def work(self, rows: Sequence[int]) -> bool:
        self.worked += rows
        return self.result

    async def idle(self) -> None:
        """Ends at once and without a pause, as a wait for a flag that nobody clears."""

    async def run(self) -> None:
        """For SECONDS."""
        async with bridge.open_loop(_refuse):
            with trio.move_on_after(SECONDS):
                await self.run_until_stopped()

    async def run_until_stopped(self) -> None:
        """Within an open loop."""
        stopping = bridge.for_asyncio(self.stopping)
        await bridge.aio(run_worker, self.claim, self.work, self.idle, stopping)


def _refuse(message: str, error: BaseException | None) -> None:
    raise AssertionError(message) from error


async def test_a_loop_that_is_woken_for_nothing_rests_between_its_looks(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(rows=list)

    await bench.run()

    assert 10 < bench.claims < TOO_MANY


async def test_a_loop_whose_whole_batches_fail_rests_between_them(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(rows=lambda: [1, 2, 3], result=False)

    await bench.run()

    assert 5 <= bench.claims <= 11


async def test_a_loop_that_gets_on_does_not_rest(autojump_clock: MockClock) -> None:
    left = [[1, 2], [3], [4, 5], [6]]
    bench = Bench(rows=lambda: left.pop(0) if left else bench.stopping.set() or [])
    began = trio.current_time()

    await bench.run()

    assert bench.worked == [1, 2, 3, 4, 5, 6]
    assert trio.current_time() == began


async def test_one_row_that_succeeds_keeps_the_loop_going(autojump_clock: MockClock) -> None:
    left = [[1, 2, 3]] * 20
    bench = Bench(rows=lambda: left.pop(0) if left else bench.stopping.set() or [])

    async def work(rows: Sequence[int]) -> bool:
        return rows == [2]

    began = trio.current_time()
    async with bridge.open_loop(_refuse):
        each = partial(concurrently, work)
        stopping = bridge.for_asyncio(bench.stopping)
        await bridge.aio(run_worker, bench.claim, each, bench.idle, stopping)

    assert bench.claims == 21
    assert trio.current_time() == began


async def test_the_first_wake_up_after_work_is_served_at_once(autojump_clock: MockClock) -> None:
    """Only a second look in a row that finds nothing is put off."""
    left = [[1], [], [2], [], [3]]
    bench = Bench(rows=lambda: left.pop(0) if left else bench.stopping.set() or [])
    began = trio.current_time()

    await bench.run()

    assert bench.worked == [1, 2, 3]
    assert trio.current_time() == began


async def test_a_batch_that_left_nothing_is_followed_by_a_wait_and_no_claim(
    autojump_clock: MockClock,
) -> None:
    left = [[1, 2], [3], []]
    idled_after: list[int] = []

    async def idle() -> None:
        idled_after.append(bench.claims)

    bench = Bench(rows=lambda: left.pop(0) if len(left) > 1 else bench.stopping.set() or [])
    bench.idle = idle  # type: ignore[method-assign]
    async with bridge.open_loop(_refuse):
        stopping = bridge.for_asyncio(bench.stopping)
        # The second batch left nothing.
        await bridge.aio(
            run_worker, bench.claim, bench.work, bench.idle, stopping, lambda: bench.claims == 1
        )

    assert bench.worked == [1, 2, 3]
    assert idled_after == [2]
    assert bench.claims == 3


# -- the daemon's stop -------------------------------------------------------------------------


class Idler(Bench):
    """Its waits end only when they are cancelled."""

    waits: int = 0

    async def idle(self) -> None:
        self.waits += 1
        await asyncio.get_running_loop().create_future()


async def test_the_stop_ends_a_wait_and_the_loop_claims_once_more() -> None:
    left = [[], [7]]
    bench = Idler(rows=lambda: left.pop(0) if left else [])

    async with bridge.open_loop(_refuse), trio.open_nursery() as nursery:
        nursery.start_soon(bench.run_until_stopped)
        await wait_all_tasks_blocked()
        assert bench.waits == 1
        bench.stopping.set()

    assert bench.worked == [7]
    assert bench.claims == 3


async def test_a_loop_that_is_stopping_already_does_not_wait() -> None:
    bench = Idler(rows=list)
    bench.stopping.set()

    async with bridge.open_loop(_refuse):
        await bench.run_until_stopped()

    assert (bench.claims, bench.waits) == (1, 0)


async def test_the_stop_ends_the_rest_after_a_failed_batch(autojump_clock: MockClock) -> None:
    left = [[1], []]
    bench = Idler(rows=lambda: left.pop(0), result=False)
    began = trio.current_time()

    async def work(rows: Sequence[int]) -> bool:
        bench.stopping.set()
        return False

    bench.work = work  # type: ignore[method-assign]
    async with bridge.open_loop(_refuse):
        await bench.run_until_stopped()

    assert trio.current_time() == began


async def test_a_wait_that_fails_by_its_own_timeout_fails_the_loop() -> None:
    bench = Bench(rows=list)

    async def idle() -> None:
        raise TimeoutError

    bench.idle = idle  # type: ignore[method-assign]
    async with bridge.open_loop(_refuse):
        with pytest.raises(TimeoutError):
            await bench.run_until_stopped()


# -- a faulty row ------------------------------------------------------------------------------


async def test_a_faulty_row_fails_alone() -> None:
    done: list[int] = []
    failed: list[tuple[int, str]] = []

    async def work(rows: Sequence[int]) -> None:
        if 2 in rows:
            raise ValueError("no such thing")
        done.extend(rows)

    assert await work_guarded(work, lambda row, error: failed.append((row, str(error))), [1, 2, 3])

    assert (done, failed) == ([1, 3], [(2, "no such thing")])


async def test_a_batch_of_which_every_row_fails_succeeded_in_nothing() -> None:
    async def work(rows: Sequence[int]) -> None:
        raise ValueError

    failed: list[int] = []

    assert not await work_guarded(work, lambda row, _: failed.append(row), [1, 2])

    assert failed == [1, 2]


async def test_without_the_database_no_row_is_tried_alone() -> None:
    tried: list[Sequence[int]] = []

    async def work(rows: Sequence[int]) -> None:
        tried.append(rows)
        raise StoreUnavailable("gone", retry_after_s=1.0)

    with pytest.raises(StoreUnavailable):
        await work_guarded(work, lambda row, error: None, [1, 2])

    assert tried == [[1, 2]]
