"""Read why a person should look at a payment, as two versions of payd leave it in the database.

This version writes each reason with what is behind it into `attention_records`, and the open ones
into `attention`, too. The previous version knows and changes only `attention`.
"""

import json
from collections.abc import Collection
from datetime import datetime

import attrs

from payd.adapters.columns import NEW_REASONS, Json
from payd.domain.attention import (
    WAITING,
    Attention,
    AttentionRecord,
    Records,
    end,
    open_reasons,
)


def attention_of(text: str, listed: Collection[str], update_time: datetime) -> Records:
    """The reasons of a payment, from the columns.

    A reason that only one of the columns has was raised or ended by the previous version, at the
    payment's last change.
    """
    if text == "[]" and not listed:
        return ()
    records: Records = tuple(map(_record_of, json.loads(text)))
    current = {Attention(reason) for reason in listed}
    is_open = open_reasons(records)
    ended = {reason for reason in is_open - current if reason.value not in NEW_REASONS}
    records = end(records, ended, update_time)
    raised = tuple(_raised(records, reason, update_time) for reason in current - is_open)
    if not raised:
        return records
    others = (record for record in records if record.reason not in current - is_open)
    return tuple(sorted((*others, *raised), key=_in_order))


def _record_of(fields: Json) -> AttentionRecord:
    resolved_time = fields["resolved_time"]
    read = {
        "reason": Attention(fields["reason"]),
        "since": datetime.fromisoformat(fields["since"]),
        "facts": frozenset(fields["facts"]),
        "resolved_time": resolved_time and datetime.fromisoformat(resolved_time),
    }
    return AttentionRecord(**fields | read)


def _raised(records: Records, reason: Attention, since: datetime) -> AttentionRecord:
    """The open record of a reason; what is behind it is not known, or not all of it."""
    published = reason not in WAITING
    for record in records:
        if record.reason is reason:
            return attrs.evolve(
                record,
                since=since,
                published=published,
                resolved_time=None,
                resolved_by="",
                note="",
            )
    return AttentionRecord(reason=reason, since=since, published=published)


def _in_order(record: AttentionRecord) -> tuple[datetime, int]:
    return record.since, list(Attention).index(record.reason)
