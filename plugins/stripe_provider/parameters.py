"""Parameters of a Checkout session. Pure: computed once, stored, sent at every attempt.

docs.stripe.com/api/checkout/sessions/create
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from payd.plugins import CreateOperation, InvalidRequest, LineItem
from stripe_provider.currencies import check_chargeable, to_stripe

#: Placeholder that Stripe replaces with the session's id.
SESSION_ID = "{CHECKOUT_SESSION_ID}"
ITEMS_MAX = 100


def session_parameters(operation: CreateOperation) -> Mapping[str, Any]:
    """Compute all parameters. Raises InvalidRequest for values that Stripe would refuse."""
    if not operation.return_url:
        raise InvalidRequest("return_url", "is required: a card payment leaves your pages")
    check_chargeable(operation.items, operation.amount)
    metadata = {"payment_id": str(operation.payment_id)}
    parameters: dict[str, Any] = {
        "mode": "payment",
        # Other methods, such as bank debits or stablecoins, settle by other rules.
        "allowed_payment_method_types": ["card"],
        "line_items": _line_items(operation.items),
        "client_reference_id": str(operation.payment_id),
        "metadata": metadata,
        # Stripe copies it to the charge, whose events report refunds.
        "payment_intent_data": {"metadata": metadata},
        "success_url": _with_session_id(operation.return_url),
        "expires_at": int(operation.expire_time.timestamp()),
        # Otherwise Stripe may charge customers in currencies that were never quoted.
        "adaptive_pricing": {"enabled": False},
        "submit_type": "pay",
    }
    if operation.cancel_url:
        parameters["cancel_url"] = operation.cancel_url
    return parameters


def in_order(value: Any) -> Any:
    """The same parameters in one order: a database gives objects back in an order of its own.

    Stripe does not say that a repeated request may differ in it.
    """
    if isinstance(value, Mapping):
        return {key: in_order(value[key]) for key in sorted(value)}
    return [in_order(one) for one in value] if isinstance(value, list) else value


def _line_items(items: Sequence[LineItem]) -> list[Mapping[str, Any]]:
    """Merge equal items into one line with a quantity, in the order of the quote."""
    counted = Counter(items)
    if len(counted) > ITEMS_MAX:
        raise InvalidRequest("items", f"at most {ITEMS_MAX} different items are allowed")
    return [_line(item, quantity) for item, quantity in counted.items()]


def _line(item: LineItem, quantity: int) -> Mapping[str, Any]:
    return {
        "quantity": quantity,
        "price_data": {
            "currency": item.unit_price.currency_code.lower(),
            "unit_amount": to_stripe(item.unit_price),
            "product_data": {"name": f"{item.chain_profile_id} {item.node_type}, {item.duration}"},
        },
    }


def _with_session_id(url: str) -> str:
    """Add the session id to a URL. The braces must stay unescaped for Stripe to find them."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, f"session_id={SESSION_ID}")))
    return parts._replace(query=query).geturl()
