"""A session's parameters, from what was quoted. Pure: made once, stored, sent at every try.

docs.stripe.com/api/checkout/sessions/create
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from payd.plugins import CreateOperation, InvalidRequest, LineItem
from stripe_provider.currencies import check_chargeable, to_stripe

#: Stripe puts the session's id in its place.
SESSION_ID = "{CHECKOUT_SESSION_ID}"
ITEMS_MAX = 100


def session_parameters(operation: CreateOperation) -> Mapping[str, Any]:
    """All of them. Raises InvalidRequest for what Stripe is known to refuse."""
    if not operation.return_url:
        raise InvalidRequest("return_url", "is needed: a card payment leaves your pages")
    check_chargeable(operation.items, operation.amount)
    metadata = {"payment_id": str(operation.payment_id)}
    parameters: dict[str, Any] = {
        "mode": "payment",
        # Others, such as a bank debit or stablecoins, settle by other rules.
        "allowed_payment_method_types": ["card"],
        "line_items": _line_items(operation.items),
        "client_reference_id": str(operation.payment_id),
        "metadata": metadata,
        # Copied to the charge, where refunds are reported.
        "payment_intent_data": {"metadata": metadata},
        "success_url": _with_session_id(operation.return_url),
        "expires_at": int(operation.expire_time.timestamp()),
        # Else customers pay amounts in currencies that were never quoted.
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
    """Equal items are one line with a quantity, in the order of the quote."""
    counted = Counter(items)
    if len(counted) > ITEMS_MAX:
        raise InvalidRequest("items", f"at most {ITEMS_MAX} different ones")
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
    """The braces must stay as they are: Stripe looks for them."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, f"session_id={SESSION_ID}")))
    return parts._replace(query=query).geturl()
