"""Print refunds, disputes and reasons for attention."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from payd.cli import render

_STYLE = {
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELED": "yellow",
    "AWAITING_APPROVAL": "magenta",
    "AWAITING_TRANSFER": "magenta",
}
_HEADINGS = ("time", "refund", "payment", "status", "amount", "reason")

Document = Mapping[str, Any]


def refund(document: Document) -> None:
    """Print a refund as fields, with what a person has to send."""
    failure = document.get("failure")
    action = document.get("next_action", {})
    transfer = action.get("crypto_transfer")
    render.fields(
        [
            ("refund", click.style(document["id"], bold=True)),
            ("payment", document["payment_id"]),
            ("status", status(document["status"])),
            ("amount", amount(document)),
            ("reason", document["reason"]),
            ("to", document["destination"]),
            ("send", render.tokens(transfer) if transfer else ""),
            *render.transfer(action),
            ("failure", f"{failure['code']}: {failure['message']}" if failure else ""),
            ("made", "at the provider" if document["external"] else ""),
            ("requested by", document["requester"]),
            ("reference", document["provider_reference"]),
            ("idempotency key", document["idempotency_key"]),
            ("created", document["create_time"]),
            ("updated", document["update_time"]),
            ("completed", document.get("complete_time")),
        ]
    )
    render.instructions(action, is_open=document["status"].endswith("AWAITING_TRANSFER"))


def table(documents: Sequence[Document]) -> None:
    """Print refunds as rows."""
    rows = [
        (
            one["create_time"],
            one["id"],
            one["payment_id"],
            one["status"].removeprefix("REFUND_STATUS_"),
            amount(one),
            one["reason"],
        )
        for one in documents
    ]
    render.table(_HEADINGS, rows)


def of_payment(document: Document) -> Iterator[tuple[str, str]]:
    """Fields of a payment: its refunds, its disputes, and its reasons for attention."""
    for one in document["refunds"]:
        where = ", made at the provider" if one["external"] else ""
        yield "refund", f"{one['id']} {status(one['status'])} {amount(one)}{where}"
    for one in document["disputes"]:
        state = one["status"].removeprefix("DISPUTE_STATUS_")
        until = f", answer until {one['evidence_due_time']}" if "evidence_due_time" in one else ""
        disputed = f" {render.amount(one['amount'])}" if "amount" in one else ""
        yield "dispute", f"{one['id']} {state}{disputed} {one['reason']}{until}"
    for one in document["attention_records"]:
        yield "attention", _attention(one)


def status(name: str) -> str:
    """Return a refund's status in its colour."""
    plain = name.removeprefix("REFUND_STATUS_")
    return click.style(plain, fg=_STYLE.get(plain, "cyan"), bold=True)


def amount(document: Document) -> str:
    """Format a refund's amount: `149.00 USD`, or exactly in tokens."""
    crypto = document.get("crypto")
    return render.tokens(crypto) if crypto else render.amount(document["amount"])


def _attention(record: Document) -> str:
    if "resolved_time" not in record:
        return f"{click.style(record['reason'], fg='yellow')} since {record['since']}"
    who = f" by {record['resolved_by']}" if record["resolved_by"] else ""
    note = f": {record['note']}" if record["note"] else ""
    return f"{record['reason']} resolved {record['resolved_time']}{who}{note}"
