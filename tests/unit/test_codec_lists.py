"""Requests for lists of payments: what is taken, and what is refused by which path."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from payd_client.lists import PaymentFilter as ClientFilter
from payd_client.lists import filter_message
from payd_client.proto import payment_pb2 as pb
from payd_client.values import Status as ClientStatus

from payd.codec.list_requests import list_attention_request, list_payments_request
from payd.codec.page_tokens import PAGE_SIZE_MAX
from payd.domain.attention import Attention
from payd.domain.errors import InvalidField, InvalidPageToken
from payd.domain.page import Position
from payd.domain.payment import Status
from payd.domain.payment_filter import PaymentFilter

NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
HERE = Position(NOON, UUID(int=7))


def parsed(**fields: Any) -> PaymentFilter:
    """The filter of ListPayments, and the same of ListAttention."""
    message = pb.PaymentFilter(**fields)
    of_payments = list_payments_request(pb.ListPaymentsRequest(filter=message)).filter
    of_attention = list_attention_request(pb.ListAttentionRequest(filter=message)).filter
    assert of_payments == of_attention
    return of_payments


def test_a_list_is_of_all_payments_unless_it_says_of_which() -> None:
    for page in (
        list_payments_request(pb.ListPaymentsRequest()),
        list_payments_request(pb.ListPaymentsRequest(filter=pb.PaymentFilter())),
        list_attention_request(pb.ListAttentionRequest()),
    ):
        assert (page.filter, page.after, page.size) == (PaymentFilter(), None, 50)


def test_a_filter_arrives_as_the_client_sent_it() -> None:
    sent = ClientFilter(
        customer_id="c" * 128,
        email="ann@example.org",
        statuses=[ClientStatus.FAILED, ClientStatus.EXPIRED],
        methods=["card"],
        providers=["stripe", "tempo"],
        attention=["UNDERPAID"],
        subscription_id="sub-1",
        reference="r" * 512,
        metadata=("order", ""),
        create_time_from=NOON,
        create_time_before=datetime.max.replace(tzinfo=UTC),
        min_minor_units=1,
        max_minor_units=2**63 - 1,
        currency_code="USD",
    )
    request = pb.ListPaymentsRequest(filter=filter_message(sent), page_size=200)
    page = list_payments_request(pb.ListPaymentsRequest.FromString(request.SerializeToString()))
    assert page.size == 200
    assert page.filter == PaymentFilter(
        customer_id="c" * 128,
        email="ann@example.org",
        statuses=frozenset({Status.FAILED, Status.EXPIRED}),
        methods=frozenset({"card"}),
        providers=frozenset({"stripe", "tempo"}),
        attention=frozenset({Attention.UNDERPAID}),
        subscription_id="sub-1",
        reference="r" * 512,
        metadata=("order", ""),
        create_time_from=NOON,
        create_time_before=datetime.max.replace(tzinfo=UTC),
        min_minor_units=1,
        max_minor_units=2**63 - 1,
        currency_code="USD",
    )


def test_the_client_refuses_a_time_without_a_zone() -> None:
    with pytest.raises(ValueError, match="create_time_from needs a time zone"):
        filter_message(ClientFilter(create_time_from=NOON.replace(tzinfo=None)))


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"customer_id": "c" * 129}, "customer_id"),
        ({"customer_id": "two words"}, "customer_id"),
        ({"email": "e" * 255}, "email"),
        ({"email": "a\0@b"}, "email"),
        ({"statuses": [pb.PAYMENT_STATUS_FAILED, 0]}, "statuses[1]"),
        ({"statuses": [99]}, "statuses[0]"),
        ({"methods": ["card", ""]}, "methods[1]"),
        ({"methods": ["m" * 65]}, "methods[0]"),
        ({"methods": ["card"] * 21}, "methods"),
        ({"providers": ["a b"]}, "providers[0]"),
        ({"providers": ["p"] * 21}, "providers"),
        ({"attention": ["UNDERPAID", "TIRED"]}, "attention[1]"),
        ({"subscription_id": "s" * 129}, "subscription_id"),
        ({"reference": "r" * 513}, "reference"),
        ({"reference": "a\nb"}, "reference"),
        ({"metadata": pb.MetadataPair()}, "metadata.key"),
        ({"metadata": pb.MetadataPair(key="k" * 65)}, "metadata.key"),
        ({"metadata": pb.MetadataPair(key="k", value="v" * 513)}, "metadata.value"),
        ({"metadata": pb.MetadataPair(key="k", value="a\0b")}, "metadata.value"),
        ({"create_time_from": Timestamp(seconds=2**62)}, "create_time_from"),
        ({"create_time_from": Timestamp(seconds=-(2**40))}, "create_time_from"),
        ({"create_time_before": Timestamp(nanos=-1)}, "create_time_before"),
        ({"create_time_before": Timestamp(nanos=10**9)}, "create_time_before"),
        ({"min_minor_units": -1}, "min_minor_units"),
        ({"max_minor_units": -1}, "max_minor_units"),
        ({"currency_code": "usd"}, "currency_code"),
        ({"currency_code": "USDC"}, "currency_code"),
    ],
)
def test_a_wrong_field_of_a_filter_is_refused_by_its_path(
    fields: dict[str, Any], path: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        parsed(**fields)
    assert refused.value.field == f"filter.{path}"


@pytest.mark.parametrize("size", [-1, 201])
def test_a_wrong_size_of_a_page_is_refused(size: int) -> None:
    for parse in (
        lambda: list_payments_request(pb.ListPaymentsRequest(page_size=size)),
        lambda: list_attention_request(pb.ListAttentionRequest(page_size=size)),
    ):
        with pytest.raises(InvalidField) as refused:
            parse()
        assert refused.value.field == "page_size"


def test_a_page_token_is_good_for_the_same_list_only() -> None:
    wanted = pb.PaymentFilter(
        customer_id="user-1", statuses=["PAYMENT_STATUS_CREATING", "PAYMENT_STATUS_FAILED"]
    )
    token = list_payments_request(pb.ListPaymentsRequest(filter=wanted)).token_of(HERE)
    turned = pb.PaymentFilter(
        customer_id="user-1", statuses=["PAYMENT_STATUS_FAILED", "PAYMENT_STATUS_CREATING"]
    )
    again = pb.ListPaymentsRequest(filter=turned, page_token=token, page_size=7)
    assert list_payments_request(again).after == HERE
    others: list[Callable[[], object]] = [
        lambda: list_payments_request(pb.ListPaymentsRequest(page_token=token)),
        lambda: list_attention_request(pb.ListAttentionRequest(filter=wanted, page_token=token)),
    ]
    for other in others:
        with pytest.raises(InvalidPageToken, match="another request"):
            other()


ANY_TEXT = st.one_of(st.text(max_size=20), st.text(min_size=500, max_size=600))
ANY_INT = st.integers(-(2**31), 2**31 - 1)
ANY_UNITS = st.integers(-(2**63), 2**63 - 1)
ANY_TIME = st.one_of(
    st.none(), st.builds(Timestamp, seconds=ANY_UNITS, nanos=ANY_INT), st.builds(Timestamp)
)


@given(
    st.builds(
        pb.PaymentFilter,
        customer_id=ANY_TEXT,
        email=ANY_TEXT,
        statuses=st.lists(st.one_of(ANY_INT, st.integers(0, 9)), max_size=3),
        methods=st.lists(ANY_TEXT, max_size=3),
        providers=st.lists(ANY_TEXT, max_size=3),
        attention=st.lists(
            st.one_of(ANY_TEXT, st.sampled_from([one.value for one in Attention])), max_size=3
        ),
        subscription_id=ANY_TEXT,
        reference=ANY_TEXT,
        metadata=st.one_of(st.none(), st.builds(pb.MetadataPair, key=ANY_TEXT, value=ANY_TEXT)),
        create_time_from=ANY_TIME,
        create_time_before=ANY_TIME,
        min_minor_units=ANY_UNITS,
        max_minor_units=ANY_UNITS,
        currency_code=st.one_of(ANY_TEXT, st.just("USD")),
    ),
    ANY_INT,
    ANY_TEXT,
)
def test_every_request_for_a_list_is_taken_or_refused_by_a_field(
    message: pb.PaymentFilter, size: int, token: str
) -> None:
    request = pb.ListPaymentsRequest(filter=message, page_size=size, page_token=token)
    try:
        page = list_payments_request(request)
    except InvalidPageToken:
        return
    except InvalidField as refused:
        name = refused.field.removeprefix("filter.").partition("[")[0].partition(".")[0]
        assert name == "page_size" or name in message.DESCRIPTOR.fields_by_name
        return
    assert 1 <= page.size <= PAGE_SIZE_MAX
    assert page.filter.reference == message.reference
