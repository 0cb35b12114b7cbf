"""What a provider reports is looked at before it is stored: all of it, and without an exception."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.providers.toys import CREATED, FOUND, OPEN, PAYMENT_ID, START

from payd.domain.evidence import (
    Absent,
    Conflict,
    Created,
    Observation,
    Receipt,
    ReceiptState,
    Reversal,
)
from payd.plugins.interface import Found, ObjectPage, Page, ProviderEvent, RemoteObject
from payd.providers.validation import (
    is_created,
    is_event,
    is_json,
    is_look,
    is_object_page,
    is_observations,
    is_page,
    is_snapshot,
)

EVENT = ProviderEvent(id="evt_1", type="paid", content={"a": 1})
RECEIPT = Receipt(id="r", asset="USD", amount=1, state=ReceiptState.CONFIRMED, time=START)
REVERSAL = Reversal(asset="USD", refunded=1, disputed=True, aliases=("ch_1",))
#: No database takes the first two as text; the others are none.
NO_TEXT: Sequence[Any] = ["\0", "\ud800", None, 1, b"x", ["x"]]
#: What a provider's code may give by mistake.
ANYTHING: Sequence[object] = [None, 0, "", "x", b"", [], {}, (), object(), EVENT, FOUND, Absent()]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), inner)
    ),
    max_leaves=20,
)


def about(fact: Any) -> Observation:
    return Observation(id="o", reference="cs_1", fact=fact)


def nested(levels: int) -> Mapping[str, Any]:
    content: dict[str, Any] = {}
    for _ in range(levels):
        content = {"a": content}
    return content


# -- JSON ----------------------------------------------------------------------------------------


@given(json_values)
def test_json_is_what_a_payment_may_be_asked_for_with(value: object) -> None:
    assert is_json(value)
    assert is_json({"a": [value]})


@pytest.mark.parametrize(
    "wrong", [1.0, float("nan"), b"x", {1}, object(), START, "\0", "\ud800", iter(())]
)
def test_what_no_column_keeps_is_no_json_however_deep_it_stands(wrong: object) -> None:
    assert not is_json(wrong)
    assert not is_json({"a": [None, {"b": wrong}]})
    assert not is_json((1, wrong))


@pytest.mark.parametrize("key", [1, None, True, ("a",), "\0", "\ud800"])
def test_a_name_that_no_column_keeps_is_no_json(key: object) -> None:
    assert not is_json({key: 1})


# -- events and pages ----------------------------------------------------------------------------


def test_an_event_that_can_be_stored_is_one() -> None:
    assert is_event(EVENT)
    assert is_event(attrs.evolve(EVENT, type="", content={}))


@pytest.mark.parametrize("field", ["id", "type"])
@pytest.mark.parametrize("wrong", NO_TEXT)
def test_an_event_has_a_name_and_a_kind_that_can_be_stored(field: str, wrong: object) -> None:
    fields: dict[str, Any] = {field: wrong}
    assert not is_event(attrs.evolve(EVENT, **fields))


def test_an_event_without_a_name_is_none() -> None:
    assert not is_event(attrs.evolve(EVENT, id=""))


@pytest.mark.parametrize("content", [None, [], "{}", {"a": 1.5}, {1: 2}, {"a": {"b": "\0"}}])
def test_an_event_holds_json_by_name(content: Any) -> None:
    assert not is_event(attrs.evolve(EVENT, content=content))


def test_a_page_is_as_good_as_each_of_its_events() -> None:
    assert is_page(Page(events=(), cursor=""))
    assert is_page(Page(events=(EVENT, EVENT), cursor="7", more=True))
    assert not is_page(Page(events=(EVENT, attrs.evolve(EVENT, id="")), cursor="7"))


@pytest.mark.parametrize("wrong", NO_TEXT)
def test_a_page_has_a_cursor_that_can_be_stored(wrong: Any) -> None:
    assert not is_page(Page(events=(EVENT,), cursor=wrong))


# -- observations --------------------------------------------------------------------------------


@pytest.mark.parametrize("fact", [OPEN, (RECEIPT,), (), REVERSAL, Conflict()])
def test_each_kind_of_fact_can_be_settled(fact: Any) -> None:
    assert is_observations([about(fact)])
    assert is_observations((about(fact), about(OPEN)))


def test_nothing_said_of_payments_is_an_answer() -> None:
    assert is_observations([])


@pytest.mark.parametrize("fact", [None, "paid", [RECEIPT], (RECEIPT, None), CREATED, Absent()])
def test_what_is_no_fact_cannot_be_settled(fact: Any) -> None:
    assert not is_observations([about(OPEN), about(fact)])


@pytest.mark.parametrize("wrong", NO_TEXT)
def test_an_observation_names_itself_and_its_payment(wrong: Any) -> None:
    assert not is_observations([attrs.evolve(about(OPEN), id=wrong)])
    assert not is_observations([attrs.evolve(about(OPEN), reference=wrong)])


def test_an_observation_of_nobody_cannot_be_settled() -> None:
    assert not is_observations([attrs.evolve(about(OPEN), reference="")])
    assert is_observations([attrs.evolve(about(()), reference="")])


@pytest.mark.parametrize("wrong", NO_TEXT)
def test_a_snapshot_has_an_asset_and_a_status_that_can_be_stored(wrong: Any) -> None:
    assert not is_snapshot(attrs.evolve(OPEN, asset=wrong))
    assert not is_snapshot(attrs.evolve(OPEN, status=wrong))


# -- objects -------------------------------------------------------------------------------------


def test_a_page_of_objects_is_as_good_as_each_of_them() -> None:
    mine = RemoteObject(payment_id=PAYMENT_ID, found=FOUND)
    broken = attrs.evolve(
        mine, found=attrs.evolve(FOUND, created=attrs.evolve(CREATED, aliases=("\0",)))
    )
    assert is_object_page(ObjectPage(objects=(), cursor=None))
    assert is_object_page(
        ObjectPage(objects=(mine, attrs.evolve(mine, payment_id=None)), cursor="c")
    )
    assert not is_object_page(ObjectPage(objects=(mine, broken), cursor=None))
    assert not is_object_page(ObjectPage(objects=(FOUND,), cursor=None))  # type: ignore[arg-type]


def test_a_created_object_without_a_page_to_pay_at_is_one() -> None:
    assert is_created(Created(reference="cs_1", next_action=None))
    assert is_look(Found(created=Created(reference="cs_1", next_action=None), snapshot=OPEN))


@pytest.mark.parametrize("said", ANYTHING)
def test_anything_else_is_judged_and_not_raised(said: object) -> None:
    assert not is_page(said)
    assert not is_object_page(said)
    assert not is_snapshot(said)
    assert is_event(said) is (said is EVENT)
    assert is_observations(said) is (isinstance(said, Sequence) and not said)


# -- whatever a provider's code gives ---------------------------------------------------------------


def test_a_listed_object_that_is_absent_is_no_object() -> None:
    lost = RemoteObject(payment_id=PAYMENT_ID, found=Absent())  # type: ignore[arg-type]
    assert not is_object_page(ObjectPage(objects=(lost,), cursor=None))


@pytest.mark.parametrize(
    "fact",
    [
        attrs.evolve(OPEN, reference="\0"),
        attrs.evolve(OPEN, aliases=("\0",)),
        attrs.evolve(OPEN, failure_code="\0"),
        attrs.evolve(OPEN, failure_message="\0"),
        attrs.evolve(REVERSAL, asset="\0"),
        attrs.evolve(REVERSAL, aliases=("\0",)),
        (attrs.evolve(RECEIPT, id="\0"),),
        (attrs.evolve(RECEIPT, asset="\0"),),
    ],
    ids=["reference", "alias", "code", "message", "asset", "its alias", "receipt", "its asset"],
)
def test_no_fact_brings_a_text_that_cannot_be_stored(fact: Any) -> None:
    assert not is_observations([about(fact)])


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (is_event, attrs.evolve(EVENT, content=nested(2000))),
        (is_page, Page(events=(attrs.evolve(EVENT, content=nested(2000)),), cursor="")),
        (is_page, Page(events=None, cursor="")),  # type: ignore[arg-type]
        (is_object_page, ObjectPage(objects=None, cursor="")),  # type: ignore[arg-type]
        (is_created, attrs.evolve(CREATED, aliases=None)),  # type: ignore[arg-type]
    ],
    ids=["deep event", "deep page", "no events", "no objects", "no aliases"],
)
def test_a_broken_answer_is_judged_and_not_raised(judge: Any, said: object) -> None:
    assert judge(said) is False
