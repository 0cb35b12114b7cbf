"""What a provider reports is checked before it is stored: by its class, or by `validation`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.providers.toys import CREATED, FOUND, OPEN, PAYMENT_ID, START

from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import (
    Absent,
    Conflict,
    Created,
    Observation,
    Receipt,
    ReceiptState,
)
from payd.domain.refund import RefundSnapshot, RefundState
from payd.plugins.interface import Found, ObjectPage, Page, ProviderEvent, RemoteObject
from payd.providers.validation import is_event, is_json, is_observations, is_page

EVENT = ProviderEvent(id="evt_1", type="paid", content={"a": 1})
RECEIPT = Receipt(id="r", asset="USD", amount=1, state=ReceiptState.CONFIRMED, time=START)
REFUND = RefundSnapshot(
    reference="re", state=RefundState.PENDING, asset="USD", amount=1, time=START
)
DISPUTE = Dispute(
    id="dp",
    status=DisputeStatus.LOST,
    asset="USD",
    amount=1,
    open_time=START,
    as_of=START,
)
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


@pytest.mark.parametrize("content", [{"a": 1.5}, {1: 2}, {"a": {"b": "\0"}}, nested(2000)])
def test_an_event_holds_json_by_name(content: Any) -> None:
    event = attrs.evolve(EVENT, content=content)
    assert not is_event(event)
    assert is_page(Page(events=(EVENT,), cursor="7", more=True))
    assert not is_page(Page(events=(EVENT, event), cursor="7"))


@pytest.mark.parametrize("content", [None, [], "{}"])
def test_an_event_has_a_mapping(content: Any) -> None:
    with pytest.raises(TypeError, match="content"):
        attrs.evolve(EVENT, content=content)


# -- observations --------------------------------------------------------------------------------


@pytest.mark.parametrize("fact", [OPEN, (RECEIPT,), (), REFUND, DISPUTE, Conflict()])
def test_each_kind_of_fact_can_be_settled(fact: Any) -> None:
    assert is_observations([about(fact)])
    assert is_observations((about(fact), about(OPEN)))


def test_an_empty_report_is_an_answer() -> None:
    assert is_observations([])


@pytest.mark.parametrize("fact", [None, "paid", [RECEIPT], (RECEIPT, None), CREATED, Absent()])
def test_another_value_is_no_fact(fact: Any) -> None:
    with pytest.raises(ValueError, match="fact: "):
        about(fact)


def test_only_receipts_may_name_no_payment() -> None:
    with pytest.raises(ValueError, match="only receipts may name no payment"):
        attrs.evolve(about(OPEN), reference="")
    assert attrs.evolve(about(()), reference="").reference == ""


def test_a_status_is_a_status() -> None:
    wrong: Any = "PAID"
    with pytest.raises(TypeError, match="status"):
        attrs.evolve(OPEN, status=wrong)
    with pytest.raises(TypeError, match="state"):
        attrs.evolve(RECEIPT, state=wrong)


# -- objects -------------------------------------------------------------------------------------


def test_an_object_without_a_page_to_pay_at_is_one() -> None:
    created = Created(reference="cs_1", next_action=None)
    assert Found(created=created, snapshot=OPEN).created == created


@pytest.mark.parametrize("wrong", ANYTHING)
def test_the_parts_of_an_answer_have_their_classes(wrong: Any) -> None:
    remote = RemoteObject(payment_id=PAYMENT_ID, found=FOUND)
    assert ObjectPage(objects=(remote, attrs.evolve(remote, payment_id=None)), cursor="c").cursor
    makers: list[Callable[[], object]] = [
        lambda: Found(created=wrong, snapshot=OPEN),
        lambda: Found(created=CREATED, snapshot=wrong),
        lambda: ObjectPage(objects=(remote, wrong), cursor=None),
        lambda: Page(events=(EVENT, cast(Any, None), wrong), cursor=""),
        lambda: attrs.evolve(CREATED, next_action=wrong or cast(Any, 0)),
    ]
    for make in makers:
        with pytest.raises(TypeError):
            make()


@pytest.mark.parametrize("wrong", [None, [], "x"])
def test_a_page_is_a_tuple(wrong: Any) -> None:
    with pytest.raises(TypeError):
        Page(events=wrong, cursor="")
    with pytest.raises(TypeError):
        ObjectPage(objects=wrong, cursor=None)


@pytest.mark.parametrize("said", ANYTHING)
def test_other_values_are_no_event_and_no_observations(said: object) -> None:
    assert is_event(said) is (said is EVENT)
    assert is_observations(said) is (isinstance(said, Sequence) and not said)
