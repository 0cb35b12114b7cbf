"""PaymentLists on PostgreSQL: one statement finds the ids of a page, a second one reads them.

A payment that changes in between is returned as it is after the change.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from payd.adapters.columns import NEW_REASONS
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.rows import Row
from payd.adapters.postgres.statements import STATEMENTS, Statement
from payd.adapters.postgres.store import PostgresStore
from payd.domain.attention import Attention
from payd.domain.payment import Payment, Status
from payd.ports import Names, Page, PaymentFilter, Position, Selection

#: Most payments that one walk along an index looks at.
WALK_MAX = 2_000
_FIRST_ID = UUID(int=0)
_EVERY_STATUS = tuple(status.value for status in Status)
_EVERY_REASON = frozenset(Attention)


class PostgresPaymentLists:
    """Implements the port PaymentLists, with two round trips a list."""

    def __init__(self, database: Database, store: PostgresStore) -> None:
        self._database = database
        self._store = store

    async def customers_with_email(self, email: str, limit: int) -> Sequence[str]:
        rows = await self._database.fetch("customers_with_email", email=email, limit=limit)
        return [row["id"] for row in rows]

    async def payments_named(self, names: Names, limit: int) -> Sequence[UUID]:
        rows = await self._database.fetch(
            "payments_named", names=list(names.texts), ids=list(names.ids), limit=limit
        )
        return [UUID(int=row["id"].int) for row in rows]

    async def newest_first(
        self, selection: Selection, after: Position | None, limit: int
    ) -> Page[Payment]:
        return await self._page(*newest_statement(selection, after, limit), limit)

    async def longest_attention_first(
        self, selection: Selection, after: Position | None, limit: int
    ) -> Page[Payment]:
        return await self._page(*attention_statement(selection, after, limit), limit)

    async def _page(
        self, statement: Statement, values: Mapping[str, object], limit: int
    ) -> Page[Payment]:
        rows = await self._database.fetch(statement.name, **values)
        page = _page_of(rows, limit)
        return Page(tuple(await self._store.get_all(page.items)), page.next)


def newest_statement(
    selection: Selection, after: Position | None, limit: int
) -> tuple[Statement, Mapping[str, object]]:
    """The statement along the index that leaves the fewest payments to look at, and its values."""
    before = _begin(after, selection.filter.create_time_before)
    asked = _asked(selection) | {
        "before_time": before and before.time,
        "before_id": before and before.id,
        "limit": limit + 1,
    }
    statement = _leading(selection)
    return statement, {name: asked[name] for name in statement.parameters}


def attention_statement(
    selection: Selection, after: Position | None, limit: int
) -> tuple[Statement, Mapping[str, object]]:
    """The statement of ListAttention, and its values."""
    reasons = selection.filter.attention or _EVERY_REASON
    asked = _asked(selection) | {
        **_attention(reasons),
        "after_time": after and after.time,
        "after_id": after and after.id,
        "limit": limit + 1,
    }
    statement = STATEMENTS["list_attention"]
    return statement, {name: asked[name] for name in statement.parameters}


def _leading(selection: Selection) -> Statement:
    wanted = selection.filter
    if selection.payment_ids is not None:
        return STATEMENTS["list_payments_of_ids"]
    if selection.customer_ids is not None:
        return STATEMENTS["list_payments_of_customers"]
    if wanted.subscription_id or wanted.metadata is not None:
        return STATEMENTS["list_payments_labelled"]
    if wanted.attention:
        return STATEMENTS["list_payments_with_attention"]
    return STATEMENTS["list_payments_of_kinds"]


def _asked(selection: Selection) -> dict[str, Any]:
    """The values of all parameters but those of the page; None where nothing was asked for."""
    wanted = selection.filter
    key, value = wanted.metadata or (None, None)
    statuses = [status.value for status in wanted.statuses]
    return {
        "customer_ids": _list_or_none(selection.customer_ids),
        "payment_ids": _list_or_none(selection.payment_ids),
        "statuses": statuses or None,
        "kind_statuses": statuses or _EVERY_STATUS,
        "methods": list(wanted.methods) or None,
        "providers": list(wanted.providers) or None,
        **_attention(wanted.attention),
        "subscription_id": wanted.subscription_id or None,
        "metadata_key": key,
        "metadata_value": value,
        "label": _label(wanted),
        "create_time_from": wanted.create_time_from,
        "create_time_before": wanted.create_time_before,
        "currency_code": wanted.currency_code or None,
        "min_minor_units": wanted.min_minor_units,
        "max_minor_units": wanted.max_minor_units,
        "walk_max": WALK_MAX,
    }


def _attention(reasons: frozenset[Attention]) -> dict[str, list[str] | None]:
    names = sorted(reason.value for reason in reasons)
    return {
        "attention": names or None,
        "new_attention": [name for name in names if name in NEW_REASONS],
    }


def _label(wanted: PaymentFilter) -> str:
    """The text whose hash is the label: as in the function labels_of of the schema."""
    if wanted.subscription_id:
        return f"={wanted.subscription_id}"
    return "=".join(wanted.metadata or ())


def _list_or_none(values: frozenset[Any] | None) -> list[Any] | None:
    return None if values is None else list(values)


def _begin(after: Position | None, before: datetime | None) -> Position | None:
    """Where the page begins. A page before this one has ended before `before`."""
    if after is not None or before is None:
        return after
    return Position(before, _FIRST_ID)


def _page_of(rows: Sequence[Row], limit: int) -> Page[UUID]:
    """The ids of a page, from rows of which one may only mark where a walk ended."""
    ids: list[UUID] = []
    position: Position | None = None
    for row in rows:
        if len(ids) == limit:
            return Page(tuple(ids), position)
        position = Position(row["time"], UUID(int=row["id"].int))
        if row["is_wanted"]:
            ids.append(position.id)
        if row["is_last"]:
            return Page(tuple(ids), position)
    return Page(tuple(ids), None)
