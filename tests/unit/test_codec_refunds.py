"""Requests about refunds and attention: what is taken, and what is refused by which path."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payd_client.proto import payment_pb2 as pb

from payd.codec import refund_requests
from payd.codec.attention_requests import resolve_request
from payd.codec.page_tokens import PAGE_SIZE_MAX
from payd.domain.attention import Attention
from payd.domain.errors import InvalidField, InvalidPageToken
from payd.domain.money import MINOR_UNITS_MAX, Money
from payd.domain.page import Position
from payd.domain.refund import RefundStatus
from payd.domain.request import RefundFilter, RefundRequest, ResolveRequest

M = TypeVar("M")
T = TypeVar("T")

PAYMENT_ID = UUID(int=7)
ALL = RefundFilter()
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEN_USD = pb.Money(currency_code="USD", minor_units=1000)


def a_refund(**overrides: Any) -> pb.RefundPaymentRequest:
    fields: dict[str, Any] = {"payment_id": str(PAYMENT_ID), "idempotency_key": "key-1"}
    return pb.RefundPaymentRequest(**(fields | overrides))


def a_resolution(**overrides: Any) -> pb.ResolveAttentionRequest:
    fields: dict[str, Any] = {"payment_id": str(PAYMENT_ID), "note": "asked the customer"}
    return pb.ResolveAttentionRequest(**(fields | overrides))


# -- RefundPayment -----------------------------------------------------------------------------


def test_a_refund_without_an_amount_is_of_all_that_is_left() -> None:
    assert refund_requests.refund_request(a_refund()) == RefundRequest(
        payment_id=PAYMENT_ID, idempotency_key="key-1"
    )


def test_a_refund_arrives_as_it_was_sent_at_each_limit() -> None:
    most = pb.Money(currency_code="USD", minor_units=MINOR_UNITS_MAX)
    message = a_refund(
        idempotency_key="k" * 255, amount=most, reason="é" * 500, destination="d" * 512
    )
    assert refund_requests.refund_request(message) == RefundRequest(
        payment_id=PAYMENT_ID,
        idempotency_key="k" * 255,
        amount=Money(currency_code="USD", minor_units=MINOR_UNITS_MAX),
        reason="é" * 500,
        destination="d" * 512,
    )


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"payment_id": ""}, "payment_id"),
        ({"payment_id": "7"}, "payment_id"),
        ({"payment_id": PAYMENT_ID.urn}, "payment_id"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "k" * 256}, "idempotency_key"),
        ({"idempotency_key": "two words"}, "idempotency_key"),
        ({"amount": pb.Money()}, "amount.currency_code"),
        ({"amount": pb.Money(currency_code="$", minor_units=1)}, "amount.currency_code"),
        ({"amount": pb.Money(currency_code="USD")}, "amount.minor_units"),
        ({"amount": pb.Money(currency_code="USD", minor_units=-1)}, "amount.minor_units"),
        ({"reason": "r" * 501}, "reason"),
        ({"reason": "a\0b"}, "reason"),
        ({"destination": "d" * 513}, "destination"),
        ({"destination": "a\nb"}, "destination"),
    ],
)
def test_a_wrong_field_of_a_refund_is_refused_by_its_path(
    overrides: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        refund_requests.refund_request(a_refund(**overrides))
    assert refused.value.field == field


@pytest.mark.parametrize("value", ["", "7", "0" * 32, f"{{{UUID(int=7)}}}"])
def test_a_refund_id_must_be_a_uuid(value: str) -> None:
    with pytest.raises(InvalidField) as refused:
        refund_requests.refund_id(value)
    assert refused.value.field == "refund_id"


@pytest.mark.parametrize("value", ["n" * 501, "a\0b", "a\x1bb"])
def test_a_note_is_short_text(value: str) -> None:
    with pytest.raises(InvalidField) as refused:
        refund_requests.note(value)
    assert refused.value.field == "note"
    assert refund_requests.note("n" * 500) == "n" * 500


# -- ListRefunds -------------------------------------------------------------------------------


def test_a_list_is_of_all_refunds_unless_it_says_of_which() -> None:
    page = refund_requests.list_request(pb.ListRefundsRequest())
    assert (page.filter, page.after, page.size) == (ALL, None, 50)
    page = refund_requests.list_request(
        pb.ListRefundsRequest(
            payment_id=str(PAYMENT_ID),
            statuses=[pb.REFUND_STATUS_FAILED, pb.REFUND_STATUS_CREATING],
            page_size=200,
        )
    )
    statuses = frozenset({RefundStatus.FAILED, RefundStatus.CREATING})
    assert page.filter == RefundFilter(payment_id=PAYMENT_ID, statuses=statuses)
    assert page.size == 200


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"payment_id": "7"}, "payment_id"),
        ({"statuses": [pb.REFUND_STATUS_FAILED, 0]}, "statuses[1]"),
        ({"statuses": [99]}, "statuses[0]"),
        ({"page_size": 201}, "page_size"),
        ({"page_size": -1}, "page_size"),
    ],
)
def test_a_wrong_field_of_a_list_is_refused_by_its_path(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        refund_requests.list_request(pb.ListRefundsRequest(**fields))
    assert refused.value.field == field


def test_the_page_token_of_another_list_of_refunds_is_refused() -> None:
    page = refund_requests.list_request(pb.ListRefundsRequest(payment_id=str(PAYMENT_ID)))
    position = Position(NOON, UUID(int=3))
    request = pb.ListRefundsRequest(
        payment_id=str(PAYMENT_ID), page_token=page.token_of(position), page_size=7
    )
    assert refund_requests.list_request(request).after == position
    for other in (
        pb.ListRefundsRequest(page_token=request.page_token),
        pb.ListRefundsRequest(
            payment_id=str(PAYMENT_ID),
            statuses=[pb.REFUND_STATUS_FAILED],
            page_token=request.page_token,
        ),
    ):
        with pytest.raises(InvalidPageToken, match="another request"):
            refund_requests.list_request(other)


# -- ResolveAttention --------------------------------------------------------------------------


def test_a_resolution_is_of_all_open_reasons_unless_it_names_some() -> None:
    assert resolve_request(a_resolution()) == ResolveRequest(
        payment_id=PAYMENT_ID, note="asked the customer"
    )
    named = resolve_request(a_resolution(reasons=["UNDERPAID", "STUCK"], expected_version=3))
    assert named.reasons == {Attention.UNDERPAID, Attention.STUCK}
    assert named.expected_version == 3


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"payment_id": ""}, "payment_id"),
        ({"reasons": ["UNDERPAID", "TIRED"]}, "reasons[1]"),
        ({"reasons": ["underpaid"]}, "reasons[0]"),
        ({"note": "n" * 501}, "note"),
        ({"expected_version": -1}, "expected_version"),
    ],
)
def test_a_wrong_field_of_a_resolution_is_refused_by_its_path(
    overrides: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        resolve_request(a_resolution(**overrides))
    assert refused.value.field == field


# -- whatever is sent --------------------------------------------------------------------------

ANY_TEXT = st.one_of(st.text(max_size=20), st.text(min_size=500, max_size=600))
ANY_AMOUNT = st.builds(
    pb.Money, currency_code=ANY_TEXT, minor_units=st.integers(-(2**63), 2**63 - 1)
)
ANY_ID = st.one_of(ANY_TEXT, st.uuids().map(str))
ANY_INT = st.integers(-(2**31), 2**31 - 1)


def taken_or_field(parse: Callable[[M], T], message: M) -> T | str:
    """The value of a request, or the path of the field for which it is refused."""
    try:
        return parse(message)
    except InvalidField as refused:
        return refused.field


@given(
    st.builds(
        pb.RefundPaymentRequest,
        payment_id=ANY_ID,
        amount=st.one_of(st.none(), ANY_AMOUNT),
        idempotency_key=ANY_TEXT,
        reason=ANY_TEXT,
        destination=ANY_TEXT,
    )
)
def test_every_request_for_a_refund_is_taken_or_refused_by_a_field(
    message: pb.RefundPaymentRequest,
) -> None:
    taken = taken_or_field(refund_requests.refund_request, message)
    if isinstance(taken, str):
        assert taken.partition(".")[0] in message.DESCRIPTOR.fields_by_name
        return
    assert taken.idempotency_key == message.idempotency_key
    assert str(taken.payment_id) == message.payment_id.lower()
    assert taken.fingerprint() == refund_requests.refund_request(message).fingerprint()


@given(
    st.builds(
        pb.ListRefundsRequest,
        payment_id=st.one_of(st.just(""), ANY_ID),
        statuses=st.lists(ANY_INT, max_size=3),
        page_size=ANY_INT,
        page_token=ANY_TEXT,
    )
)
def test_every_request_for_a_list_is_taken_or_refused(message: pb.ListRefundsRequest) -> None:
    try:
        page = refund_requests.list_request(message)
    except (InvalidField, InvalidPageToken):
        return
    assert 1 <= page.size <= PAGE_SIZE_MAX


@given(
    st.builds(
        pb.ResolveAttentionRequest,
        payment_id=ANY_ID,
        reasons=st.lists(
            st.one_of(ANY_TEXT, st.sampled_from([one.value for one in Attention])), max_size=3
        ),
        note=ANY_TEXT,
        expected_version=ANY_INT,
    )
)
def test_every_resolution_is_taken_or_refused_by_a_field(
    message: pb.ResolveAttentionRequest,
) -> None:
    taken = taken_or_field(resolve_request, message)
    if isinstance(taken, str):
        assert taken.partition("[")[0] in message.DESCRIPTOR.fields_by_name
        return
    assert {reason.value for reason in taken.reasons} == set(message.reasons)
