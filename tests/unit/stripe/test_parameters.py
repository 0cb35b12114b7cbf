"""What Stripe is asked for, and that the SDK sends just that."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from stripe_provider.currencies import MAX_UNITS
from stripe_provider.parameters import ITEMS_MAX, session_parameters
from unit.stripe.builders import (
    NOW,
    PAYMENT_ID,
    PERSONAL,
    SDK_WARNING,
    a_session,
    an_item,
    an_operation,
    answer,
    open_fake,
)

from payd.plugins import CreateOperation, InvalidRequest
from payd.providers.validation import is_json

pytestmark = pytest.mark.filterwarnings(SDK_WARNING)


def refused_field(operation: CreateOperation) -> str:
    with pytest.raises(InvalidRequest) as refused:
        session_parameters(operation)
    return refused.value.field


def success_url(return_url: str) -> str:
    url: str = session_parameters(an_operation(return_url=return_url))["success_url"]
    return url


async def forms_of(*many: Any) -> list[bytes]:
    """The bodies that leave."""
    async with open_fake(answer(a_session()), requests_per_second=1000) as (api, fake):
        for parameters in many:
            await api.create_session(parameters, "key")
    return [sent.body for sent in fake.sent]


# -- what is asked for -------------------------------------------------------------------------


def test_these_are_all_the_parameters() -> None:
    metadata = {"payment_id": str(PAYMENT_ID)}
    assert session_parameters(an_operation()) == {
        "mode": "payment",
        "allowed_payment_method_types": ["card"],
        "line_items": [
            {
                "quantity": 2,
                "price_data": {
                    "currency": "usd",
                    "unit_amount": 1000,
                    "product_data": {"name": "eth full, 30d"},
                },
            }
        ],
        "client_reference_id": str(PAYMENT_ID),
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata},
        "success_url": "https://shop.example/done?session_id={CHECKOUT_SESSION_ID}",
        "expires_at": int((NOW + timedelta(hours=1)).timestamp()),
        "adaptive_pricing": {"enabled": False},
        "submit_type": "pay",
    }


def test_equal_items_are_one_line_in_the_order_of_the_quote() -> None:
    kinds = (
        an_item(50, "b"),
        an_item(30, "a"),
        an_item(50, "b"),
        an_item(40, "b"),
        an_item(30, "a"),
    )
    lines = session_parameters(an_operation(items=kinds))["line_items"]
    found = [
        (line["quantity"], line["price_data"]["unit_amount"], line["price_data"]["product_data"])
        for line in lines
    ]
    b, a = {"name": "b full, 30d"}, {"name": "a full, 30d"}
    assert found == [(2, 50, b), (2, 30, a), (1, 40, b)]


@given(prices=st.lists(st.integers(50, 55), min_size=1, max_size=30))
def test_the_lines_come_to_the_amount(prices: list[int]) -> None:
    operation = an_operation(items=[an_item(price) for price in prices])
    lines = session_parameters(operation)["line_items"]
    total = sum(line["quantity"] * line["price_data"]["unit_amount"] for line in lines)
    assert total == operation.amount.minor_units
    assert len(lines) == len(set(prices))


@pytest.mark.parametrize("currency", ["USD", "EUR", "JPY"])
def test_currencies_are_written_in_lower_case(currency: str) -> None:
    operation = an_operation(items=[an_item(700, currency=currency)])
    (line,) = session_parameters(operation)["line_items"]
    assert line["price_data"]["currency"] == currency.lower()


def test_it_ends_when_the_payment_ends_in_whole_seconds() -> None:
    end = NOW + timedelta(minutes=31, microseconds=999_999)
    parameters = session_parameters(an_operation(expire_time=end))
    assert parameters["expires_at"] == int(NOW.timestamp()) + 31 * 60


def test_the_customer_comes_back_only_where_the_caller_said_so() -> None:
    assert "cancel_url" not in session_parameters(an_operation())
    url = "https://shop.example/back?x={y}#z"
    assert session_parameters(an_operation(cancel_url=url))["cancel_url"] == url


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("https://a.example", "https://a.example?session_id=ID"),
        ("https://a.example/", "https://a.example/?session_id=ID"),
        ("https://a.example/x?", "https://a.example/x?session_id=ID"),
        ("https://a.example/x?a=1", "https://a.example/x?a=1&session_id=ID"),
        ("https://a.example/x?a=1&a=2&b", "https://a.example/x?a=1&a=2&b&session_id=ID"),
        ("https://a.example/x#y", "https://a.example/x?session_id=ID#y"),
        ("https://a.example/x?a=1#y?z", "https://a.example/x?a=1&session_id=ID#y?z"),
        ("https://a.example/#/done", "https://a.example/?session_id=ID#/done"),
        ("https://a.example/x?a=%7Bb%7D", "https://a.example/x?a=%7Bb%7D&session_id=ID"),
        ("https://a.example/x?a={b}", "https://a.example/x?a={b}&session_id=ID"),
        ("http://localhost:8080/x;p", "http://localhost:8080/x;p?session_id=ID"),
        ("myapp://done", "myapp://done?session_id=ID"),
        ("https://a.example/ä?ö=ü", "https://a.example/ä?ö=ü&session_id=ID"),
    ],
)
def test_stripe_puts_the_sessions_id_into_the_query(given_url: str, expected: str) -> None:
    assert success_url(given_url) == expected.replace("ID", "{CHECKOUT_SESSION_ID}")


_URL_TEXT = st.text("abcXYZ019-._~%!$&'()*+,;=:@/{}", max_size=20)


@given(path=_URL_TEXT, query=_URL_TEXT, fragment=_URL_TEXT)
def test_whatever_else_the_url_holds_stays_in_its_place(
    path: str, query: str, fragment: str
) -> None:
    before = urlsplit(f"https://a.example/{path}?{query}#{fragment}")
    after = urlsplit(success_url(before.geturl()))
    marker = "session_id={CHECKOUT_SESSION_ID}"
    assert after._replace(query="") == before._replace(query="")
    assert after.query == (f"{query}&{marker}" if query else marker)


def test_nothing_personal_leaves() -> None:
    operation = an_operation(
        customer_id=PERSONAL[0], metadata={"email": PERSONAL[0], "name": PERSONAL[1]}
    )
    text = json.dumps(session_parameters(operation))
    assert not [word for word in PERSONAL if word in text]
    assert session_parameters(operation) == session_parameters(an_operation())


# -- what Stripe would refuse ------------------------------------------------------------------


def test_without_a_return_url_it_is_refused() -> None:
    assert refused_field(an_operation(return_url="")) == "return_url"


@pytest.mark.parametrize("more", [1, 10**12])
def test_more_than_twelve_digits_are_refused(more: int) -> None:
    assert refused_field(an_operation(items=[an_item(MAX_UNITS + more)])) == "items"
    halves = [an_item(MAX_UNITS), an_item(more, "other")]
    assert refused_field(an_operation(items=halves)) == "items"


def test_twelve_digits_are_not_refused() -> None:
    (line,) = session_parameters(an_operation(items=[an_item(MAX_UNITS)]))["line_items"]
    assert line["price_data"]["unit_amount"] == 999_999_999_999


def test_more_than_a_hundred_different_items_are_refused() -> None:
    kinds = [an_item(1, f"n{number}") for number in range(ITEMS_MAX + 1)]
    assert refused_field(an_operation(items=kinds)) == "items"
    assert len(session_parameters(an_operation(items=kinds[:-1] * 3))["line_items"]) == ITEMS_MAX


# -- how it leaves -----------------------------------------------------------------------------


async def test_the_sdk_sends_it_as_a_form() -> None:
    operation = an_operation(cancel_url="https://shop.example/c?a=b&c")
    (body,) = await forms_of(session_parameters(operation))
    end = int((NOW + timedelta(hours=1)).timestamp())
    price = "line_items[0][price_data]"
    assert dict(parse_qsl(body.decode(), strict_parsing=True)) == {
        "mode": "payment",
        "allowed_payment_method_types[0]": "card",
        "line_items[0][quantity]": "2",
        f"{price}[currency]": "usd",
        f"{price}[unit_amount]": "1000",
        f"{price}[product_data][name]": "eth full, 30d",
        "client_reference_id": str(PAYMENT_ID),
        "metadata[payment_id]": str(PAYMENT_ID),
        "payment_intent_data[metadata][payment_id]": str(PAYMENT_ID),
        "success_url": "https://shop.example/done?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://shop.example/c?a=b&c",
        "expires_at": str(end),
        "adaptive_pricing[enabled]": "false",
        "submit_type": "pay",
    }


async def test_key_version_and_place_leave_with_it() -> None:
    async with open_fake(answer(a_session())) as (api, fake):
        await api.create_session(session_parameters(an_operation()), "payd:1:create:v1")
    (sent,) = fake.sent
    assert (sent.method, sent.path) == ("POST", "/v1/checkout/sessions")
    assert sent.headers["idempotency-key"] == "payd:1:create:v1"
    assert sent.headers["stripe-version"] == "2026-10-28.endive"
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded"


#: PostgreSQL takes no NUL; a request with one is refused before.
_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_ITEMS = st.lists(st.builds(an_item, st.integers(50, 10**5), _NAMES), min_size=1, max_size=4)


@given(items=_ITEMS, path=_NAMES, minutes=st.integers(31, 1439))
def test_what_was_stored_as_json_leaves_as_the_same_form(
    items: list[Any], path: str, minutes: int
) -> None:
    operation = an_operation(
        items=items,
        return_url=f"https://a.example/{path}",
        cancel_url=f"https://a.example/?{path}",
        expire_time=NOW + timedelta(minutes=minutes),
    )
    parameters = session_parameters(operation)
    stored = json.loads(json.dumps(parameters, sort_keys=True))
    assert is_json(parameters)
    assert stored == parameters
    at_once, same_order, sorted_keys = trio.run(
        forms_of, parameters, json.loads(json.dumps(parameters)), stored
    )
    assert at_once == same_order
    # PostgreSQL's jsonb keeps no order of keys, and Stripe compares none.
    assert sorted(at_once.split(b"&")) == sorted(sorted_keys.split(b"&"))


def test_parameters_are_a_function_of_the_operation() -> None:
    operation = an_operation()
    first = session_parameters(operation)
    assert session_parameters(attrs.evolve(operation, parameters={"x": 1})) == first
