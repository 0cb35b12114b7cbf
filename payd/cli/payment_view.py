"""Print a payment."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from payd.cli import refund_view, render

_CLOSED = frozenset({"COMPLETED", "CANCELED", "EXPIRED", "FAILED"})
#: A customer sends one, or a few; anybody may send more.
_RECEIPTS_MAX = 10
_HEADINGS = ("created", "payment", "status", "amount", "method", "customer", "attention")
_HEADINGS_OF_ATTENTION = (
    *("since", "payment", "attention", "status", "amount", "received", "customer"),
)


def payment(document: Mapping[str, Any]) -> None:
    """Print a payment as fields."""
    items = [
        f"{i['chain_profile_id']}/{i['node_type']}/{i['duration']} {render.amount(i['unit_price'])}"
        for i in document["items"]
    ]
    action = document.get("next_action", {})
    transfer = action.get("crypto_transfer", {})
    failure = document.get("failure")
    status = document["status"].removeprefix("PAYMENT_STATUS_")
    is_closed = status in _CLOSED
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
            *_receipts(document),
            *refund_view.of_payment(document),
            ("failure", f"{failure['code']}: {failure['message']}" if failure else ""),
            ("late", "yes" if document["late"] else ""),
            ("customer", document["customer_id"]),
            ("idempotency key", document["idempotency_key"]),
            ("created", document["create_time"]),
            ("to be paid by" if is_closed else "expires", document["expire_time"]),
            ("completed", document.get("complete_time")),
        ]
    )
    render.instructions(action, is_open=status in ("PENDING", "PROCESSING"))


def table(documents: Sequence[Mapping[str, Any]]) -> None:
    """Print payments as rows."""
    rows = [
        (
            one["create_time"],
            one["id"],
            one["status"].removeprefix("PAYMENT_STATUS_"),
            render.amount(one["amount"]),
            one["method"],
            one["customer_id"],
            ", ".join(one["attention"]),
        )
        for one in documents
    ]
    render.table(_HEADINGS, rows)


def attention_table(documents: Sequence[Mapping[str, Any]]) -> None:
    """Print payments with open attention as rows."""
    rows = [
        (
            min(record.get("since", "") for record in records),
            one["id"],
            ", ".join(record["reason"] for record in records),
            one["status"].removeprefix("PAYMENT_STATUS_"),
            render.amount(one["amount"]),
            render.amount(one["received"]),
            one["customer_id"],
        )
        for one in documents
        if (records := [r for r in one["attention_records"] if "resolved_time" not in r])
    ]
    render.table(_HEADINGS_OF_ATTENTION, rows)


def _receipts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Fields of the arrivals of money: amount, state, time, and the transaction or its page."""
    terms, shown = document.get("crypto"), document["receipts"][-_RECEIPTS_MAX:]
    for one in shown:
        exact = {**terms, "amount_base_units": one["amount_base_units"]} if terms else None
        amount = render.tokens(exact) if exact else render.amount(one["amount"])
        state = one["state"].removeprefix("RECEIPT_STATE_")
        sender = f" from {one['sender']}" if one["sender"] else ""
        yield "receipt", f"{amount} {state} {one['time']}{sender}"
        yield "transaction", one["explorer_url"] or one["transaction"]
    left_out = document.get("receipts_total", 0) - len(shown)
    if left_out > 0:
        yield "receipt", f"{left_out} older: `payd receipts list --payment {document['id']}`"


def _unless_zero(money: Mapping[str, Any]) -> str:
    return render.amount(money) if int(money["minor_units"]) else ""
