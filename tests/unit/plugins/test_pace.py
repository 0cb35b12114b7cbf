"""The outgoing rate limit: never more than was agreed, and nobody waits long for it."""

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from payd.plugins import Pace, RateLimited


async def test_calls_leave_at_the_agreed_rate(autojump_clock: MockClock) -> None:
    pace = Pace(10, wait_max_s=60)
    start = trio.current_time()

    async with trio.open_nursery() as nursery:
        for _ in range(21):
            nursery.start_soon(pace.turn)

    assert trio.current_time() - start == pytest.approx(2.0)


async def test_a_burst_leaves_at_once_and_is_earned_back_by_waiting(
    autojump_clock: MockClock,
) -> None:
    pace = Pace(10, burst=5)
    for pause_s in (0, 10):
        await trio.sleep(pause_s)
        start = trio.current_time()
        for _ in range(5):
            await pace.turn()
        assert trio.current_time() == start
        await pace.turn()
        assert trio.current_time() - start == pytest.approx(0.1)


async def test_a_call_that_would_wait_too_long_is_refused_before_anything_is_sent(
    autojump_clock: MockClock,
) -> None:
    pace = Pace(1, wait_max_s=2)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(pace.turn)
        await trio.testing.wait_all_tasks_blocked()

        with pytest.raises(RateLimited) as refused:
            await pace.turn()

    assert refused.value.retry_after_s == pytest.approx(3.0)


async def test_the_remote_side_may_ask_for_silence(autojump_clock: MockClock) -> None:
    pace = Pace(100, wait_max_s=1)
    pace.hold(5)

    with pytest.raises(RateLimited):
        await pace.turn()
    await trio.sleep(5)
    await pace.turn()


async def test_a_cancelled_wait_gives_its_place_to_nobody(autojump_clock: MockClock) -> None:
    pace = Pace(1, wait_max_s=10)
    await pace.turn()
    with trio.move_on_after(0.5):
        await pace.turn()
    start = trio.current_time()

    await pace.turn()

    assert trio.current_time() - start == pytest.approx(1.5)


async def test_a_refused_call_takes_nobodys_place(autojump_clock: MockClock) -> None:
    pace = Pace(1, wait_max_s=0)
    await pace.turn()
    for _ in range(3):
        with pytest.raises(RateLimited):
            await pace.turn()

    await trio.sleep(1)
    await pace.turn()


async def test_silence_that_was_asked_for_is_not_shortened(autojump_clock: MockClock) -> None:
    pace = Pace(10, burst=5, wait_max_s=60)
    pace.hold(5)
    pace.hold(1)
    start = trio.current_time()

    await pace.turn()
    assert trio.current_time() - start == pytest.approx(5.0)
    await pace.turn()
    assert trio.current_time() - start == pytest.approx(5.1), "no burst after silence"


@settings(deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 10),
    st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["call", "hold"])), max_size=60),
)
def test_no_schedule_of_calls_sends_more_than_was_agreed(
    per_second: int, burst: int, schedule: list[tuple[float, str]]
) -> None:
    left: list[float] = []
    silences: list[tuple[float, float]] = []

    async def call(pace: Pace) -> None:
        start = trio.current_time()
        try:
            await pace.turn()
        except RateLimited:
            assert trio.current_time() == start, "refused at once"
            return
        assert trio.current_time() - start <= 2.0 + 1e-6, "nobody waits longer"
        left.append(trio.current_time())

    async def run() -> None:
        pace = Pace(per_second, burst=burst, wait_max_s=2.0)
        async with trio.open_nursery() as nursery:
            for pause_s, what in schedule:
                await trio.sleep(pause_s if what == "hold" else pause_s / 30)
                if what == "hold" and not _is_anybody_waiting(nursery):
                    pace.hold(1)
                    silences.append((trio.current_time(), trio.current_time() + 1))
                else:
                    nursery.start_soon(call, pace)

    trio.run(run, clock=MockClock(autojump_threshold=0))

    assert left == sorted(left), "in the order in which they came"
    for first, time in enumerate(left):
        for n, later in enumerate(left[first:], start=1):
            assert n <= burst + (later - time) * per_second + 1e-6
    for begin, end in silences:
        assert not any(begin + 1e-6 < time < end - 1e-6 for time in left)


def _is_anybody_waiting(nursery: trio.Nursery) -> bool:
    return bool(nursery.child_tasks)
