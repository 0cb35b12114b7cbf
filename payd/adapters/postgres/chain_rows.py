"""Chain the audit rows of the previous version of payd, for `payd migrate --post`.

In batches, each a transaction of its own, beside payments. What is chained is found no more, so
that it may be interrupted at any time and run again. A row is written once: its personal values are
put apart in the same step.
"""

import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from payd.adapters.audit.chain import NOTHING, content_of, next_hash
from payd.adapters.columns import Json, dumps
from payd.adapters.personal import SALT_BYTES, part
from payd.adapters.postgres.database import run_on
from payd.adapters.postgres.rows import Row

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

#: Rows of a batch: some hundred milliseconds, and a few megabytes.
_ROWS = 1000
#: Batches after which the progress is reported.
_REPORT = 100
_FIRST = UUID(int=0)
#: One of the payments has changed meanwhile: its rows, or its personal values were put apart.
_CHANGED = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.UniqueViolationError,
)


async def chain_rows(
    connection: "_Connection",
    progress: Callable[[str], None],
    *,
    limit: int = _ROWS,
    report: int = _REPORT,
) -> int:
    """Chain all rows that are not chained yet; return how many there were."""
    start, done, batches = _FIRST, 0, 0
    while True:
        try:
            rows = await _chain_batch(connection, start, limit)
        except _CHANGED:
            continue
        if not rows:
            return done
        # The last payment may have more rows.
        start, done, batches = rows[-1]["payment_id"], done + len(rows), batches + 1
        if batches % report == 0:
            progress(f"audit trail: {done} rows chained, at payment {start}")


async def _chain_batch(connection: "_Connection", start: UUID, limit: int) -> Sequence[Row]:
    """Chain the next rows, or raise if another writer has changed one of their payments.

    Read and write see one snapshot, so that no row is written that is not as it was read: what was
    erased from it since must not come back.
    """
    async with connection.transaction(isolation="repeatable_read"):
        rows = await run_on(connection, "rows_to_chain", start=start, limit=limit)
        if rows:
            payments = dumps([_chained(of_payment) for of_payment in _by_payment(rows)])
            await run_on(connection, "chain_rows", payments=payments)
        return rows


def _by_payment(rows: Sequence[Row]) -> Sequence[Sequence[Row]]:
    """The rows of each payment, in order of the versions."""
    found: defaultdict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["payment_id"]].append(row)
    return list(found.values())


def _chained(rows: Sequence[Row]) -> Json:
    """What is written of one payment."""
    head, version = rows[0]["audit_hash"] or NOTHING, rows[0]["audit_version"]
    chained = list[Json]()
    for row in rows:
        if row["version"] != version + 1:
            raise AssertionError(
                f"payment {row['payment_id']} has no audit row of version {version + 1}"
            )
        one = _content(row)
        version, head = version + 1, next_hash(head, one["content"].encode())
        chained.append(one | {"version": version, "hash": head})
    return {
        "id": rows[0]["payment_id"],
        "audit_version": version,
        "audit_hash": head,
        "rows": chained,
    }


def _content(row: Row) -> Json:
    """The content of a row, and what is put apart from it now."""
    if row["content"] is not None:
        return {"content": row["content"], "salt": None, "value": None}
    details, salt, value = json.loads(row["details"]), None, None
    if "personal" not in details:
        salt = secrets.token_bytes(SALT_BYTES)
        parted = part(details, row["ip"], row["peer"], salt)
        details, value = parted.details, parted.value
    content = content_of(
        row["payment_id"],
        row["version"],
        row["event_type"],
        details,
        row["create_time"],
        actor=row["actor"],
        request_id=row["request_id"],
        certificate=row["certificate"],
    )
    return {"content": content, "salt": salt, "value": value}
