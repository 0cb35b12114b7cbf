"""Print a payment."""

from collections.abc import Mapping
from typing import Any

import click

from payd.cli import refund_view, render


def payment(document: Mapping[str, Any]) -> None:
    """Print a payment as fields."""
    items = [
        f"{i['chain_profile_id']}/{i['node_type']}/{i['duration']} {render.amount(i['unit_price'])}"
        for i in document["items"]
    ]
    action = document.get("next_action", {})
    transfer = action.get("crypto_transfer", {})
    failure = document.get("failure")
    render.fields(
        [
            ("payment", click.style(document["id"], bold=True)),
            ("status", render.status(document["status"])),
            ("amount", render.amount(document["amount"])),
            *(("item", item) for item in items),
            ("method", f"{document['method']} ({document['provider']})"),
            ("pay at", action.get("redirect", {}).get("url")),
            *render.transfer(action),
            ("due", render.tokens(transfer) if transfer else ""),
            ("received", _unless_zero(document["received"])),
            ("refunded", _unless_zero(document["refunded"])),
            *refund_view.of_payment(document),
            ("failure", f"{failure['code']}: {failure['message']}" if failure else ""),
            ("late", "yes" if document["late"] else ""),
            ("customer", document["customer_id"]),
            ("idempotency key", document["idempotency_key"]),
            ("created", document["create_time"]),
            ("expires", document["expire_time"]),
            ("completed", document.get("complete_time")),
        ]
    )
    status = document["status"].removeprefix("PAYMENT_STATUS_")
    render.instructions(action, is_open=status in ("PENDING", "PROCESSING"))


def _unless_zero(money: Mapping[str, Any]) -> str:
    return render.amount(money) if int(money["minor_units"]) else ""
