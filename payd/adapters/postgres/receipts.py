"""Receipts on PostgreSQL: reads of the ledger for operators and audits."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias
from uuid import UUID

import asyncpg

from payd.adapters.postgres.database import Database, Fetch
from payd.domain.evidence import Receipt, ReceiptState
from payd.domain.ledger import ReceiptFilter, ReceiptPosition
from payd.ports import WATCH, Book, StoredReceipt

#: Rows that one statement of an audit reads. With a cold cache each of them is a read of its own,
#: and all have to come within the time limit of a statement.
_PAGE = 1_000
_Rows: TypeAlias = Sequence[asyncpg.Record]


class PostgresReceipts:
    """Implements the port Receipts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_receipt(self, provider: str, receipt_id: str) -> StoredReceipt | None:
        row = await self._database.fetch_one(
            "stored_receipt", provider=provider, receipt_id=receipt_id
        )
        return _stored(row) if row else None

    async def newest(
        self, wanted: ReceiptFilter, after: ReceiptPosition | None, limit: int
    ) -> Sequence[StoredReceipt]:
        page: dict[str, object] = {
            "provider": wanted.provider,
            "time_from": wanted.time_from,
            "before_time": after.time if after else wanted.time_before,
            "before_provider": after.provider if after else "",
            "before_id": after.id if after else "",
            "limit": limit,
        }
        if wanted.payment_id is not None:
            rows = await self._database.fetch(
                "list_receipts_of_payment", payment_id=wanted.payment_id, **page
            )
        else:
            unmatched = [True] if wanted.unmatched else [True, False]
            rows = await self._database.fetch("list_receipts", unmatched=unmatched, **page)
        return [_stored(row) for row in rows]

    async def of_payment(self, payment_id: UUID, limit: int) -> Sequence[Receipt]:
        rows = await self._database.fetch("payment_receipts", payment_id=payment_id, limit=limit)
        return [_receipt(row) for row in reversed(rows)]

    async def count_of_payment(self, payment_id: UUID) -> int:
        row = await self._database.fetch_one("count_payment_receipts", payment_id=payment_id)
        return row["receipts"] if row else 0

    async def count_unmatched(self) -> int:
        """Number of receipts that no payment has."""
        row = await self._database.fetch_one("count_unmatched")
        return row["unmatched"] if row else 0

    async def book(self, provider: str) -> Book:
        return await _book(self._database.fetch, provider)

    async def recount(self, provider: str) -> tuple[Book, Book]:
        """Sum all rows by pages, so that no statement runs for long, in one snapshot."""
        async with self._database.snapshot() as fetch:
            running = await _book(fetch, provider)
            counted = Book(
                cursor=running.cursor,
                received=await _count(partial(_receipts_after, fetch, provider)),
                outflows=await _count(partial(_outflows_after, fetch, provider)),
            )
        return running, counted

    async def fold(self, limit: int) -> int:
        """Add at most `limit` changes of the ledger to the running sums; return how many."""
        row = await self._database.fetch_one("fold_ledger", limit=limit)
        return row["rows"] if row else 0


def _stored(row: asyncpg.Record) -> StoredReceipt:
    payment_id = row["payment_id"]
    return StoredReceipt(
        provider=row["provider"],
        receipt=_receipt(row),
        reference=row["reference"],
        payment_id=UUID(int=payment_id.int) if payment_id else None,
    )


def _receipt(row: asyncpg.Record) -> Receipt:
    return Receipt(
        id=row["id"],
        asset=row["asset"],
        amount=int(row["amount"]),
        state=ReceiptState(row["state"]),
        time=row["time"],
        details=json.loads(row["details"]),
    )


async def _book(fetch: Fetch, provider: str) -> Book:
    [row] = await fetch("book", provider=provider, cursor_name=WATCH)
    return Book(
        cursor=row["cursor"], received=_sums(row["received"]), outflows=_sums(row["outflows"])
    )


async def _count(page_after: Callable[[str], Awaitable[_Rows]]) -> Mapping[str, int]:
    """Sum all rows, by asset."""
    sums: Counter[str] = Counter()
    last_id: str | None = ""
    while last_id is not None:
        [page] = await page_after(last_id)
        sums.update(_sums(page["sums"]))
        last_id = page["last_id"]
    return dict(sums)


async def _receipts_after(fetch: Fetch, provider: str, after_id: str) -> _Rows:
    return await fetch("page_of_receipts", provider=provider, after_id=after_id, limit=_PAGE)


async def _outflows_after(fetch: Fetch, provider: str, after_id: str) -> _Rows:
    return await fetch("page_of_outflows", provider=provider, after_id=after_id, limit=_PAGE)


def _sums(text: str) -> Mapping[str, int]:
    return {asset: int(units) for asset, units in json.loads(text).items()}
