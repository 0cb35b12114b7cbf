"""Reconciliations on PostgreSQL: payments to compare, and results of comparisons."""

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from payd.adapters.columns import dumps
from payd.adapters.postgres.database import Database
from payd.domain.ledger import ReconciliationPosition
from payd.domain.payment import Status
from payd.ports import Reconciliation, StoredObject

_PAGE = 1000
#: Sorts before every id.
_NO_ID = UUID(int=0)


class PostgresReconciliations:
    """Implements the ports Reconciliations and ReconciliationLists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stored_objects(
        self, provider: str, since: datetime, until: datetime
    ) -> Sequence[StoredObject]:
        """Read by pages, so that no statement runs for long."""
        found: list[StoredObject] = []
        after_time, after_id = since, _NO_ID
        while True:
            rows = await self._database.fetch(
                "provider_objects",
                provider=provider,
                since=since,
                until=until,
                after_time=after_time,
                after_id=after_id,
                limit=_PAGE,
            )
            found += [
                StoredObject(
                    payment_id=UUID(int=row["id"].int),
                    status=Status(row["status"]),
                    reference=row["provider_reference"],
                    create_time=row["create_time"],
                )
                for row in rows
            ]
            if len(rows) < _PAGE:
                return found
            after_time, after_id = rows[-1]["create_time"], rows[-1]["id"]

    async def add(self, reconciliation: Reconciliation) -> None:
        await self._database.fetch(
            "add_reconciliation",
            provider=reconciliation.provider,
            since=reconciliation.since,
            until=reconciliation.until,
            start_time=reconciliation.start_time,
            end_time=reconciliation.end_time,
            objects=reconciliation.objects,
            payments=reconciliation.payments,
            findings=dumps([dict(finding) for finding in reconciliation.findings]),
        )

    async def newest(
        self, provider: str, after: ReconciliationPosition | None, limit: int
    ) -> Sequence[Reconciliation]:
        rows = await self._database.fetch(
            "reconciliations",
            provider=provider,
            before_time=after and after.end_time,
            before_id=after.id if after else 0,
            limit=limit,
        )
        return [
            Reconciliation(
                **{name: row[name] for name in _SAME}, findings=tuple(json.loads(row["findings"]))
            )
            for row in rows
        ]


_SAME = ("id", "provider", "since", "until", "start_time", "end_time", "objects", "payments")
