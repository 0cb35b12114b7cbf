"""Put the personal values of the previous version's audit rows apart from the trail.

In batches, each a transaction of its own, beside payments. It may be interrupted at any time: what
is parted already is left alone, so it is safe to run again.
"""

import json
import secrets
from collections.abc import Callable, Sequence
from uuid import UUID

from payd.adapters.columns import Json, dumps
from payd.adapters.personal import SALT_BYTES, part
from payd.adapters.postgres.database import Fetch
from payd.adapters.postgres.rows import Row

#: Rows of a batch: some hundred milliseconds, and a few megabytes.
_ROWS = 1000
#: Batches after which the progress is reported.
_REPORT = 100


async def part_trail(fetch: Fetch, progress: Callable[[str], None]) -> int:
    """Part all rows; return how many were not parted yet."""
    after_id, done, batches = 0, 0, 0
    while rows := await fetch("unparted_rows", after_id=after_id, limit=_ROWS):
        after_id, batches = rows[-1]["id"], batches + 1
        done += await _part(fetch, [row for row in rows if row["is_unparted"]])
        if batches % _REPORT == 0:
            progress(f"audit trail: {done} rows parted from personal values, at row {after_id}")
    return done


async def part_payments(fetch: Fetch, payment_ids: Sequence[UUID]) -> None:
    """Part the rows of these payments."""
    while rows := await fetch(
        "unparted_rows_of_payments", payment_ids=list(payment_ids), limit=_ROWS
    ):
        await _part(fetch, rows)


async def _part(fetch: Fetch, rows: Sequence[Row]) -> int:
    if rows:
        await fetch("part_rows", rows=dumps([_parted(row) for row in rows]))
    return len(rows)


def _parted(row: Row) -> Json:
    salt = secrets.token_bytes(SALT_BYTES)
    parted = part(json.loads(row["details"]), row["ip"], row["peer"], salt)
    return {"id": row["id"], "details": parted.details, "salt": salt, "value": parted.value}
