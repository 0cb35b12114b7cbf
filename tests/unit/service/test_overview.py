"""The operator's first look: the days that were asked for, today included, and all that waits."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from unit.service.world import World

from payd.domain.payment import Status


async def test_an_overview_counts_the_payments_of_its_days(world: World) -> None:
    await world.initiate(idempotency_key="key-1")
    world.clock.time += timedelta(days=1)
    await world.initiate(idempotency_key="key-2")
    await world.initiate(idempotency_key="key-3")

    today, both = await world.overview.overview(1), await world.overview.overview(2)

    [one] = today.sums
    assert (one.method, one.status, one.payments) == ("card", Status.PENDING, 2)
    assert (one.amount.currency_code, one.amount.minor_units) == ("USD", 29800)
    assert one.day == world.clock.now().date()
    assert [each.payments for each in both.sums] == [1, 2]
    assert today.time == world.clock.now()


@pytest.fixture
def far_east() -> Iterator[None]:
    """A host on whose clock it is tomorrow at noon UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Etc/GMT-14")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_east")
async def test_a_day_is_one_of_utc_wherever_payd_runs(world: World) -> None:
    await world.initiate()
    assert world.clock.now().hour == 12
    assert [one.payments for one in (await world.overview.overview(1)).sums] == [1]


async def test_an_overview_says_what_waits_and_how_the_daemon_is(world: World) -> None:
    await world.initiate()
    await world.pay()
    await world.intake_pass()
    world.clock.time += timedelta(seconds=5)

    seen = await world.overview.overview(7)

    assert (seen.backlog.events, seen.backlog.oldest_event_age) == (1, timedelta(seconds=5))
    assert seen.attention == []
    assert [check.name for check in seen.health.checks] == ["database"]
    assert [loop.name for loop in seen.health.loops] == ["recovery"]
    assert (seen.trail.checkpoint, seen.trail.unsigned_payments) == (None, 1)
