"""Amounts and times of the console, as an operator reads them."""

from datetime import timedelta

import pytest

from payd.transport.console.written import actor, field, span


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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("operator:console/alice", "operator alice, in the console"),
        ("operator:ops/ada", "operator ops/ada"),
        ("provider:stripe", "provider stripe"),
        ("recovery", "payd, by a status check"),
        ("reconciliation", "payd, by the daily comparison with the provider"),
        ("payd", "payd"),
        ("main-app", "main-app"),
        ("user:42", "user:42"),
        ("operator:", "operator:"),
    ],
)
def test_an_actor_is_named_in_words(name: str, said: str) -> None:
    assert actor(name) == said


def test_a_changed_field_is_named_in_words() -> None:
    assert field("provider_reference") == "id at the provider"
    assert field("next_look_time") == "next look time"
    assert field("refund 01a2") == "refund 01a2"
