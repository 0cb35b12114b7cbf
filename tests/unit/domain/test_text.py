"""What providers report is text that PostgreSQL can store, whole numbers, and facts."""

from typing import Any

import attrs
import pytest
from unit.domain.builders import a_receipt, a_snapshot

from payd.domain.evidence import Conflict, Observation
from payd.domain.text import NAME_MAX, is_text


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
