"""How many blocks at once: what endpoints say about it, and what is learned from that."""

import pytest
from tempo_provider.ranges import (
    CLEAN_TO_GROW,
    RANGE_FIRST,
    RangeLength,
    is_too_large,
    suggested_length,
)

RETH = "query exceeds max results 20000, retry with the range 1-244"


@pytest.mark.parametrize(
    "message",
    [
        RETH,
        "query exceeds max block range 100000",
        "query returned more than 10000 results",
        "block range is too wide",
        "exceeds the maximum block range",
        "Block range limit exceeded",
    ],
)
def test_an_endpoint_that_would_answer_for_less_is_understood(message: str) -> None:
    assert is_too_large(message)


@pytest.mark.parametrize(
    "message",
    [
        "block range extends beyond current head block",
        "invalid block range params",
        "unknown block",
        "header not found",
        "execution reverted",
        "the method eth_getLogs does not exist",
        "daily request count exceeded",
    ],
)
def test_what_a_shorter_range_would_not_help_is_no_such_answer(message: str) -> None:
    assert not is_too_large(message)


@pytest.mark.parametrize(
    ("message", "length"),
    [
        (RETH, 244),
        ("retry with the range 1000-1000", 1),
        ("query exceeds max block range 100000", None),
        ("retry with the range 5-4", None),
        ("", None),
    ],
)
def test_the_range_that_it_recommends_is_read(message: str, length: int | None) -> None:
    assert suggested_length(message) == length


def test_the_first_range_is_a_modest_one() -> None:
    assert RangeLength(10_000).length == RANGE_FIRST
    assert RangeLength(10).length == 10


def test_a_recommendation_is_followed() -> None:
    length = RangeLength(10_000)
    length.shorten(244)
    assert length.length == 244


@pytest.mark.parametrize("suggestion", [None, 999, 5_000, 0])
def test_what_was_too_much_is_at_least_halved(suggestion: int | None) -> None:
    length = RangeLength(10_000)
    length.shorten(suggestion)
    assert length.length == RANGE_FIRST // 2


def test_one_block_is_the_least() -> None:
    length = RangeLength(10_000)
    for _ in range(20):
        length.shorten(None)
    assert length.length == 1


def test_a_recommendation_of_less_than_a_block_is_one_block() -> None:
    length = RangeLength(10_000)
    length.shorten(-7)
    assert length.length == 1


def test_it_grows_again_when_nobody_complains() -> None:
    length = RangeLength(10_000)
    length.shorten(100)
    for _ in range(CLEAN_TO_GROW):
        length.succeeded()
    assert length.length == 200


def test_a_complaint_starts_the_count_again() -> None:
    length = RangeLength(10_000)
    length.shorten(100)
    for _ in range(CLEAN_TO_GROW - 1):
        length.succeeded()
    length.shorten(50)
    length.succeeded()
    assert length.length == 50


def test_it_never_grows_beyond_what_the_operator_allows() -> None:
    length = RangeLength(1_500)
    for _ in range(5 * CLEAN_TO_GROW):
        length.succeeded()
    assert length.length == 1_500
