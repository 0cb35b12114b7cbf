"""Validate each endpoint's parameters: against the SDK's types, then by the stand-in's rules.

What Stripe does not know is refused in Stripe's words. What Stripe knows and the stand-in does not
model is refused, too, so that no caller believes that it has an effect.
"""

from typing import Any

from stripe.params import (
    BalanceRetrieveParams,
    DisputeListParams,
    DisputeRetrieveParams,
    EventListParams,
    EventRetrieveParams,
    PaymentIntentRetrieveParams,
    RefundCancelParams,
    RefundCreateParams,
    RefundListParams,
    RefundRetrieveParams,
)
from stripe.params.checkout import (
    SessionCreateParams,
    SessionExpireParams,
    SessionListParams,
    SessionRetrieveParams,
)

from stripe_provider.companion import currencies
from stripe_provider.companion.documented import parameter_problems
from stripe_provider.companion.errors import ApiError, invalid, missing, unknown
from stripe_provider.companion.form import Form
from stripe_provider.companion.rules import (
    Email,
    Fields,
    Flag,
    Integer,
    IntegerOrRange,
    Items,
    Metadata,
    Rule,
    Text,
    Url,
)

SHORTEST_S = 30 * 60
LONGEST_S = 24 * 3600

_EXPAND = Items(Text(), most=20)
_LINE_ITEM = Fields(
    {
        "price_data": Fields(
            {
                "currency": Text(),
                "unit_amount": Integer(least=0),
                "product_data": Fields({"name": Text(), "description": Text()}, ("name",)),
            },
            ("currency", "product_data", "unit_amount"),
        ),
        "quantity": Integer(least=1, most=999_999_999_999),
    },
    ("price_data", "quantity"),
)
_SESSION = Fields(
    {
        "mode": Text(),
        "line_items": Items(_LINE_ITEM, least=1),
        "success_url": Url(),
        "cancel_url": Url(),
        "client_reference_id": Text(200),
        "metadata": Metadata(),
        "payment_intent_data": Fields({"metadata": Metadata(), "description": Text(1000)}),
        "expires_at": Integer(),
        "allowed_payment_method_types": Items(Text(), least=1),
        "adaptive_pricing": Fields({"enabled": Flag()}),
        "customer_email": Email(),
        "locale": Text(),
        "submit_type": Text(),
        "expand": _EXPAND,
    },
)
_PAGE: dict[str, Rule] = {
    "limit": Integer(least=1, most=100),
    "starting_after": Text(),
    "ending_before": Text(),
    "created": IntegerOrRange(),
    "expand": _EXPAND,
}
_SESSIONS = Fields({**_PAGE, "status": Text(), "payment_intent": Text()})
_EVENTS = Fields(
    {**_PAGE, "type": Text(), "types": Items(Text(), most=20), "delivery_success": Flag()}
)
_REFUND = Fields(
    {
        "amount": Integer(least=1),
        "charge": Text(),
        "payment_intent": Text(),
        "metadata": Metadata(),
        "reason": Text(),
        "expand": _EXPAND,
    }
)
#: Of refunds or disputes.
_OF_CHARGE = Fields({**_PAGE, "charge": Text(), "payment_intent": Text()})
_ONLY_EXPAND = Fields({"expand": _EXPAND})


def create_session(form: Form, now: float) -> dict[str, Any]:
    """Validate POST /v1/checkout/sessions."""
    params = _parsed(_SESSION, form, SessionCreateParams)
    for name in ("success_url", "mode", "line_items"):
        if name not in params:
            raise missing(name)
    if params["mode"] != "payment":
        raise invalid("The stand-in only knows `payment` mode.", "mode")
    params["currency"] = _currency(params["line_items"])
    params["amount"] = _amount(params["line_items"], params["currency"])
    _check_expiry(params.get("expires_at"), int(now))
    return params


def _currency(items: list[dict[str, Any]]) -> str:
    found = set()
    for number, item in enumerate(items):
        currency = item["price_data"]["currency"].lower()
        if currency not in currencies.KNOWN:
            known = ", ".join(sorted(currencies.KNOWN))
            param = f"line_items[{number}][price_data][currency]"
            message = f"Invalid currency: {currency}. Stripe currently supports: {known}"
            raise invalid(message, param)
        found.add(currency)
    if len(found) > 1:
        message = "All line items must have the same currency."
        raise invalid(message, "line_items")
    return str(found.pop())


def _amount(items: list[dict[str, Any]], currency: str) -> int:
    total = sum(item["price_data"]["unit_amount"] * item["quantity"] for item in items)
    if total > currencies.LARGEST:
        message = (
            "The Checkout Session's total amount due must be no more than "
            f"{currencies.written(currencies.LARGEST, currency)}."
        )
        raise invalid(message, "line_items", "amount_too_large")
    if total % (step := currencies.step(currency)):
        message = f"Amounts in {currency.upper()} must be evenly divisible by {step}."
        raise invalid(message, "line_items")
    least = currencies.least_charge(currency)
    # An amount of 0 is valid; one below the minimum is not.
    if 0 < total < least:
        message = (
            "The Checkout Session's total amount due must add up to at least "
            f"{currencies.written(least, currency)}"
        )
        raise invalid(message, "line_items", "amount_too_small")
    return int(total)


def _check_expiry(expires_at: int | None, now: int) -> None:
    if expires_at is None:
        return
    if expires_at < now + SHORTEST_S:
        message = (
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation."
        )
        raise invalid(message, "expires_at")
    if expires_at > now + LONGEST_S:
        message = (
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation."
        )
        raise invalid(message, "expires_at")


def list_sessions(form: Form) -> dict[str, Any]:
    """Validate GET /v1/checkout/sessions."""
    return _one_cursor(_parsed(_SESSIONS, form, SessionListParams))


def list_events(form: Form) -> dict[str, Any]:
    """Validate GET /v1/events."""
    params = _one_cursor(_parsed(_EVENTS, form, EventListParams))
    if "type" in params and "types" in params:
        raise invalid("You may only specify one of these parameters: type, types.", "types")
    return params


def create_refund(form: Form) -> dict[str, Any]:
    """Validate POST /v1/refunds."""
    params = _parsed(_REFUND, form, RefundCreateParams)
    if "charge" not in params and "payment_intent" not in params:
        message = (
            "One of the following params should be provided for this request: payment_intent or "
            "charge."
        )
        raise ApiError(message=message, code="parameter_missing", param="charge")
    return params


def list_refunds(form: Form) -> dict[str, Any]:
    """Validate GET /v1/refunds."""
    return _one_cursor(_parsed(_OF_CHARGE, form, RefundListParams))


def list_disputes(form: Form) -> dict[str, Any]:
    """Validate GET /v1/disputes."""
    return _one_cursor(_parsed(_OF_CHARGE, form, DisputeListParams))


def retrieve_refund(form: Form) -> dict[str, Any]:
    """Validate GET /v1/refunds/ID."""
    return _parsed(_ONLY_EXPAND, form, RefundRetrieveParams)


def cancel_refund(form: Form) -> dict[str, Any]:
    """Validate POST /v1/refunds/ID/cancel."""
    return _parsed(_ONLY_EXPAND, form, RefundCancelParams)


def retrieve_dispute(form: Form) -> dict[str, Any]:
    """Validate GET /v1/disputes/ID."""
    return _parsed(_ONLY_EXPAND, form, DisputeRetrieveParams)


def retrieve_session(form: Form) -> dict[str, Any]:
    """Validate GET /v1/checkout/sessions/ID."""
    return _parsed(_ONLY_EXPAND, form, SessionRetrieveParams)


def expire_session(form: Form) -> dict[str, Any]:
    """Validate POST /v1/checkout/sessions/ID/expire."""
    return _parsed(_ONLY_EXPAND, form, SessionExpireParams)


def retrieve_intent(form: Form) -> dict[str, Any]:
    """Validate GET /v1/payment_intents/ID."""
    return _parsed(_ONLY_EXPAND, form, PaymentIntentRetrieveParams)


def retrieve_event(form: Form) -> dict[str, Any]:
    """Validate GET /v1/events/ID."""
    return _parsed(_ONLY_EXPAND, form, EventRetrieveParams)


def retrieve_balance(form: Form) -> dict[str, Any]:
    """Validate GET /v1/balance."""
    return _parsed(_ONLY_EXPAND, form, BalanceRetrieveParams)


def _parsed(rules: Fields, form: Form, documented: type) -> dict[str, Any]:
    """Return the validated values. Raises ApiError."""
    problems = parameter_problems(form, documented)
    if strangers := [one.param for one in problems if one.kind == "unknown"]:
        raise unknown(strangers)
    for one in problems:
        if one.kind == "word":
            raise invalid(f"Invalid {one.param}: {one.text}", one.param)
    return rules.parse(form, "")


def _one_cursor(params: dict[str, Any]) -> dict[str, Any]:
    if "starting_after" in params and "ending_before" in params:
        message = "You may only specify one of these parameters: ending_before, starting_after."
        raise invalid(message, "starting_after")
    return params
