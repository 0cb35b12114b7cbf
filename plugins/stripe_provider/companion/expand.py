"""Expansion: replace an object's id by the object, where the request asks for it."""

from collections.abc import Sequence

from stripe_provider.companion.account import Account
from stripe_provider.companion.errors import ApiError
from stripe_provider.companion.objects import (
    BALANCE_TRANSACTION,
    CHARGE,
    DISPUTE,
    PAYMENT_INTENT,
    REFUND,
    SESSION,
    Json,
)

#: docs.stripe.com/expand: the most steps of one path, `data` of a list among them.
_STEPS_MAX = 4
#: Refunds that a charge has inside; the others are listed by themselves.
_INSIDE_MAX = 10

#: Expandable fields → kind of object; None where the stand-in never has one.
_FIELDS: dict[str, dict[str, str | None]] = {
    SESSION: {
        "payment_intent": PAYMENT_INTENT,
        "line_items": "line_items",
        **dict.fromkeys(("customer", "invoice", "payment_link", "setup_intent", "subscription")),
    },
    PAYMENT_INTENT: {
        "latest_charge": CHARGE,
        **dict.fromkeys(("application", "customer", "on_behalf_of", "payment_method", "review")),
    },
    CHARGE: {
        "balance_transaction": BALANCE_TRANSACTION,
        "payment_intent": PAYMENT_INTENT,
        "refunds": "refunds",
        **dict.fromkeys(("application", "customer", "review")),
    },
    REFUND: {
        "balance_transaction": BALANCE_TRANSACTION,
        "charge": CHARGE,
        "failure_balance_transaction": BALANCE_TRANSACTION,
        "payment_intent": PAYMENT_INTENT,
        **dict.fromkeys(("customer", "payment_method")),
    },
    DISPUTE: {"charge": CHARGE, "payment_intent": PAYMENT_INTENT},
}


def check(kind: str, paths: Sequence[str], prefix: str = "") -> None:
    """Raises ApiError unless objects of this kind have these expandable fields."""
    for path in paths:
        if len(path.split(".")) > _STEPS_MAX:
            message = f"You cannot expand more than {_STEPS_MAX} levels of a property ({path})."
            raise ApiError(message=message, code="property_expansion_max_depth", param="expand")
        inside = path.removeprefix(prefix)
        here: str | None = kind if path.startswith(prefix) else None
        for step in inside.split("."):
            if here is None or step not in _FIELDS.get(here, {}):
                raise ApiError(
                    message=f"This property cannot be expanded ({path}).", param="expand"
                )
            here = _FIELDS[here][step]


def expand(account: Account, body: Json, paths: Sequence[str], prefix: str = "") -> Json:
    """Return the object with the requested objects inside."""
    for path in paths:
        body = _one(account, body, path.removeprefix(prefix).split("."))
    return body


def _one(account: Account, body: Json, path: Sequence[str]) -> Json:
    name = path[0]
    kind = _FIELDS[body["object"]][name]
    value = body.get(name)
    if kind == "line_items":
        value = account.state.sold(body["id"]).get("line_items")
    elif kind == "refunds":
        value = _refunds(account, body)
    elif kind is not None and isinstance(value, str):
        value = account.get(kind, value)
    if len(path) > 1 and isinstance(value, dict):
        value = _one(account, value, path[1:])
    return {**body, name: value}


def _refunds(account: Account, charge: Json) -> Json:
    """Return the newest refunds of a charge as a list."""
    every = account.state.with_value(REFUND, "charge", charge["id"])[::-1]
    return {
        "object": "list",
        "data": every[:_INSIDE_MAX],
        "has_more": len(every) > _INSIDE_MAX,
        "url": f"/v1/charges/{charge['id']}/refunds",
    }
