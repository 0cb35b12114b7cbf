"""Convert payments to columns: what every store writes, and what the audit trail replays."""

import enum
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from payd.domain.attention import AttentionRecord
from payd.domain.dispute import Dispute
from payd.domain.evidence import Outflow, Receipt
from payd.domain.next_action import CryptoTransfer, NextAction, Redirect, Show
from payd.domain.payment import Payment
from payd.domain.refund import Refund
from payd.domain.sums import ReceiptSums

Json = dict[str, Any]


def dumps(value: object, *, sort_keys: bool = False) -> str:
    """Compact JSON; times as ISO 8601, UUIDs as text, bytes as PostgreSQL's hex."""
    return (_SORTED if sort_keys else _ENCODER).encode(value)


def plain(value: object) -> str:
    """The JSON of a value that JSON does not know."""
    match value:
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case bytes():
            return "\\x" + value.hex()
        case _:
            raise TypeError(f"a column cannot store {value!r}: convert it first")


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=plain)
_SORTED = json.JSONEncoder(separators=(",", ":"), default=plain, sort_keys=True)


#: Reasons that the previous version could not read: only `attention_records` has them.
NEW_REASONS = frozenset({"REFUND_FAILED", "LOST_DISPUTE"})

#: Columns that a decision may change. `looks` and `next_look_time` are the status checks.
_MUTABLE: dict[str, Callable[[Payment], Any]] = {
    "version": lambda p: p.version,
    "status": lambda p: p.status.value,
    "update_time": lambda p: p.update_time,
    "expire_time": lambda p: p.expire_time,
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
    "attention": lambda p: sorted({reason.value for reason in p.attention} - NEW_REASONS),
    "attention_records": lambda p: [_record_json(record) for record in p.attention_records],
    "attention_since": lambda p: min(
        (record.since for record in p.attention_records if record.is_open), default=None
    ),
    "failure_code": lambda p: p.failure and p.failure.code,
    "failure_message": lambda p: p.failure and p.failure.message,
    "late": lambda p: p.late,
    "looks": lambda p: p.checks,
    "next_look_time": lambda p: p.next_check_time,
    "receipt_sums": lambda p: sums_json(p.sums, p.version),
    "fee": lambda p: p.fee,
    "money_goes_back": lambda p: bool(p.refunds or p.disputes),
}


_OF_ATTENTION = ("attention", "attention_records", "attention_since")


def changes(before: Payment, after: Payment) -> Json:
    """The columns that differ between two versions, with their new values."""
    # The previous version may have changed `attention` alone: all of its columns are written anew.
    always = _OF_ATTENTION if after.attention_records else ()
    return {
        column: value
        for column, get in _MUTABLE.items()
        if (value := get(after)) != get(before) or column in always
    }


def payment_row(payment: Payment) -> Json:
    """All columns of the payment's row in `payments`."""
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
        "parameters": dict(payment.parameters),
        "pricing_version": payment.pricing_version,
        "request_id": payment.request_id,
        "traceparent": payment.traceparent,
        "create_time": payment.create_time,
        **{column: get(payment) for column, get in _MUTABLE.items()},
    }


def sums_json(sums: ReceiptSums, version: int) -> Json | None:
    """The value of the column `receipt_sums`: none without receipts that count."""
    return None if sums.late_end is None else {"version": version, **attrs.asdict(sums)}


def _record_json(record: AttentionRecord) -> Json:
    """One element of the column `attention_records`."""
    return attrs.asdict(record) | {"reason": record.reason.value, "facts": sorted(record.facts)}


def item_rows(payment: Payment) -> list[Json]:
    """The rows of `payment_line_items`, in order."""
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
    """The rows of `receipts`, without the columns that the payment determines."""
    return [_money_row(receipt) | {"state": receipt.state.value} for receipt in receipts]


def outflow_rows(outflows: Iterable[Outflow]) -> list[Json]:
    """The rows of `outflows`."""
    return [_money_row(outflow) for outflow in outflows]


def changed_refunds(before: Payment, after: Payment) -> list[Json]:
    """The rows of `refunds` that are new or differ, without what the payment determines."""
    return [refund_row(refund) for refund in after.refunds if refund not in before.refunds]


def refund_row(refund: Refund) -> Json:
    """The row of a refund, without the columns that the payment determines."""
    row = attrs.asdict(refund, recurse=False)
    checks, next_check_time = row.pop("checks"), row.pop("next_check_time")
    failure = row.pop("failure")
    return row | {
        "status": refund.status.value,
        "asking": refund.asking.value,
        "next_action": next_action_json(refund.next_action),
        "failure_code": failure and failure.code,
        "failure_message": failure and failure.message,
        "looks": checks,
        "next_look_time": next_check_time,
    }


def changed_disputes(before: Payment, after: Payment) -> list[Json]:
    """The rows of `disputes` that are new or differ, without what the payment determines."""
    return [dispute_row(dispute) for dispute in after.disputes if dispute not in before.disputes]


def dispute_row(dispute: Dispute) -> Json:
    """The row of a dispute, without the columns that the payment determines."""
    row = attrs.asdict(dispute, recurse=False) | {"status": dispute.status.value}
    # The payment keeps the other names.
    del row["aliases"]
    return row


def _money_row(moved: Receipt | Outflow) -> Json:
    row = attrs.asdict(moved, recurse=False)
    # Left out when empty, so that rows stored before this column existed compare as equal.
    details = row.pop("details")
    return row | {"details": dict(details)} if details else row


def _value(_instance: object, _attribute: object, value: object) -> object:
    return value.value if isinstance(value, enum.Enum) else value


def next_action_json(action: NextAction | None) -> Json | None:
    """The value of the column `next_action`."""
    match action:
        case None:
            return None
        case Redirect():
            return {"kind": "redirect", **attrs.asdict(action)}
        case CryptoTransfer():
            return {"kind": "crypto_transfer", **attrs.asdict(action)}
        case Show():
            # The instructions' own kind must not replace the kind of the action.
            return {"kind": "show", "show": attrs.asdict(action, value_serializer=_value)}
