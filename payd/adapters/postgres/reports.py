"""Convert reports to the JSON that the inbox stores, and back."""

import enum
import json
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from payd.adapters.columns import Json, receipt_rows
from payd.adapters.postgres.rows import provider_status_of, receipt_of
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import Conflict, Observation, Snapshot
from payd.domain.refund import RefundSnapshot, RefundState
from payd.domain.text import MESSAGE_MAX
from payd.plugins.interface import ProviderEvent
from payd.ports import Report, Unreadable


def report_json(report: Report) -> Json:
    """The value of the inbox's column `report`."""
    if isinstance(report, ProviderEvent):
        return {"event": {"id": report.id, "type": report.type, "content": dict(report.content)}}
    # Left out when empty: the contents of older reports must not change.
    also = {"also": report.also} if report.also else {}
    return {"id": report.id, "reference": report.reference, **also, **_fact_json(report.fact)}


def report_of(text: str) -> Report:
    """Inverse of `report_json`, from the column's text."""
    fields = json.loads(text)
    if "event" in fields:
        return ProviderEvent(**fields["event"])
    return Observation(
        id=fields["id"],
        reference=fields["reference"],
        fact=_fact_of(fields),
        also=fields.get("also", ""),
    )


def readable(text: str) -> Report | Unreadable:
    """As `report_of`, for a report that another version of payd may have stored.

    One report that cannot be read must not stop the worker that claims it with others.
    """
    try:
        return report_of(text)
    except (LookupError, TypeError, ValueError) as error:
        return Unreadable(f"{type(error).__name__}: {error}"[:MESSAGE_MAX])


def _fact_json(fact: Any) -> Json:
    match fact:
        case Snapshot():
            return {"snapshot": _snapshot_json(fact)}
        case RefundSnapshot():
            return {"refund": _json(fact)}
        case Dispute():
            return {"dispute": _json(fact)}
        case Conflict(detail=detail):
            return {"conflict": {"detail": detail} if detail else {}}
        case _:
            return {"receipts": receipt_rows(fact)}


def _snapshot_json(snapshot: Snapshot) -> Json:
    stored: Json = {}
    for name, value in _json(snapshot).items():
        # A report that the previous version stores, too, must be the same bytes: it does not know
        # the new fields, and has a total of refunds after `confirmed`.
        if name not in ("refunds", "disputes", "fee") or value not in ((), None):
            stored[name] = value
        if name == "confirmed":
            stored["refunded"] = 0
    return stored


def _json(fact: Snapshot | RefundSnapshot | Dispute) -> Json:
    return attrs.asdict(fact, value_serializer=lambda _fact, _field, value: _value(value))


def _value(value: object) -> object:
    return value.value if isinstance(value, enum.Enum) else value


def _fact_of(fields: Json) -> Any:
    match fields:
        case {"snapshot": snapshot}:
            return _snapshot_of(snapshot)
        case {"reversal": reversal}:
            # From the previous version, which kept totals: nobody can say which refund that was.
            detail = f"{reversal['refunded']} {reversal['asset']} refunded in all"
            return Conflict(detail=f"{detail}, disputed" if reversal["disputed"] else detail)
        case {"refund": refund}:
            return _refund_of(refund)
        case {"dispute": dispute}:
            return _dispute_of(dispute)
        case {"conflict": conflict}:
            return Conflict(**conflict)
        case _:
            return tuple(map(receipt_of, fields["receipts"]))


def _snapshot_of(fields: Json) -> Snapshot:
    known = {name: value for name, value in fields.items() if name != "refunded"}
    return Snapshot(
        **known
        | {
            "status": provider_status_of(fields["status"]),
            "as_of": datetime.fromisoformat(fields["as_of"]),
            "aliases": tuple(fields.get("aliases", ())),
            # The previous version of payd stores none.
            "refunds": tuple(map(_refund_of, fields.get("refunds", ()))),
            "disputes": tuple(map(_dispute_of, fields.get("disputes", ()))),
        }
    )


def _refund_of(fields: Json) -> RefundSnapshot:
    refund_id = fields["refund_id"]
    return RefundSnapshot(
        **fields
        | {
            "state": RefundState(fields["state"]),
            "time": datetime.fromisoformat(fields["time"]),
            "refund_id": UUID(refund_id) if refund_id else None,
            "aliases": tuple(fields["aliases"]),
        }
    )


def _dispute_of(fields: Json) -> Dispute:
    due = fields["evidence_due_time"]
    return Dispute(
        **fields
        | {
            "status": DisputeStatus(fields["status"]),
            "open_time": datetime.fromisoformat(fields["open_time"]),
            "as_of": datetime.fromisoformat(fields["as_of"]),
            "evidence_due_time": datetime.fromisoformat(due) if due else None,
            "aliases": tuple(fields["aliases"]),
        }
    )
