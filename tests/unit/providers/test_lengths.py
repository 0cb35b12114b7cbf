"""Text from a provider has a limit: what names something is refused above it, what explains is cut."""

from typing import Any

import attrs
import pytest
from unit.providers.toys import CREATED, OPEN, START, Toy, an_operation, fenced, says

from payd.domain.evidence import (
    CODE_MAX,
    MESSAGE_MAX,
    Created,
    Declined,
    Observation,
    Outflow,
    Receipt,
    ReceiptState,
    Redirect,
    Reversal,
    Snapshot,
)
from payd.plugins import NAME_MAX, TEXT_MAX, InvalidRequest, Page, ProviderEvent
from payd.plugins import Declined as SaidDeclined
from payd.plugins.interface import ALIASES_MAX
from payd.providers.answers import answer_to_create
from payd.providers.validation import (
    check_put,
    is_created,
    is_event,
    is_observations,
    is_outflows,
    is_page,
    is_snapshot,
)

#: A character that takes four bytes, in which an index counts.
WIDE = "\U0001f4b3"
GOOD, LONG = WIDE * NAME_MAX, "x" * (NAME_MAX + 1)
RECEIPT = Receipt(id="r", asset="USD", amount=1, state=ReceiptState.CONFIRMED, time=START)


def seen(**changes: Any) -> Observation:
    return attrs.evolve(Observation(id="o", reference="p", fact=(RECEIPT,)), **changes)


@pytest.mark.parametrize("field", ["reference", "aliases"])
def test_a_name_of_an_object_is_refused_above_the_limit(field: str) -> None:
    def named(name: str) -> Created:
        value: Any = name if field == "reference" else ("short", name)
        return attrs.evolve(CREATED, **{field: value})

    assert is_created(named(GOOD))
    assert not is_created(named(LONG))


def test_an_object_has_a_limited_number_of_names() -> None:
    names = tuple(f"a{number}" for number in range(ALIASES_MAX + 1))
    assert is_created(attrs.evolve(CREATED, aliases=names[1:]))
    assert not is_created(attrs.evolve(CREATED, aliases=names))
    assert not is_snapshot(attrs.evolve(OPEN, aliases=names))
    assert not is_observations([seen(fact=Reversal(asset="USD", aliases=names))])


@pytest.mark.parametrize(
    "changes", [{"reference": LONG}, {"aliases": (LONG,)}, {"asset": LONG}], ids=str
)
def test_so_is_one_in_a_look(changes: dict[str, Any]) -> None:
    assert not is_snapshot(attrs.evolve(OPEN, **changes))


@pytest.mark.parametrize(
    "wrong",
    [
        seen(id=LONG),
        seen(reference=LONG),
        seen(fact=(attrs.evolve(RECEIPT, id=LONG),)),
        seen(fact=(attrs.evolve(RECEIPT, asset=LONG),)),
        seen(fact=(attrs.evolve(RECEIPT, details={"k": "v" * (TEXT_MAX + 1)}),)),
        seen(fact=Reversal(asset="USD", aliases=(LONG,))),
        seen(fact=attrs.evolve(OPEN, reference=LONG)),
    ],
)
def test_so_is_one_in_a_report(wrong: Observation) -> None:
    assert is_observations([seen(id=GOOD, reference=GOOD)])
    assert not is_observations([wrong])
    with pytest.raises(TypeError, match="cannot be stored"):
        check_put([wrong], [], None)


def test_so_is_one_of_an_event_a_page_or_an_outflow() -> None:
    event = ProviderEvent(id=GOOD, type="t", content={})
    out = Outflow(id=GOOD, asset="USD", amount=1, time=START)
    page = Page(events=(event,), cursor="c" * TEXT_MAX)
    assert is_event(event)
    assert is_page(page)
    assert is_outflows([out])
    assert not is_event(attrs.evolve(event, id=LONG))
    assert not is_event(attrs.evolve(event, type=LONG))
    assert not is_page(attrs.evolve(page, cursor="c" * (TEXT_MAX + 1)))
    assert not is_outflows([attrs.evolve(out, id=LONG)])
    with pytest.raises(TypeError, match="cursor"):
        check_put([], [], "c" * (TEXT_MAX + 1))


def test_so_is_a_page_to_send_the_customer_to() -> None:
    far = Redirect(url="https://a.example/" + "x" * TEXT_MAX)
    assert not is_created(attrs.evolve(CREATED, next_action=far))


async def test_a_reference_that_is_too_long_is_an_answer_that_cannot_be_read() -> None:
    async with fenced(Toy(says=says(attrs.evolve(CREATED, reference=LONG)))) as fence:
        answer = await fence.create(an_operation())
    assert [type(piece).__name__ for piece in answer.evidence] == ["OutcomeUnknown"]


def test_a_reason_is_cut() -> None:
    huge = "é" * 10**6
    snapshot = attrs.evolve(OPEN, failure_code=huge, failure_message=huge)
    declined = Declined(code=huge, message=huge)
    assert (snapshot.failure_code, snapshot.failure_message) == ("é" * CODE_MAX, "é" * MESSAGE_MAX)
    assert (declined.code, declined.message) == ("é" * CODE_MAX, "é" * MESSAGE_MAX)
    assert is_snapshot(snapshot)


@pytest.mark.parametrize(
    "said", [SaidDeclined("c", "m" * 10**6), InvalidRequest("f" * 10**6, "m" * 10**6)]
)
def test_so_is_one_that_a_caller_is_given(said: Any) -> None:
    answer = answer_to_create("toy", said)
    [piece] = answer.evidence
    assert isinstance(piece, Declined)
    assert len(piece.message) <= MESSAGE_MAX
    if isinstance(said, InvalidRequest):
        assert answer.error is not None
        assert len(str(answer.error)) <= CODE_MAX + MESSAGE_MAX + len(": ")


def test_a_reason_that_is_no_text_is_left_to_the_check() -> None:
    wrong: Any = 7
    snapshot = attrs.evolve(OPEN, failure_message=wrong)
    assert isinstance(snapshot, Snapshot)
    assert not is_snapshot(snapshot)
