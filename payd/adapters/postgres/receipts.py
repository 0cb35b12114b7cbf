"""Receipts on PostgreSQL: the ledger as an operator and the audit read it."""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from payd.adapters.postgres.database import Database
from payd.domain.evidence import Receipt, ReceiptState
from payd.ports import WATCH, Book, StoredReceipt


class PostgresReceipts:
    """The port Receipts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_receipt(self, provider: str, receipt_id: str) -> StoredReceipt | None:
        """See the port."""
        row = await self._database.fetch_one(
            "stored_receipt", provider=provider, receipt_id=receipt_id
        )
        return _stored(row) if row else None

    async def unmatched(self, limit: int) -> Sequence[StoredReceipt]:
        """See the port."""
        rows = await self._database.fetch("unmatched_receipts", limit=limit)
        return [_stored(row) for row in rows]

    async def count_unmatched(self) -> int:
        """How many wait for an operator."""
        row = await self._database.fetch_one("count_unmatched")
        return row["unmatched"] if row else 0

    async def book(self, provider: str) -> Book:
        """See the port."""
        row = await self._database.fetch_one("book", provider=provider, cursor_name=WATCH)
        if row is None:
            raise AssertionError("a statement without FROM gives a row")
        return Book(
            cursor=row["cursor"],
            received=_sums(row["received"]),
            outflows=_sums(row["outflows"]),
        )


def _stored(row: asyncpg.Record) -> StoredReceipt:
    payment_id = row["payment_id"]
    return StoredReceipt(
        provider=row["provider"],
        receipt=Receipt(
            id=row["id"],
            asset=row["asset"],
            amount=int(row["amount"]),
            state=ReceiptState(row["state"]),
            time=row["time"],
            details=json.loads(row["details"]),
        ),
        reference=row["reference"],
        payment_id=UUID(int=payment_id.int) if payment_id else None,
    )


def _sums(text: str) -> Mapping[str, int]:
    return {asset: int(units) for asset, units in json.loads(text).items()}
