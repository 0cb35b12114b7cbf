"""Convert rows to domain values; `adapters.columns` is the other direction."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from payd.adapters.audit.chain import row_of
from payd.adapters.columns import Json
from payd.adapters.events import AuditRow
from payd.adapters.postgres.attention import attention_of
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import ProviderStatus, Receipt, ReceiptState
from payd.domain.money import Money, TokenTerms
from payd.domain.next_action import CryptoTransfer, NextAction, Redirect, Show, ShowField, ShowKind
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Customer, LineItem, Payment, Status
from payd.domain.refund import Refund, RefundStatus
from payd.domain.sums import ByTime, ReceiptSums

Row = asyncpg.Record
T = TypeVar("T")


_DECODER = json.JSONDecoder()


def _json(text: str) -> Any:
    """Parse what PostgreSQL has written, without `json.loads`' search for spaces around it."""
    return _DECODER.raw_decode(text)[0]


def payment_of(row: Row) -> Payment:
    """Build the payment from a row of `select_payment` or of `select_with_refunds`."""
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
        metadata=_json(row["metadata"]),
        parameters=_json(row["parameters"]),
        pricing_version=row["pricing_version"],
        request_id=row["request_id"],
        traceparent=row["traceparent"],
        **_mutable_fields(row),
    )


def newest_receipts_of(row: Row) -> tuple[Receipt, ...]:
    """Build the receipts in a row of `select_payment`, oldest first."""
    return _each(receipt_of, row["newest_receipts"])


def audit_row_of(row: Row) -> AuditRow:
    """Build an audit row, with the personal values that were not erased."""
    value = row["personal"]
    return row_of(row["content"], row["ip"], row["peer"], value and _json(value))


def _mutable_fields(row: Row) -> dict[str, Any]:
    status, code, action = row["provider_status"], row["failure_code"], row["next_action"]
    same = (
        *("create_time", "update_time", "expire_time", "complete_time", "close_time"),
        *("ask_deadline", "provider_reference", "provider_status_time", "late"),
    )
    return {
        **{column: row[column] for column in same},
        "checks": row["looks"],
        "next_check_time": row["next_look_time"],
        "asking": Asking(row["asking"]),
        "aliases": tuple(row["aliases"]),
        "next_action": next_action_of(action and _json(action)),
        "provider_status": provider_status_of(status) if status else None,
        "snapshot_received": int(row["snapshot_received"]),
        "snapshot_confirmed": int(row["snapshot_confirmed"]),
        "snapshot_refunded": int(row["snapshot_refunded"]),
        "sums": sums_of(row["sums"] and _json(row["sums"])),
        "receipts": _each(receipt_of, row["receipts"]),
        "attention_records": attention_of(
            row["attention_records"], row["attention"], row["update_time"]
        ),
        "refunds": _each(refund_of, row.get("refunds")),
        "disputes": _each(dispute_of, row.get("disputes")),
        "fee": None if row["fee"] is None else int(row["fee"]),
        "failure": Failure(code=code, message=row["failure_message"]) if code else None,
    }


def _each(value_of: Callable[[Json], T], text: str | None) -> tuple[T, ...]:
    return () if text is None else tuple(map(value_of, _json(text)))


def sums_of(sums: Json | None) -> ReceiptSums:
    """Inverse of `columns.sums_json`, but for the version."""
    if sums is None:
        return ReceiptSums()
    return ReceiptSums(
        late_end=datetime.fromisoformat(sums["late_end"]),
        seen=_by_time(sums["seen"]),
        confirmed=_by_time(sums["confirmed"]),
    )


def _by_time(amounts: Sequence[int | None]) -> ByTime:
    in_time, late, later = (amount or 0 for amount in amounts)
    return in_time, late, later


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
        for item in _json(row["items"] or "[]")
    )


def receipt_of(row: Json) -> Receipt:
    """Inverse of `columns.receipt_rows`, for one row."""
    return Receipt(
        id=row["id"],
        asset=row["asset"],
        amount=int(row["amount"]),
        state=ReceiptState(row["state"]),
        time=datetime.fromisoformat(row["time"]),
        details=row.get("details") or {},
    )


def provider_status_of(text: str) -> ProviderStatus:
    """The status of a provider's object. The previous version also stores DISPUTED: it was paid."""
    return ProviderStatus.PAID if text == "DISPUTED" else ProviderStatus(text)


def refund_of(row: Json) -> Refund:
    """Inverse of `columns.refund_row`."""
    code = row["failure_code"]
    same = (
        *("amount", "external", "idempotency_key", "reason", "destination", "requester"),
        *("request_id", "provider_reference"),
    )
    fields: dict[str, Any] = {column: row[column] for column in same}
    times = ("create_time", "update_time", "complete_time", "ask_deadline")
    fields |= {column: _time_of(row[column]) for column in times}
    return Refund(
        id=UUID(row["id"]),
        status=RefundStatus(row["status"]),
        request_hash=bytes.fromhex(row["request_hash"].removeprefix("\\x")),
        asking=Asking(row["asking"]),
        next_action=next_action_of(row["next_action"]),
        failure=Failure(code=code, message=row["failure_message"]) if code else None,
        checks=row["looks"],
        next_check_time=_time_of(row["next_look_time"]),
        **fields,
    )


def dispute_of(row: Json) -> Dispute:
    """Inverse of `columns.dispute_row`."""
    return Dispute(
        id=row["id"],
        status=DisputeStatus(row["status"]),
        asset=row["asset"],
        amount=row["amount"],
        reason=row["reason"],
        open_time=datetime.fromisoformat(row["open_time"]),
        as_of=datetime.fromisoformat(row["as_of"]),
        evidence_due_time=_time_of(row["evidence_due_time"]),
    )


def _time_of(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def next_action_of(fields: Json | None) -> NextAction | None:
    """Inverse of `columns.next_action_json`."""
    if fields is None:
        return None
    fields = dict(fields)
    match fields.pop("kind"):
        case "redirect":
            return Redirect(**fields)
        case "show":
            return _show_of(fields["show"])
        case _:
            return CryptoTransfer(**fields)


def _show_of(fields: Json) -> Show:
    return Show(
        kind=ShowKind(fields["kind"]),
        payload=fields["payload"],
        fields=tuple(ShowField(**field) for field in fields["fields"]),
        expire_time=_time_of(fields["expire_time"]),
    )
