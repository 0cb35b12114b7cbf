"""The test clock of `payd dev --clock`: what it shows, who follows it, and where it is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from integration.dev.test_companions import Desk, desk, that_gives
from unit.test_config.builders import production

from payd.adapters import bridge
from payd.config import ConfigError, load_config
from payd.daemon.builders import build_adapters, new_metrics
from payd.dev.clock import ClockRefused, MovableClock, setting_in
from payd.dev.clock_server import build_app
from payd.dev.run import _clock
from payd.dev.state import StateDir
from payd.plugins import Companion, RunningCompanion

__all__ = ["desk"]

HALF_HOUR = timedelta(minutes=30)


async def nothing_else(_span: timedelta) -> None:
    """Nothing but the clock has to pass the time."""
    await trio.lowlevel.checkpoint()


@pytest.fixture
def clock(tmp_path: Path) -> MovableClock:
    return MovableClock(tmp_path / "clock.json")


def between(begin: datetime, time: datetime, ahead: timedelta) -> bool:
    return begin + ahead <= time <= datetime.now(UTC) + ahead


async def test_it_shows_the_systems_time_until_it_is_moved(clock: MovableClock) -> None:
    begin = datetime.now(UTC)
    assert between(begin, clock.now(), timedelta(0))
    await clock.advance(HALF_HOUR, nothing_else)
    await clock.advance(HALF_HOUR, nothing_else)
    assert between(begin, clock.now(), 2 * HALF_HOUR)


async def test_a_frozen_clock_can_be_advanced_and_runs_on_from_where_it_stands(
    clock: MovableClock,
) -> None:
    await clock.freeze()
    frozen = clock.now()
    await clock.advance(HALF_HOUR, nothing_else)
    assert clock.now() == frozen + HALF_HOUR == clock.now()
    begin = datetime.now(UTC)
    await clock.run()
    assert frozen + HALF_HOUR <= clock.now() <= frozen + HALF_HOUR + (datetime.now(UTC) - begin)


async def test_running_what_runs_changes_nothing(clock: MovableClock) -> None:
    await clock.run()
    assert not clock.setting.is_moved


@pytest.mark.parametrize(
    ("span", "why"),
    [(timedelta(seconds=-1), "does not go back"), (timedelta.max, "no time lies")],
)
async def test_it_goes_neither_back_nor_beyond_all_times(
    clock: MovableClock, span: timedelta, why: str
) -> None:
    with pytest.raises(ClockRefused, match=why):
        await clock.advance(span, nothing_else)
    assert not clock.setting.is_moved


@pytest.mark.parametrize("is_frozen", [False, True])
async def test_the_next_run_on_the_same_data_has_the_same_time(
    clock: MovableClock, tmp_path: Path, *, is_frozen: bool
) -> None:
    if is_frozen:
        await clock.freeze()
    await clock.advance(HALF_HOUR, nothing_else)
    assert MovableClock(tmp_path / "clock.json").setting == clock.setting
    assert setting_in(tmp_path / "none.json") == setting_in(tmp_path / "never.json")


async def test_others_follow_before_it_moves_itself_and_one_that_comes_later_catches_up(
    clock: MovableClock,
) -> None:
    seen: list[tuple[timedelta, bool]] = []

    async def follow(time: datetime, runs: bool) -> None:
        await trio.lowlevel.checkpoint()
        seen.append((time - clock.now(), runs))

    await clock.freeze()
    await clock.add_follower(follow)
    await clock.advance(HALF_HOUR, nothing_else)
    assert seen == [(timedelta(0), False), (HALF_HOUR, False)]


async def test_where_one_cannot_follow_the_clock_stays(clock: MovableClock) -> None:
    async def fail(_time: datetime, _runs: bool) -> None:
        await trio.lowlevel.checkpoint()
        raise ClockRefused("the chain is away")

    await clock.add_follower(fail)
    with pytest.raises(ClockRefused, match="the chain is away"):
        await clock.advance(HALF_HOUR, nothing_else)
    assert not clock.setting.is_moved


async def test_a_move_ends_a_rest_on_the_other_loop(clock: MovableClock) -> None:
    """The daemon's loops rest on asyncio, and `payd clock` is served on trio."""
    async with bridge.open_loop(lambda message, error: None), trio.open_nursery() as nursery:
        rested = trio.Event()

        async def rest() -> None:
            await bridge.aio(clock.rest, 3600.0)
            rested.set()

        nursery.start_soon(rest)
        await trio.testing.wait_all_tasks_blocked()
        assert not rested.is_set()
        await clock.advance(HALF_HOUR, nothing_else)
        await rested.wait()
        await bridge.aio(clock.rest, 0.001)


# -- its API -------------------------------------------------------------------------------------


async def test_the_api_shows_and_moves_it_and_lets_the_rests_pass(clock: MovableClock) -> None:
    passed: list[timedelta] = []

    async def pass_time(span: timedelta) -> None:
        await trio.lowlevel.checkpoint()
        assert not clock.setting.is_moved, "what is due must be so before payd's loops wake"
        passed.append(span)

    client = build_app(clock, pass_time).test_client()
    moved = await (await client.post("/advance", json={"seconds": 1800})).get_json()
    assert passed == [HALF_HOUR]
    assert 1799 <= moved["ahead_s"] <= 1801
    assert datetime.fromisoformat(moved["time"]).tzinfo is not None
    assert (await (await client.post("/freeze")).get_json())["is_frozen"]
    assert (await (await client.get("/")).get_json())["is_frozen"]
    assert not (await (await client.post("/run")).get_json())["is_frozen"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"7", b'{"seconds": "1"}', b'{"seconds": true}', b'{"seconds": 1e300}']
)
async def test_the_api_says_what_it_cannot_read(clock: MovableClock, body: bytes) -> None:
    client = build_app(clock, nothing_else).test_client()
    answer = await client.post("/advance", data=body)
    assert answer.status_code == 409
    assert (await answer.get_json())["detail"]
    assert not clock.setting.is_moved


# -- companions ----------------------------------------------------------------------------------


def with_clock(desk: Desk, clock: MovableClock) -> Desk:
    desk.session = attrs.evolve(desk.session, clock=clock)
    return desk


async def test_a_companion_has_the_daemons_clock_and_its_own_follows(
    desk: Desk, clock: MovableClock
) -> None:
    seen: list[object] = []

    async def move(time: datetime, runs: bool) -> None:
        await trio.lowlevel.checkpoint()
        seen.append((time, runs))

    contexts: list[Any] = []
    companion = Companion(open=that_gives(RunningCompanion(move_clock=move), contexts))
    await clock.freeze()
    async with with_clock(desk, clock).open(acme=companion):
        await clock.advance(HALF_HOUR, nothing_else)
        assert contexts[0].clock.now() == clock.now()
    assert seen == [(clock.now() - HALF_HOUR, False), (clock.now(), False)]


async def test_a_companion_that_cannot_follow_is_named(desk: Desk, clock: MovableClock) -> None:
    async def move(_time: datetime, _runs: bool) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("no such method")

    companion = Companion(open=that_gives(RunningCompanion(move_clock=move)))
    async with with_clock(desk, clock).open(acme=companion):
        with pytest.raises(ClockRefused, match=r"companion of acme did not.*no such method"):
            await clock.advance(HALF_HOUR, nothing_else)


async def test_the_time_of_a_real_remote_side_cannot_be_moved(
    desk: Desk, clock: MovableClock
) -> None:
    companion = Companion(open=that_gives(RunningCompanion()), replaces=("api_key",))
    opened = with_clock(desk, clock).open({"ACME_API_KEY": "live"}, acme=companion)
    with pytest.RaisesGroup(pytest.RaisesExc(ClockRefused, match="unset ACME_API_KEY")):
        async with opened:
            pytest.fail("it started")


async def test_a_provider_without_a_companion_is_refused_when_enabled(
    desk: Desk, clock: MovableClock
) -> None:
    good = Companion(open=that_gives(RunningCompanion()))
    enabled = with_clock(desk, clock).open({"ACME_ENABLED": "true"}, acme=None, other=good)
    with pytest.raises(ClockRefused, match=r"acme brings no companion.*ACME_ENABLED=false"):
        async with enabled:
            pytest.fail("it started")
    async with desk.open(acme=None, other=good) as added:
        assert "ACME_ENABLED" not in added.environment


# -- where it is refused -------------------------------------------------------------------------


def test_a_daemon_in_production_refuses_any_clock_but_the_systems(
    clock: MovableClock, tmp_path: Path
) -> None:
    config = load_config(production(tmp_path), None)
    with pytest.raises(ConfigError, match="refused in production"):
        build_adapters(config, new_metrics(), clock=clock)
    assert not isinstance(build_adapters(config, new_metrics()).clock, MovableClock)


def test_payd_dev_refuses_it_in_a_shell_for_production(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    with pytest.raises(ClockRefused, match="refused in production"):
        _clock(state, is_wanted=True)


async def test_data_whose_time_was_moved_needs_the_clock_again(state: StateDir) -> None:
    clock = _clock(state, is_wanted=True)
    assert clock is not None
    assert _clock(state, is_wanted=False) is None
    await clock.advance(HALF_HOUR, nothing_else)
    with pytest.raises(ClockRefused, match="start with --clock"):
        _clock(state, is_wanted=False)
    assert _clock(state, is_wanted=True) is not None
