"""I15: a repeated request is known by its meaning, and a reused key by any other."""

from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payd.domain.money import Money
from payd.domain.payment import Customer
from payd.domain.request import InitiateRequest, Item, RefundRequest

FULL = Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")
LIGHT = Item(chain_profile_id="ethereum-mainnet", node_type="light", duration="30d")
REQUEST = InitiateRequest(
    idempotency_key="key",
    customer=Customer(id="user"),
    items=(FULL, LIGHT),
    method="card",
    metadata={"order": "1", "cart": "2"},
)
TEXT = st.text(max_size=4)
REQUESTS = st.builds(
    InitiateRequest,
    idempotency_key=TEXT,
    customer=st.builds(Customer, id=TEXT, wallet_address=TEXT, email=TEXT),
    items=st.lists(st.sampled_from([FULL, LIGHT]), max_size=3).map(tuple),
    method=TEXT,
    crypto_currency=TEXT,
    currency_code=TEXT,
    subscription_ids=st.lists(TEXT, max_size=2).map(tuple),
    return_url=TEXT,
    cancel_url=TEXT,
    metadata=st.dictionaries(TEXT, TEXT, max_size=2),
)

OTHERS: dict[str, Any] = {
    "idempotency_key": "other",
    "customer": Customer(id="user", wallet_address="0x1"),
    "items": (LIGHT, FULL),
    "method": "crypto",
    "crypto_currency": "USDC",
    "currency_code": "EUR",
    "subscription_ids": ("sub",),
    "return_url": "https://shop.example/back",
    "cancel_url": "https://shop.example/no",
    "metadata": {"order": "1", "cart": "3"},
}


#: How the price was agreed is no part of what is asked for.
AGREED: dict[str, Any] = {
    "quote_token": "token",
    "expected_total": Money(currency_code="USD", minor_units=14900),
}


def test_every_field_has_another_value_to_try() -> None:
    fields = {field.name for field in attrs.fields(InitiateRequest)}
    assert OTHERS.keys() | AGREED.keys() == fields


@pytest.mark.parametrize("field", AGREED)
def test_a_request_with_another_quote_is_the_same_request(field: str) -> None:
    other = attrs.evolve(REQUEST, **{field: AGREED[field]})
    assert other.fingerprint() == REQUEST.fingerprint()


def test_the_requests_of_stored_payments_keep_their_fingerprint() -> None:
    assert REQUEST.fingerprint().hex() == (
        "b1433832aad976d689fc1736d5896d3e35ad35d12571f1955827a8b6ddf39d0a"
    )


@pytest.mark.parametrize("field", OTHERS)
def test_a_request_that_differs_in_one_field_is_another_request(field: str) -> None:
    other = attrs.evolve(REQUEST, **{field: OTHERS[field]})
    assert other.fingerprint() != REQUEST.fingerprint()


@given(REQUESTS, REQUESTS)
def test_two_requests_have_one_fingerprint_only_when_they_are_equal(
    one: InitiateRequest, two: InitiateRequest
) -> None:
    assert (one.fingerprint() == two.fingerprint()) == (one == two)


@given(REQUESTS)
def test_a_request_said_again_has_the_same_fingerprint(request: InitiateRequest) -> None:
    backwards = dict(reversed(list(request.metadata.items())))
    assert attrs.evolve(request, metadata=backwards).fingerprint() == request.fingerprint()


def test_what_stands_in_one_field_does_not_pass_for_another() -> None:
    there = attrs.evolve(REQUEST, return_url="https://shop.example", cancel_url="")
    here = attrs.evolve(REQUEST, return_url="", cancel_url="https://shop.example")
    assert there.fingerprint() != here.fingerprint()


def test_a_fingerprint_fits_its_column() -> None:
    # SHA-256, as the column's constraint has it.
    assert len(REQUEST.fingerprint()) == 32


REFUND = RefundRequest(payment_id=UUID(int=7), idempotency_key="key")
OTHER_REFUNDS: dict[str, Any] = {
    "payment_id": UUID(int=8),
    "idempotency_key": "other",
    "amount": Money(currency_code="USD", minor_units=500),
    "reason": "broken",
    "destination": "0x1",
}


@pytest.mark.parametrize("field", OTHER_REFUNDS)
def test_a_refund_that_differs_in_one_field_is_another_refund(field: str) -> None:
    assert OTHER_REFUNDS.keys() == {field.name for field in attrs.fields(RefundRequest)}
    other = attrs.evolve(REFUND, **{field: OTHER_REFUNDS[field]})
    assert other.fingerprint() != REFUND.fingerprint() == attrs.evolve(REFUND).fingerprint()
