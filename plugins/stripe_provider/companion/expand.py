"""Expansion: replace an object's id by the object, where the request asks for it."""

from collections.abc import Sequence

from stripe_provider.companion.account import Account
from stripe_provider.companion.errors import ApiError
from stripe_provider.companion.objects import CHARGE, DISPUTE, PAYMENT_INTENT, SESSION, Json

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
        "payment_intent": PAYMENT_INTENT,
        **dict.fromkeys(("application", "balance_transaction", "customer", "review")),
    },
    DISPUTE: {"charge": CHARGE, "payment_intent": PAYMENT_INTENT},
}


def check(kind: str, paths: Sequence[str], prefix: str = "") -> None:
    """Raises ApiError unless objects of this kind have these expandable fields."""
    for path in paths:
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
    elif kind is not None and isinstance(value, str):
        value = account.get(kind, value)
    if len(path) > 1 and isinstance(value, dict):
        value = _one(account, value, path[1:])
    return {**body, name: value}
