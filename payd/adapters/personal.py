"""Keep personal values apart from the audit trail, which has a commitment to them instead.

Pure. The values of one audit row stand in a row of their own, with a salt. Deleting that row erases
them: without the salt nobody can guess from the commitment what they were.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs

from payd.adapters.columns import Json, plain

#: Bytes of a salt.
SALT_BYTES = 16

#: Personal columns of payments and of refunds, each with the value that stands in the trail.
_BLANK: dict[str, Any] = {
    "return_url": "",
    "cancel_url": "",
    "metadata": {},
    "parameters": {},
    "next_action": None,
    "failure_message": "",
    # Of a request with an e-mail: who knows the rest of the request could try addresses.
    "request_hash": "",
    # Of refunds.
    "destination": "",
    "reason": "",
}
#: The parts of `details` that have such columns.
_ROWS = ("row", "changes")
#: What stays of a receipt's details: the law wants to know which transaction it was.
KEPT_OF_RECEIPTS = frozenset({"transaction"})


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=plain
)


@attrs.frozen(kw_only=True)
class Parted:
    """The details of an audit row without personal values, and these."""

    details: Json
    #: In the shape of `details`, but refunds and receipts by their ids. None if there are none.
    value: Json | None


def part(details: Json, ip: str, peer: str, salt: bytes) -> Parted:
    """Take the personal values out of the details of an audit row; an empty form stays in place.

    The member `personal` says which there were, and has the commitment to them. `ip` and `peer` are
    those of the call.
    """
    kept, value = dict(details), dict[str, Any]()
    for name in _ROWS:
        if name in details:
            kept[name], value[name] = _part_row(details[name])
    for name, part_one in (("refunds", _part_columns), ("receipts", _part_receipt)):
        if name in details:
            parted = [(one["id"], *part_one(one)) for one in details[name]]
            kept[name] = [one for _, one, _ in parted]
            value[name] = {str(part_id): taken for part_id, _, taken in parted if taken}
    if "reason" in details:
        kept["reason"], value["reason"] = "", details["reason"]
    value |= {"ip": ip, "peer": peer}
    value = {name: taken for name, taken in value.items() if taken}
    kept["personal"] = _mark(value, salt) if value else None
    return Parted(details=kept, value=value or None)


def join(details: Json, value: Json | None) -> Json:
    """Inverse of `part`; without the values, what is personal stays empty."""
    whole = {name: of_name for name, of_name in details.items() if name != "personal"}
    if value is None:
        return whole
    for name in _ROWS:
        if name in value:
            whole[name] = whole[name] | value[name]
    for name in ("refunds", "receipts"):
        if name in value:
            whole[name] = [one | value[name].get(str(one["id"]), {}) for one in whole[name]]
    return whole | ({"reason": value["reason"]} if "reason" in value else {})


def commitment(salt: bytes, value: Json) -> str:
    """SHA-256 of the salt and the values, in hex."""
    return hashlib.sha256(salt + canonical(value)).hexdigest()


def canonical(value: object) -> bytes:
    """The one form of a JSON value that is hashed: sorted keys, no spaces, UTF-8."""
    return _CANONICAL.encode(value).encode()


def bare_body(body: bytes) -> bytes:
    """The body of an event without personal values."""
    event = json.loads(body)
    refunds = [*event.get("refunds", ()), *([event["refund"]] if "refund" in event else ())]
    for one in (event, *refunds):
        one.pop("next_action", None)
        _empty(one, "metadata", {})
        _empty(one.get("failure", {}), "message", "")
    for refund in refunds:
        _empty(refund, "destination", "")
        _empty(refund, "reason", "")
    for record in event.get("attention_records", ()):
        _empty(record, "note", "")
    for receipt in event.get("receipts", ()):
        _empty(receipt, "sender", "")
    # As `event_body` writes it: what had no personal value stays the same.
    return json.dumps(event, separators=(",", ":"), sort_keys=True).encode()


def bare_letter(body: bytes) -> bytes:
    """As `bare_body`, for a message of any program: of what is no event nothing stays."""
    try:
        return bare_body(body)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return b"{}"


def _empty(members: Json, name: str, blank: object) -> None:
    if name in members:
        members[name] = blank


def _mark(value: Json, salt: bytes) -> Json:
    fields = [
        name if isinstance(taken, str) else f"{name}.{column}"
        for name, taken in value.items()
        for column in (("",) if isinstance(taken, str) else taken)
    ]
    return {"commitment": commitment(salt, value), "fields": sorted(fields)}


def _part_row(row: Json) -> tuple[Json, Json]:
    """As `_part_columns`, for a payment's columns; the notes of persons are among them."""
    kept, taken = _part_columns(row)
    records = row.get("attention_records")
    if records and any(record["note"] for record in records):
        taken["attention_records"] = records
        kept["attention_records"] = [record | {"note": ""} for record in records]
    return kept, taken


def _part_columns(columns: Json) -> tuple[Json, Json]:
    taken = {name: columns[name] for name in _BLANK.keys() & columns.keys() if columns[name]}
    return columns | {name: _BLANK[name] for name in taken}, taken


def _part_receipt(receipt: Json) -> tuple[Json, Json]:
    details: Mapping[str, Any] = receipt.get("details") or {}
    if details.keys() <= KEPT_OF_RECEIPTS:
        return receipt, {}
    return receipt | {"details": kept_of_receipt(details)}, {"details": details}


def kept_of_receipt(details: Mapping[str, Any]) -> Json:
    """What stays of a receipt's details when personal values go."""
    return {name: details[name] for name in KEPT_OF_RECEIPTS & details.keys()}
