"""Accounts on PostgreSQL: movements of money, found along indexes of their times."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from payd.adapters.postgres.database import Database
from payd.adapters.postgres.rows import Row
from payd.domain.accounting import Account, Amounts, Movement, MovementKind, Sums, Unit
from payd.domain.money import currency_exponent
from payd.ports import Page, Position

#: Most movements that one statement sums.
SUMMED_MAX = 2_000


class PostgresAccounts:
    """Implements the port Accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def movements(self, after: Position, before: datetime, limit: int) -> Page[Movement]:
        # One more than asked for tells whether there is a next page.
        asked = asked_for(after, before, limit + 1)
        found = [_movement(row) for row in await self._database.fetch("list_movements", **asked)]
        page = found[:limit]
        end = Position(page[-1].time, page[-1].id) if len(found) > limit else None
        return Page(tuple(page), end)

    async def sums(self, after: Position, before: datetime) -> Page[Sums]:
        asked = asked_for(after, before, SUMMED_MAX)
        rows = await self._database.fetch("sum_movements", **asked)
        items = tuple(map(_sums, rows))
        if sum(one.movements for one in items) < SUMMED_MAX:
            return Page(items)
        return Page(items, Position(rows[0]["last_time"], UUID(int=rows[0]["last_id"].int)))


def asked_for(after: Position, before: datetime, limit: int) -> Mapping[str, Any]:
    """The parameters of both statements."""
    return {
        "after_time": after.time,
        "after_id": after.id,
        "before_time": before,
        "limit": limit,
    }


def _movement(row: Row) -> Movement:
    return Movement(
        time=row["time"],
        id=UUID(int=row["id"].int),
        kind=MovementKind(row["kind"]),
        account=_account(row),
        amounts=_amounts(row),
        payment_id=UUID(int=row["payment_id"].int),
        reference=row["reference"],
        payment_reference=row["payment_reference"],
        aliases=tuple(row["aliases"]),
        customer_id=row["customer_id"],
        idempotency_key=row["idempotency_key"],
    )


def _sums(row: Row) -> Sums:
    counts = ("payments", "refunds", "disputes", "dispute_returns", "payments_with_fee")
    return Sums(
        account=_account(row), amounts=_amounts(row), **{name: row[name] for name in counts}
    )


def _account(row: Row) -> Account:
    token = row["token_address"]
    currency = row["currency"]
    decimals = row["token_decimals"] if token else currency_exponent(currency)
    unit = Unit(
        currency=currency,
        decimals=decimals,
        chain_id=int(row["chain_id"] or 0),
        token_address=token or "",
    )
    return Account(provider=row["provider"], method=row["method"], unit=unit)


def _amounts(row: Row) -> Amounts:
    return Amounts(
        gross=int(row["gross"]),
        refunded=int(row["refunded"]),
        disputed=int(row["disputed"]),
        fee=None if row["fee"] is None else int(row["fee"]),
    )
