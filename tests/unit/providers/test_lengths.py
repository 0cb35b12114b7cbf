"""Text from a provider has a limit: a longer identifier is refused, a longer explanation is cut."""

from typing import Any

import attrs
import pytest
from unit.providers.toys import CREATED, OPEN, START, Toy, an_operation, fenced, says

from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import Declined, Observation, Outflow, Receipt, ReceiptState
from payd.domain.next_action import CryptoTransfer, Redirect
from payd.domain.refund import RefundSnapshot, RefundState
from payd.domain.text import ALIASES_MAX, CODE_MAX, MESSAGE_MAX
from payd.plugins import NAME_MAX, TEXT_MAX, InvalidRequest, Page, ProviderEvent
from payd.plugins import Declined as SaidDeclined
from payd.providers.answers import answer_to_create
from payd.providers.validation import check_put

#: A character that takes four bytes, in which an index counts.
WIDE = "\U0001f4b3"
GOOD, LONG = WIDE * NAME_MAX, "x" * (NAME_MAX + 1)
RECEIPT = Receipt(id="r", asset="USD", amount=1, state=ReceiptState.CONFIRMED, time=START)
SEEN = Observation(id="o", reference="p", fact=(RECEIPT,))
GONE = Outflow(id="out", asset="USD", amount=1, time=START)
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
EVENT = ProviderEvent(id="e", type="t", content={})
TRANSFER = CryptoTransfer(
    currency="USDC",
    chain_id=1,
    token_address="0x1",
    receiver_address="0x2",
    amount_base_units=1,
    decimals=6,
    memo="0x",
    calldata="0x",
    payment_uri="",
)
#: Every name of every value.
NAMES: list[tuple[Any, str]] = [
    (CREATED, "reference"),
    (OPEN, "asset"),
    (OPEN, "reference"),
    (SEEN, "id"),
    (SEEN, "reference"),
    (RECEIPT, "id"),
    (RECEIPT, "asset"),
    (GONE, "id"),
    (GONE, "asset"),
    *((REFUND, field) for field in ("reference", "asset")),
    *((DISPUTE, field) for field in ("id", "asset")),
    (EVENT, "id"),
    (EVENT, "type"),
]
#: Other text.
TEXTS: list[tuple[Any, str]] = [
    (Redirect(url="https://a.example"), "url"),
    (Page(events=(), cursor=""), "cursor"),
    *((TRANSFER, field) for field in ("currency", "token_address", "receiver_address")),
    *((TRANSFER, field) for field in ("memo", "calldata", "payment_uri")),
]
#: No database takes the first two as text; the others are none.
NO_TEXT: list[Any] = ["\0", "\ud800", 1, b"x", ["x"]]


def with_value(value: Any, field: str, wrong: object) -> Any:
    return attrs.evolve(value, **{field: wrong})


@pytest.mark.parametrize(("value", "field"), NAMES)
def test_a_name_is_refused_above_the_limit(value: Any, field: str) -> None:
    assert getattr(with_value(value, field, GOOD), field) == GOOD
    with pytest.raises(ValueError, match=f"{field}: must be text of . to {NAME_MAX} characters"):
        with_value(value, field, LONG)


@pytest.mark.parametrize(("value", "field"), TEXTS)
def test_other_text_is_refused_above_its_limit(value: Any, field: str) -> None:
    assert with_value(value, field, "x" * TEXT_MAX)
    with pytest.raises(ValueError, match=f"{field}: must be text"):
        with_value(value, field, "x" * (TEXT_MAX + 1))


@pytest.mark.parametrize(("value", "field"), [*NAMES, *TEXTS])
def test_text_that_cannot_be_stored_is_refused(value: Any, field: str) -> None:
    for wrong in NO_TEXT:
        with pytest.raises(ValueError, match=f"{field}: must be text"):
            with_value(value, field, wrong)


@pytest.mark.parametrize("value", [CREATED, RECEIPT, GONE, EVENT])
def test_what_must_have_a_name_has_one(value: Any) -> None:
    with pytest.raises(ValueError, match="must be text of 1 to"):
        with_value(value, "reference" if value is CREATED else "id", "")


def test_an_object_has_a_limited_number_of_names() -> None:
    names = tuple(f"a{number}" for number in range(ALIASES_MAX + 1))
    for value in (CREATED, OPEN, REFUND, DISPUTE):
        assert with_value(value, "aliases", names[1:])
        for wrong in (names, ("\0",), (LONG,), (None,), ["a"], None):
            with pytest.raises((TypeError, ValueError), match="aliases"):
                with_value(value, "aliases", wrong)


def test_details_are_text_by_text() -> None:
    for value in (RECEIPT, GONE):
        assert with_value(value, "details", {"k": "v" * TEXT_MAX})
        for wrong in ({"k": "v" * (TEXT_MAX + 1)}, {1: "v"}, {"k": 1.5}, {"k": "\0"}, None):
            with pytest.raises((TypeError, ValueError), match="details"):
                with_value(value, "details", wrong)


def test_so_is_a_cursor_that_a_watch_puts() -> None:
    check_put([], [], "c" * TEXT_MAX)
    with pytest.raises(TypeError, match="cursor"):
        check_put([], [], "c" * (TEXT_MAX + 1))


async def test_a_reference_that_is_too_long_is_an_answer_that_cannot_be_read() -> None:
    async def say(_: object) -> object:
        return attrs.evolve(CREATED, reference=LONG)

    async with fenced(Toy(says=say)) as fence:
        answer = await fence.create(an_operation())
    assert [type(piece).__name__ for piece in answer.evidence] == ["OutcomeUnknown"]


async def test_a_subclass_is_an_answer_that_cannot_be_read() -> None:
    class Unchecked(type(CREATED)):  # type: ignore[misc]
        def __init__(self) -> None:
            """Skip the validators."""

    async with fenced(Toy(says=says(Unchecked()))) as fence:
        answer = await fence.create(an_operation())
    assert [type(piece).__name__ for piece in answer.evidence] == ["OutcomeUnknown"]


def test_a_reason_is_cut() -> None:
    huge = "é" * 10**6
    snapshot = attrs.evolve(OPEN, failure_code=huge, failure_message=huge)
    declined = Declined(code=huge, message=huge)
    assert (snapshot.failure_code, snapshot.failure_message) == ("é" * CODE_MAX, "é" * MESSAGE_MAX)
    assert (declined.code, declined.message) == ("é" * CODE_MAX, "é" * MESSAGE_MAX)


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


@pytest.mark.parametrize("field", ["failure_code", "failure_message"])
def test_a_reason_that_is_no_text_is_refused(field: str) -> None:
    for wrong in NO_TEXT:
        with pytest.raises(ValueError, match=f"{field}: must be text"):
            with_value(OPEN, field, wrong)
