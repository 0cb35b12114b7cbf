"""Replay the audit trail: rows of `payment_events` → the payment after each of them.

Rows of older versions of payd lack the columns that came later: these have their defaults.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from payd.adapters.columns import Json
from payd.adapters.events import AuditRow
from payd.adapters.postgres.attention import attention_of
from payd.adapters.postgres.rows import (
    dispute_of,
    next_action_of,
    provider_status_of,
    receipt_of,
    refund_of,
    sums_of,
)
from payd.domain.evidence import Receipt
from payd.domain.history import Change
from payd.domain.money import Money, TokenTerms
from payd.domain.outcome import Asking, Failure
from payd.domain.payment import Customer, LineItem, Payment, Status
from payd.domain.published import NamedEvent
from payd.domain.sums import ReceiptSums, sum_receipts
from payd.ports import Trail

#: A run of status checks without news becomes one change.
_CHECKED = "status_checked"


@attrs.frozen(kw_only=True)
class Base:
    """What stands in the database's rows after some version, as JSON."""

    row: Json
    items: Sequence[Json]
    refunds: Mapping[str, Json] = attrs.field(factory=dict)
    disputes: Mapping[str, Json] = attrs.field(factory=dict)
    #: Of the rows that were replayed; those of an older version of payd came without sums.
    receipts: Mapping[str, Json] = attrs.field(factory=dict)

    def after(self, rows: Iterable[AuditRow]) -> "Base":
        """What stands there after more rows of the trail."""
        row, parts = dict(self.row), {name: dict(getattr(self, name)) for name in _PARTS}
        for details in (one.details for one in rows):
            row |= details["changes"]
            for name, known in parts.items():
                known |= {part["id"]: part for part in details.get(name, ())}
        return Base(row=row, items=self.items, **parts)

    def payment(self) -> Payment:
        """The payment as it is then; of its receipts only the sums."""
        row = self.row
        code, status = row.get("failure_code"), row.get("provider_status")
        times: dict[str, Any] = {name: _time(row.get(name)) for name in _TIMES}
        same = {name: row[name] for name in _SAME}
        return Payment(
            id=UUID(row["id"]),
            status=Status(row["status"]),
            # Of no use for an explanation, which must not show them.
            request_hash=b"",
            customer=Customer(id=row["customer_id"]),
            amount=_money(row, row["amount_minor_units"]),
            crypto=_token_terms(row),
            items=tuple(_item(row, item) for item in self.items),
            subscription_ids=tuple(row["subscription_ids"]),
            metadata=row["metadata"],
            asking=Asking(row["asking"]),
            aliases=tuple(row["aliases"]),
            next_action=next_action_of(row["next_action"]),
            provider_status=provider_status_of(status) if status else None,
            sums=self._sums(),
            refunds=tuple(map(refund_of, self._in_order(self.refunds, "create_time"))),
            disputes=tuple(map(dispute_of, self._in_order(self.disputes, "open_time"))),
            fee=row.get("fee"),
            attention_records=attention_of(
                json.dumps(row.get("attention_records", [])),
                row["attention"],
                datetime.fromisoformat(row["update_time"]),
            ),
            failure=Failure(code=code, message=row["failure_message"]) if code else None,
            checks=row["looks"],
            next_check_time=_time(row["next_look_time"]),
            **same,
            **times,
        )

    def _sums(self) -> ReceiptSums:
        sums = self.row.get("receipt_sums")
        if sums is not None and sums["version"] == self.row["version"]:
            return sums_of(sums)
        expiry = datetime.fromisoformat(self.row["expire_time"])
        return sum_receipts(_receipts([*self.receipts.values()]), expiry, expiry)

    def _in_order(self, parts: Mapping[str, Json], time: str) -> Sequence[Json]:
        def position(part: Json) -> tuple[datetime, str]:
            return datetime.fromisoformat(part[time]), part["id"]

        return sorted(parts.values(), key=position)


_PARTS = ("refunds", "disputes", "receipts")
_TIMES = (
    *("create_time", "update_time", "expire_time", "complete_time", "close_time"),
    *("ask_deadline", "provider_status_time"),
)
_SAME = (
    *("version", "idempotency_key", "method", "provider", "return_url", "cancel_url"),
    *("pricing_version", "request_id", "traceparent", "provider_reference", "late"),
    *("snapshot_received", "snapshot_confirmed", "snapshot_refunded"),
)


def base_of(first: AuditRow) -> Base:
    """What version 1 wrote."""
    return Base(row=dict(first.details["row"]), items=first.details["items"])


def trail_of(rows: Sequence[AuditRow], before: Base | None, most: int) -> Trail:
    """The newest `most` changes of consecutive rows.

    `before` is what stood there before the first row; None when that is version 1.
    """
    runs = _runs(rows)
    left_out = [row for run in runs[: max(0, len(runs) - most)] for row in run]
    base, changes = _fold(before, left_out) if left_out else before, list[Change]()
    start = base.payment() if base is not None else None
    for run in runs[-most:]:
        base = _fold(base, run)
        changes.append(_change(run, base.payment()))
    skipped = rows[0].version - 1 + len(left_out)
    return Trail(changes=tuple(changes), before=start, left_out=skipped)


def _runs(rows: Sequence[AuditRow]) -> list[list[AuditRow]]:
    """Each row by itself, but status checks that follow one another together."""
    runs: list[list[AuditRow]] = []
    for row in rows:
        is_check = row.event_type == _CHECKED and row.version > 1
        if is_check and runs and _continues(runs[-1][-1], row):
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def _continues(last: AuditRow, row: AuditRow) -> bool:
    """Whether two rows are status checks by one actor, neither of which sent anything."""
    return (
        last.event_type == row.event_type
        and last.actor == row.actor
        and not any("ask_deadline" in one.details["changes"] for one in (last, row))
    )


def _fold(base: Base | None, rows: Sequence[AuditRow]) -> Base:
    """What stands there after these rows; version 1 begins."""
    return base.after(rows) if base is not None else base_of(rows[0]).after(rows[1:])


def _change(run: Sequence[AuditRow], payment: Payment) -> Change:
    first, last = run[0], run[-1]
    return Change(
        payment=payment,
        audit_event=last.event_type,
        actor=last.actor,
        certificate=last.certificate,
        request_id=last.request_id,
        note=last.details.get("reason", ""),
        time=last.create_time,
        receipts=_receipts(last.details.get("receipts", ())),
        republished=tuple(
            NamedEvent(UUID(event["id"]), event["subject"])
            for event in last.details.get("republished", ())
        ),
        report_ids=tuple(last.details.get("reports", ())),
        count=len(run),
        first_time=first.create_time,
    )


def _receipts(rows: Sequence[Json]) -> tuple[Receipt, ...]:
    return tuple(map(receipt_of, rows))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _money(row: Json, minor_units: int) -> Money:
    return Money(currency_code=row["currency_code"], minor_units=minor_units)


def _item(row: Json, item: Json) -> LineItem:
    return LineItem(
        chain_profile_id=item["chain_profile_id"],
        node_type=item["node_type"],
        duration=item["duration"],
        unit_price=_money(row, item["unit_price_minor_units"]),
    )


def _token_terms(row: Json) -> TokenTerms | None:
    if row["crypto_currency"] is None:
        return None
    return TokenTerms(
        currency=row["crypto_currency"],
        chain_id=row["chain_id"],
        token_address=row["token_address"],
        decimals=row["token_decimals"],
        due_base_units=row["due_base_units"],
    )
