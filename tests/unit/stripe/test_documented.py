"""The check against the SDK's types finds every difference, and accepts Stripe's examples."""

from typing import Any

import pytest
from stripe.params.checkout import SessionCreateParams, SessionListParams
from stripe_provider.companion.documented import error_problems, object_problems, parameter_problems
from unit.stripe.builders import a_charge, a_dispute, a_session, an_event, an_intent, fixture

PRICE = {"currency": "usd", "unit_amount": "1000", "product_data": {"name": "Node"}}
CREATE: dict[str, Any] = {
    "mode": "payment",
    "success_url": "https://shop.example",
    "line_items": {"0": {"price_data": PRICE, "quantity": "2"}},
    "allowed_payment_method_types": {"0": "card"},
    "metadata": {"anything": "goes"},
    "expires_at": "1790000000",
    "adaptive_pricing": {"enabled": "false"},
}


def create_problems(**changes: Any) -> set[tuple[str, str]]:
    found = parameter_problems({**CREATE, **changes}, SessionCreateParams)
    return {(one.param, one.kind) for one in found}


def problems(body: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one.param, one.kind) for one in object_problems(body)}


@pytest.mark.parametrize(
    "name",
    [
        "balance",
        "balance_transaction",
        "charge",
        "checkout.session",
        "payment_intent",
        "refund",
    ],
)
def test_stripes_own_examples_are_as_documented(name: str) -> None:
    assert problems(fixture(name)) == set()


def test_an_example_that_is_older_than_the_pinned_version_shows_its_age() -> None:
    # The published event carries a plan of an earlier version, and the dispute lacks a newer field.
    assert problems(fixture("event")) == {("event[data][object][aggregate_usage]", "unknown")}
    assert problems(fixture("dispute")) == {
        ("dispute[evidence_details][submission_method]", "missing")
    }


def test_a_good_request_has_no_problem() -> None:
    assert create_problems() == set()
    moment = parameter_problems({"created": "1790000000", "limit": "3"}, SessionListParams)
    assert moment == parameter_problems({"created": {"gte": "1"}}, SessionListParams) == []


@pytest.mark.parametrize(
    ("changes", "param", "kind"),
    [
        ({"payment_method_types": {"0": "card"}}, "payment_method_types", "unknown"),
        ({"idempotency_key": "k"}, "idempotency_key", "unknown"),
        ({"adaptive_pricing": {"on": "true"}}, "adaptive_pricing[on]", "unknown"),
        ({"mode": "cash"}, "mode", "word"),
        (
            {"allowed_payment_method_types": {"0": "card", "1": "cash"}},
            "allowed_payment_method_types[1]",
            "word",
        ),
        ({"expires_at": "soon"}, "expires_at", "type"),
        ({"adaptive_pricing": {"enabled": "no"}}, "adaptive_pricing[enabled]", "type"),
        ({"adaptive_pricing": "off"}, "adaptive_pricing", "type"),
        ({"line_items": "one"}, "line_items", "type"),
        (
            {"line_items": {"0": {"price_data": {"unit_amount": "1"}, "quantity": "1"}}},
            "line_items[0][price_data][currency]",
            "missing",
        ),
        (
            {"line_items": {"0": {"price_data": {**PRICE, "vat": "1"}, "quantity": "1"}}},
            "line_items[0][price_data][vat]",
            "unknown",
        ),
    ],
)
def test_a_wrong_parameter_is_found(changes: dict[str, Any], param: str, kind: str) -> None:
    assert create_problems(**changes) == {(param, kind)}


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


@pytest.mark.parametrize(
    ("body", "param", "kind"),
    [
        (a_session(payment_methods=[]), "checkout.session[payment_methods]", "unknown"),
        (a_session(created=None), "checkout.session[created]", "null"),
        (a_session(created="1"), "checkout.session[created]", "type"),
        (a_session(livemode=1), "checkout.session[livemode]", "type"),
        (a_session(status="done"), "checkout.session[status]", "word"),
        (
            without(a_session(), "payment_method_types"),
            "checkout.session[payment_method_types]",
            "missing",
        ),
        (
            a_session(automatic_tax={"enabled": True, "rate": 1}),
            "checkout.session[automatic_tax][rate]",
            "unknown",
        ),
        (
            a_session(payment_method_types=["card", 7]),
            "checkout.session[payment_method_types][1]",
            "type",
        ),
        (
            a_session(payment_intent=an_intent("succeeded", amount=None)),
            "checkout.session[payment_intent][amount]",
            "null",
        ),
        (a_charge(object="cheque"), "cheque", "unknown"),
        (a_charge(metadata={"a": 1}), "charge[metadata][a]", "type"),
        (
            an_event("charge.refunded", a_charge(amount=None)),
            "event[data][object][amount]",
            "null",
        ),
    ],
)  # fmt: skip
def test_a_wrong_field_is_found(body: dict[str, Any], param: str, kind: str) -> None:
    assert problems(body) == {(param, kind)}


def test_each_member_of_a_list_is_looked_at() -> None:
    page = {"object": "list", "url": "/v1/x", "has_more": False}
    members = [a_session(), a_dispute(reason=None)]
    found = problems({**page, "data": members})
    assert ("list[data][1][reason]", "null") in found
    assert problems({**page, "data": members[:1]}) == set()
    assert problems({**without(page, "url"), "data": []}) == {("list[url]", "missing")}
    assert problems({**page, "object": "list", "data": [], "total": 1}) == {
        ("list[total]", "unknown")
    }


def test_errors_are_looked_at() -> None:
    error = {"type": "invalid_request_error", "message": "m", "param": "p", "code": "c"}
    assert error_problems({"error": error}) == []
    [problem] = error_problems({"error": {**error, "reason": "r"}})
    assert (problem.param, problem.kind) == ("error[reason]", "unknown")
    [problem] = error_problems({"error": {"message": "m"}})
    assert (problem.param, problem.kind) == ("error[type]", "missing")
