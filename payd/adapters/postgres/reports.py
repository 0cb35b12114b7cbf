"""Convert reports to the JSON that the inbox stores, and back."""

import json
from datetime import datetime
from typing import Any

import attrs

from payd.adapters.columns import Json, receipt_rows
from payd.adapters.postgres.rows import receipt_of
from payd.domain.evidence import Conflict, Observation, ProviderStatus, Reversal, Snapshot
from payd.plugins.interface import ProviderEvent
from payd.ports import Report


def report_json(report: Report) -> Json:
    """The value of the inbox's column `report`."""
    if isinstance(report, ProviderEvent):
        return {"event": {"id": report.id, "type": report.type, "content": dict(report.content)}}
    return {"id": report.id, "reference": report.reference, **_fact_json(report.fact)}


def report_of(text: str) -> Report:
    """Inverse of `report_json`, from the column's text."""
    fields = json.loads(text)
    if "event" in fields:
        return ProviderEvent(**fields["event"])
    return Observation(id=fields["id"], reference=fields["reference"], fact=_fact_of(fields))


def _fact_json(fact: Any) -> Json:
    match fact:
        case Snapshot():
            return {"snapshot": attrs.asdict(fact) | {"status": fact.status.value}}
        case Reversal():
            return {"reversal": attrs.asdict(fact)}
        case Conflict():
            return {"conflict": {}}
        case _:
            return {"receipts": receipt_rows(fact)}


def _fact_of(fields: Json) -> Any:
    match fields:
        case {"snapshot": snapshot}:
            return Snapshot(
                **snapshot
                | {
                    "status": ProviderStatus(snapshot["status"]),
                    "as_of": datetime.fromisoformat(snapshot["as_of"]),
                    "aliases": tuple(snapshot.get("aliases", ())),
                }
            )
        case {"reversal": reversal}:
            return Reversal(**reversal | {"aliases": tuple(reversal["aliases"])})
        case {"conflict": _}:
            return Conflict()
        case _:
            return tuple(map(receipt_of, fields["receipts"]))
