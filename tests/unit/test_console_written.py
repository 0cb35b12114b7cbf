"""Amounts and times of the console, as an operator reads them."""

from datetime import timedelta

import pytest

from payd.transport.console.written import span


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=-1), "0 s"),
        (timedelta(seconds=59.6), "1 min"),
        (timedelta(hours=3, minutes=12, seconds=9), "3 h 12 min"),
        (timedelta(days=40, seconds=5), "40 d 5 s"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(length: timedelta, said: str) -> None:
    assert span(length) == said
