"""The outgoing rate limit: never more than was agreed, and nobody waits long for it."""

import pytest
import trio
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


async def test_who_would_wait_too_long_is_told_before_anything_is_sent(
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
