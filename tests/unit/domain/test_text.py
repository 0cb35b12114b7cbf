"""What providers report is text that PostgreSQL can store, whole numbers, and facts."""

from typing import Any

import attrs
import pytest
from unit.domain.builders import NOW, a_receipt, a_snapshot

from payd.domain.evidence import Conflict, Observation
from payd.domain.text import (
    BASE_UNITS_MAX,
    CODE_MAX,
    MESSAGE_MAX,
    NAME_MAX,
    cut_code,
    cut_message,
    is_text,
)


@pytest.mark.parametrize("value", [None, 7, b"bytes", "a\0b", "\ud800"])
def test_what_postgresql_cannot_store_is_no_text(value: object) -> None:
    assert not is_text(value)


@pytest.mark.parametrize("value", ["", "plain", "ünïcode ✓"])
def test_other_text_is_text(value: str) -> None:
    assert is_text(value)


@pytest.mark.parametrize("name", ["", "x" * (NAME_MAX + 1), "a\0b", 7])
def test_a_receipts_id_is_a_name(name: Any) -> None:
    with pytest.raises(ValueError, match=rf"^id: must be text of 1 to {NAME_MAX} characters"):
        a_receipt(name)


@pytest.mark.parametrize("amount", [True, 1.5, "1"])
def test_an_amount_is_a_whole_number(amount: Any) -> None:
    with pytest.raises(ValueError, match=r"^amount: must be an integer"):
        a_receipt(amount=amount)


@pytest.mark.parametrize("due", [True, 1.5, "1"])
def test_what_is_due_is_a_whole_number(due: Any) -> None:
    with pytest.raises(ValueError, match=r"^due: must be an integer"):
        attrs.evolve(a_snapshot(), due=due)


@pytest.mark.parametrize("message", ["a\0b", 7])
def test_a_failure_has_a_message_that_can_be_stored(message: Any) -> None:
    with pytest.raises(ValueError, match=r"^failure_message: must be text without NUL"):
        attrs.evolve(a_snapshot(), failure_message=message)


@pytest.mark.parametrize("fact", [a_snapshot(), (a_receipt(),), Conflict()])
def test_an_observation_reports_a_fact(fact: Any) -> None:
    assert Observation(id="1", reference="ref", fact=fact).fact == fact


@pytest.mark.parametrize("fact", [None, (a_receipt(), "no receipt"), "paid"])
def test_anything_else_is_no_fact(fact: Any) -> None:
    with pytest.raises(ValueError, match=r"^fact: "):
        Observation(id="1", reference="ref", fact=fact)


def test_only_receipts_may_name_no_payment() -> None:
    assert Observation(id="1", reference="", fact=(a_receipt(),)).reference == ""
    with pytest.raises(ValueError, match=r"^reference: only receipts"):
        Observation(id="1", reference="", fact=a_snapshot())


@pytest.mark.parametrize("name", ["x", "x" * NAME_MAX])
def test_a_name_has_one_to_five_hundred_and_twelve_characters(name: str) -> None:
    assert a_receipt(name).id == name


@pytest.mark.parametrize("amount", [0, 1, BASE_UNITS_MAX])
def test_an_amount_is_from_nothing_to_the_largest_of_a_chain(amount: int) -> None:
    assert a_receipt(amount=amount).amount == amount


def test_a_refusal_names_the_field_and_what_it_needs() -> None:
    refused: dict[str, tuple[Any, str]] = {
        "received": (-1, f"must be an integer from 0 to {BASE_UNITS_MAX}, not -1"),
        "due": ("1", "must be an integer, is a str"),
        "failure_message": ("a\0", "must be text without NUL"),
        "asset": ("x" * 513, "must be text of 0 to 512 characters without NUL"),
        "as_of": (
            NOW.replace(tzinfo=None),
            "needs a time zone, has none: datetime.datetime(2026, 1, 1, 12, 0)",
        ),
    }
    for field, (value, words) in refused.items():
        with pytest.raises(ValueError, match=r".") as error:
            attrs.evolve(a_snapshot(), **{field: value})
        assert str(error.value) == f"{field}: {words}"


def test_a_code_and_a_message_are_cut_and_other_values_are_left_alone() -> None:
    for cut, most in ((cut_code, CODE_MAX), (cut_message, MESSAGE_MAX)):
        assert cut("x" * most + "y") == "x" * most
        assert (cut("short"), cut(7), cut(None)) == ("short", 7, None)
