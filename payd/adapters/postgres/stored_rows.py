"""Rows of a payment as PostgreSQL has them, each as JSON."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from payd.adapters.postgres.database import Database
from payd.domain.stored_rows import BYTES_MAX, ROWS_MAX, StoredTable


class PostgresStoredRows:
    """Implements the port StoredRows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_payment(self, payment_id: UUID) -> Sequence[StoredTable]:
        found = await self._database.fetch(
            "stored_rows", payment_id=payment_id, limit=ROWS_MAX + 1, bytes_max=BYTES_MAX
        )
        return [
            _table(name, [row["row"] for row in rows])
            for name, rows in groupby(found, key=itemgetter("name"))
        ]


def _table(name: str, rows: Sequence[str | None]) -> StoredTable:
    fitting = tuple(row for row in rows[-ROWS_MAX:] if row is not None)
    return StoredTable(name=name, rows=fitting, has_more=len(fitting) < len(rows))
