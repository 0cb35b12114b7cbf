"""Row ⇄ domain, pure. What goes to PostgreSQL goes as JSON; what comes back are typed columns."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import attrs

from payd.domain.evidence import (
    CryptoTransfer,
    NextAction,
    Observation,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Redirect,
    Snapshot,
)
from payd.domain.money import Money, TokenTerms
from payd.domain.payment import Asking, Attention, Customer, Failure, LineItem, Payment, Status

Json = dict[str, Any]
Row = asyncpg.Record


def dumps(value: object) -> str:
    """Compact JSON; times as ISO 8601, UUIDs as text, bytes as PostgreSQL's hex."""
    return json.dumps(value, separators=(",", ":"), default=_plain)


def _plain(value: object) -> str:
    match value:
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case bytes():
            return "\\x" + value.hex()
        case _:
            raise TypeError(f"not a column's value: {value!r}")


#: The columns that a decision may change.
_MUTABLE: dict[str, Callable[[Payment], Any]] = {
    "version": lambda p: p.version,
    "status": lambda p: p.status.value,
    "update_time": lambda p: p.update_time,
    "complete_time": lambda p: p.complete_time,
    "close_time": lambda p: p.close_time,
    "asking": lambda p: p.asking.value,
    "ask_deadline": lambda p: p.ask_deadline,
    "provider_reference": lambda p: p.provider_reference,
    "aliases": lambda p: p.aliases,
    "next_action": lambda p: next_action_json(p.next_action),
    "provider_status": lambda p: p.provider_status and p.provider_status.value,
    "provider_status_time": lambda p: p.provider_status_time,
    "snapshot_received": lambda p: p.snapshot_received,
    "snapshot_confirmed": lambda p: p.snapshot_confirmed,
    "snapshot_refunded": lambda p: p.snapshot_refunded,
    "attention": lambda p: sorted(reason.value for reason in p.attention),
    "failure_code": lambda p: p.failure and p.failure.code,
    "failure_message": lambda p: p.failure and p.failure.message,
    "late": lambda p: p.late,
    "looks": lambda p: p.looks,
    "next_look_time": lambda p: p.next_look_time,
}


def changes(before: Payment, after: Payment) -> Json:
    """The columns in which the two differ, with their new values."""
    return {
        column: value for column, get in _MUTABLE.items() if (value := get(after)) != get(before)
    }


def payment_row(payment: Payment) -> Json:
    """All columns of `payments`."""
    crypto = payment.crypto
    return {
        "id": payment.id,
        "idempotency_key": payment.idempotency_key,
        "request_hash": payment.request_hash,
        "customer_id": payment.customer.id,
        "method": payment.method,
        "provider": payment.provider,
        "currency_code": payment.amount.currency_code,
        "amount_minor_units": payment.amount.minor_units,
        "crypto_currency": crypto and crypto.currency,
        "chain_id": crypto and crypto.chain_id,
        "token_address": crypto and crypto.token_address,
        "token_decimals": crypto and crypto.decimals,
        "due_base_units": crypto and crypto.due_base_units,
        "subscription_ids": payment.subscription_ids,
        "return_url": payment.return_url,
        "cancel_url": payment.cancel_url,
        "metadata": dict(payment.metadata),
        "pricing_version": payment.pricing_version,
        "request_id": payment.request_id,
        "traceparent": payment.traceparent,
        "create_time": payment.create_time,
        "expire_time": payment.expire_time,
        **{column: get(payment) for column, get in _MUTABLE.items()},
    }


def item_rows(payment: Payment) -> list[Json]:
    """The rows of `payment_line_items`, in their order."""
    return [
        {
            "position": position,
            "chain_profile_id": item.chain_profile_id,
            "node_type": item.node_type,
            "duration": item.duration,
            "unit_price_minor_units": item.unit_price.minor_units,
        }
        for position, item in enumerate(payment.items)
    ]


def receipt_rows(receipts: Iterable[Receipt]) -> list[Json]:
    """The rows of `receipts`, without what the payment says."""
    return [attrs.asdict(receipt) | {"state": receipt.state.value} for receipt in receipts]


def payment_of(row: Row) -> Payment:
    """The payment of a `select_payment` row."""
    return Payment(
        id=UUID(int=row["id"].int),
        version=row["version"],
        status=Status(row["status"]),
        idempotency_key=row["idempotency_key"],
        request_hash=row["request_hash"],
        customer=Customer(
            id=row["customer_id"], wallet_address=row["wallet_address"], email=row["email"]
        ),
        method=row["method"],
        provider=row["provider"],
        amount=Money(currency_code=row["currency_code"], minor_units=row["amount_minor_units"]),
        crypto=_token_terms(row),
        items=_items(row),
        subscription_ids=tuple(row["subscription_ids"]),
        return_url=row["return_url"],
        cancel_url=row["cancel_url"],
        metadata=json.loads(row["metadata"]),
        pricing_version=row["pricing_version"],
        request_id=row["request_id"],
        traceparent=row["traceparent"],
        **_mutable_fields(row),
    )


def _mutable_fields(row: Row) -> dict[str, Any]:
    status, code = row["provider_status"], row["failure_code"]
    same = (
        *("create_time", "update_time", "expire_time", "complete_time", "close_time"),
        *("ask_deadline", "provider_reference", "provider_status_time", "late", "looks"),
        "next_look_time",
    )
    return {
        **{column: row[column] for column in same},
        "asking": Asking(row["asking"]),
        "aliases": tuple(row["aliases"]),
        "next_action": next_action_of(row["next_action"]),
        "provider_status": ProviderStatus(status) if status else None,
        "snapshot_received": int(row["snapshot_received"]),
        "snapshot_confirmed": int(row["snapshot_confirmed"]),
        "snapshot_refunded": int(row["snapshot_refunded"]),
        "receipts": tuple(map(_receipt, json.loads(row["receipts"] or "[]"))),
        "attention": frozenset(map(Attention, row["attention"])),
        "failure": Failure(code=code, message=row["failure_message"]) if code else None,
    }


def _token_terms(row: Row) -> TokenTerms | None:
    if row["crypto_currency"] is None:
        return None
    return TokenTerms(
        currency=row["crypto_currency"],
        chain_id=int(row["chain_id"]),
        token_address=row["token_address"],
        decimals=row["token_decimals"],
        due_base_units=int(row["due_base_units"]),
    )


def _items(row: Row) -> tuple[LineItem, ...]:
    return tuple(
        LineItem(
            chain_profile_id=item["chain_profile_id"],
            node_type=item["node_type"],
            duration=item["duration"],
            unit_price=Money(
                currency_code=row["currency_code"], minor_units=item["unit_price_minor_units"]
            ),
        )
        for item in json.loads(row["items"] or "[]")
    )


def _receipt(row: Json) -> Receipt:
    return Receipt(
        id=row["id"],
        asset=row["asset"],
        amount=int(row["amount"]),
        state=ReceiptState(row["state"]),
        time=datetime.fromisoformat(row["time"]),
    )


def next_action_json(action: NextAction | None) -> Json | None:
    """As stored in the column `next_action`."""
    match action:
        case None:
            return None
        case Redirect():
            return {"kind": "redirect", **attrs.asdict(action)}
        case CryptoTransfer():
            return {"kind": "crypto_transfer", **attrs.asdict(action)}


def next_action_of(text: str | None) -> NextAction | None:
    """The reverse of `next_action_json`, from the column's text."""
    if text is None:
        return None
    fields = json.loads(text)
    kind = fields.pop("kind")
    return Redirect(**fields) if kind == "redirect" else CryptoTransfer(**fields)


def observation_json(observation: Observation) -> Json:
    """As stored in the inbox."""
    fact = observation.fact
    if isinstance(fact, Snapshot):
        body: Json = {"snapshot": attrs.asdict(fact) | {"status": fact.status.value}}
    else:
        body = {"receipts": receipt_rows(fact)}
    return {"id": observation.id, "reference": observation.reference, **body}


def observation_of(text: str) -> Observation:
    """The reverse of `observation_json`, from the column's text."""
    fields = json.loads(text)
    fact: Snapshot | tuple[Receipt, ...]
    if "snapshot" in fields:
        snapshot = fields["snapshot"]
        fact = Snapshot(
            **snapshot
            | {
                "status": ProviderStatus(snapshot["status"]),
                "as_of": datetime.fromisoformat(snapshot["as_of"]),
            }
        )
    else:
        fact = tuple(map(_receipt, fields["receipts"]))
    return Observation(id=fields["id"], reference=fields["reference"], fact=fact)
