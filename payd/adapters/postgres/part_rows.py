"""Put the personal values of some payments apart from the audit rows of the previous version.

For an erasure that does not wait for `payd migrate --post`, which does the same for all of them.
What is parted already is left alone.
"""

import json
import secrets
from collections.abc import Sequence
from uuid import UUID

from payd.adapters.columns import Json, dumps
from payd.adapters.personal import SALT_BYTES, part
from payd.adapters.postgres.database import Fetch
from payd.adapters.postgres.rows import Row

#: Rows of a batch: some hundred milliseconds, and a few megabytes.
_ROWS = 1000


async def part_payments(fetch: Fetch, payment_ids: Sequence[UUID]) -> None:
    """Part the rows of these payments."""
    while rows := await fetch(
        "unparted_rows_of_payments", payment_ids=list(payment_ids), limit=_ROWS
    ):
        await fetch("part_rows", rows=dumps([_parted(row) for row in rows]))


def _parted(row: Row) -> Json:
    salt = secrets.token_bytes(SALT_BYTES)
    parted = part(json.loads(row["details"]), row["ip"], row["peer"], salt)
    return {"id": row["id"], "details": parted.details, "salt": salt, "value": parted.value}
