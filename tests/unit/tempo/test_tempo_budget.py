"""How often an endpoint may be asked: its headers, its refusals, and what follows for the pace."""

from datetime import UTC, datetime, timedelta

import pytest
from tempo_provider.budget import REST_MAX_S, REST_S, Budget

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
DATE = "Mon, 23 Nov 2026 12:00:00 GMT"


def headers(limit: object = 20, remaining: object = 20, reset: object = 60) -> dict[str, str]:
    return {
        "ratelimit-limit": str(limit),
        "ratelimit-remaining": str(remaining),
        "ratelimit-reset": str(reset),
    }


def budget_with(**fields: object) -> Budget:
    budget = Budget()
    budget.answered(headers(**fields), 100.0, NOW)
    return budget


def test_without_a_known_limit_there_is_no_pace() -> None:
    assert Budget().interval_s(0.0) == 0.0


def test_twenty_requests_a_minute_leave_some_for_others_than_the_watch() -> None:
    assert budget_with().interval_s(100.0) == 60 / 16


def test_what_is_left_is_spread_over_what_is_left_of_the_window() -> None:
    budget = budget_with(remaining=9, reset=30)
    assert budget.interval_s(100.0) == 30 / 5
    assert budget.interval_s(110.0) == 20 / 5


@pytest.mark.parametrize("remaining", [0, 3, 4])
def test_what_is_reserved_is_not_spent_before_the_window_ends(remaining: int) -> None:
    assert budget_with(remaining=remaining, reset=30).interval_s(110.0) == 20


def test_after_the_windows_end_the_whole_limit_counts_again() -> None:
    assert budget_with(remaining=0, reset=60).interval_s(161.0) == 60 / 16


def test_a_limit_of_one_request_is_kept() -> None:
    assert budget_with(limit=1, remaining=1).interval_s(100.0) == 60
    assert budget_with(limit=1, remaining=0).interval_s(100.0) == 60


def test_a_window_may_be_longer_than_a_minute() -> None:
    assert budget_with(limit=1000, remaining=0, reset=3600).interval_s(3701.0) == 3600 / 800


def test_a_point_in_time_is_read_by_the_endpoints_own_clock() -> None:
    """Its clock is an hour ahead of ours."""
    ahead = NOW + timedelta(hours=1)
    said = headers(reset=round(ahead.timestamp()) + 32) | {"date": DATE.replace("12:", "13:", 1)}
    budget = Budget()
    budget.answered(said, 100.0, NOW)
    assert budget.interval_s(100.0) == 32 / 16


def test_without_a_date_our_clock_is_used() -> None:
    assert budget_with(reset=round(NOW.timestamp()) + 32).interval_s(100.0) == 32 / 16


@pytest.mark.parametrize("reset", [round(NOW.timestamp()) - 5000, 0])
def test_a_window_that_has_ended_is_as_good_as_over(reset: int) -> None:
    assert budget_with(remaining=10, reset=reset).interval_s(100.0) == 1 / 6


def test_the_older_names_of_the_headers_are_read_too() -> None:
    budget = Budget()
    budget.answered({f"x-{name}": text for name, text in headers().items()}, 100.0, NOW)
    assert budget.interval_s(100.0) == 60 / 16


def test_parameters_of_a_header_are_left_out() -> None:
    assert budget_with(limit="20, 20;w=60").interval_s(100.0) == 60 / 16


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"ratelimit-limit": "20"},
        headers(limit="many"),
        headers(limit=0),
        headers(limit=-1),
        headers(remaining=""),
        headers(reset="soon"),
        headers(reset="9" * 400),
    ],
)
def test_headers_that_say_nothing_change_nothing(wrong: dict[str, str]) -> None:
    budget = Budget()
    budget.answered(wrong, 100.0, NOW)
    assert budget.limit is None
    assert budget.interval_s(100.0) == 0.0


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry_after", ["7", "Mon, 23 Nov 2026 12:00:07 GMT"])
def test_it_rests_for_as_long_as_it_is_asked_to(retry_after: str) -> None:
    budget = budget_with()
    assert budget.refused({"retry-after": retry_after}, 100.0, NOW) == 7
    assert budget.rests_until == 107


def test_without_a_time_it_rests_until_the_window_ends() -> None:
    assert budget_with(remaining=0, reset=42).refused({}, 100.0, NOW) == 42


def test_without_any_word_it_rests_longer_after_each_refusal() -> None:
    budget = Budget()
    rests = [budget.refused({}, 100.0, NOW) for _ in range(7)]
    assert rests == [REST_S, 20, 40, 80, 160, REST_MAX_S, REST_MAX_S]
    budget.succeeded()
    assert budget.refused({}, 100.0, NOW) == REST_S


@pytest.mark.parametrize("text", ["0", "-5", "soon", "9" * 400, "Mon, 21 Sep 2026 12:00:00 GMT"])
def test_any_delay_leads_to_a_rest_with_an_end(text: str) -> None:
    assert 1 <= Budget().refused({"retry-after": text}, 100.0, NOW) <= REST_MAX_S


def test_a_limit_that_only_refusals_tell_is_learned() -> None:
    budget = Budget()
    budget.refused({}, 100.0, NOW)
    assert budget.interval_s(100.0) == 2
    budget.refused({}, 100.0, NOW)
    assert budget.interval_s(100.0) == 4
    for _ in range(10):
        budget.refused({}, 100.0, NOW)
    assert budget.interval_s(100.0) == 60


def test_a_limit_that_is_gone_is_forgotten() -> None:
    budget = Budget()
    budget.refused({}, 100.0, NOW)
    for _ in range(400):
        budget.succeeded()
    assert budget.interval_s(100.0) == 0.0


# -- a minute at an endpoint -----------------------------------------------------------------------


@pytest.mark.parametrize("limit", [2, 5, 20, 100])
def test_the_pace_never_leads_to_a_refusal(limit: int) -> None:
    """An hour with fixed windows of a minute, beginning in the middle of one."""
    time, window, used, budget = 35.0, 0, 0, Budget()
    for _ in range(60 * limit):
        if int(time // 60) != window:
            window, used = int(time // 60), 0
        used += 1
        assert used <= limit
        reset = (window + 1) * 60 - time
        budget.answered(headers(limit, limit - used, max(1, round(reset))), time, NOW)
        time += max(0.1, budget.interval_s(time))


def test_no_pause_is_longer_than_the_window_after_which_the_limit_is_whole() -> None:
    budget = Budget()
    budget.answered(headers(20, 5, 60), 100.0, NOW)
    assert budget.pause_s(1, 100.0) == 60
    assert budget.pause_s(15, 100.0) == 60
    taught = Budget()
    for _ in range(10):
        taught.refused({}, 100.0, NOW)
    assert taught.pause_s(100, 100.0) == REST_MAX_S


def test_what_nobody_needs_for_money_leaves_half_of_a_limit() -> None:
    budget = Budget()
    assert budget.has_spare(100.0)
    budget.answered(headers(20, 11, 60), 100.0, NOW)
    assert budget.has_spare(100.0)
    budget.answered(headers(20, 10, 60), 100.0, NOW)
    assert not budget.has_spare(100.0)
    assert budget.has_spare(160.0), "a new window"
    budget.refused({"retry-after": "200"}, 100.0, NOW)
    assert not budget.has_spare(299.0)


def test_an_endpoint_that_has_refused_without_a_limit_has_nothing_to_spare() -> None:
    budget = Budget()
    budget.refused({"retry-after": "1"}, 100.0, NOW)
    assert not budget.has_spare(102.0)
    for _ in range(400):
        budget.succeeded()
    assert budget.has_spare(102.0)
