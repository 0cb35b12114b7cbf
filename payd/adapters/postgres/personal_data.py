"""Personal data in PostgreSQL: find and erase it, in limited batches, each a statement."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from payd.adapters.names import Names
from payd.adapters.personal import bare_body
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.part_rows import part_payments
from payd.domain.decide import FORGOTTEN
from payd.domain.forget import RetainedEvent
from payd.domain.page import Position
from payd.ports import SearchedReports, Traces

#: Rows of the inbox that are read at once: they hold the loop for some ten milliseconds.
_INBOX_ROWS = 500
#: What stands in the place of a report.
_ERASED = '{"erased": true}'


class PostgresPersonalData:
    """Implements the port PersonalData."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def knows(self, customer_id: str) -> bool:
        return await self._database.fetch_one("customer", customer_id=customer_id) is not None

    async def payments_of(
        self, customer_id: str, after: Position | None, limit: int
    ) -> Sequence[Position]:
        rows = await self._database.fetch(
            "payments_of_customer",
            customer_id=customer_id,
            after_time=after and after.time,
            after_id=after and after.id,
            limit=limit,
        )
        return [Position(row["time"], UUID(int=row["id"].int)) for row in rows]

    async def unpublished(self, payment_ids: Collection[UUID]) -> Sequence[UUID]:
        rows = await self._database.fetch("unpublished_of_payments", payment_ids=list(payment_ids))
        return [row["payment_id"] for row in rows]

    async def erase_payments(
        self, payment_ids: Collection[UUID], *, erase: bool
    ) -> Mapping[str, int]:
        ids = list(payment_ids)
        if erase:
            await part_payments(self._database.fetch, ids)
        [row] = await self._database.fetch(
            "erase_payments", payment_ids=ids, forgotten=FORGOTTEN, erase=erase
        )
        return {**row, "outbox": await self._erase_bodies(ids, erase=erase)}

    async def _erase_bodies(self, payment_ids: Sequence[UUID], *, erase: bool) -> int:
        rows = await self._database.fetch("published_bodies", payment_ids=payment_ids)
        bare = {row["id"]: bare_body(row["body"]) for row in rows}
        changed = {row["id"]: bare[row["id"]] for row in rows if bare[row["id"]] != row["body"]}
        if erase and changed:
            await self._database.fetch(
                "replace_bodies", row_ids=list(changed), bodies=list(changed.values())
            )
        return len(changed)

    async def retained_events(
        self, payment_ids: Collection[UUID], limit: int
    ) -> Sequence[RetainedEvent]:
        rows = await self._database.fetch(
            "retained_events", payment_ids=list(payment_ids), limit=limit
        )
        return [RetainedEvent(**row) for row in rows]

    async def traces(self, customer_id: str, payment_ids: Collection[UUID]) -> Traces:
        ids = list(payment_ids)
        names = await self._database.fetch(
            "names_in_reports", customer_id=customer_id, payment_ids=ids
        )
        reports = await self._database.fetch("reports_in_trail", payment_ids=ids)
        return Traces(
            names=frozenset(row["name"] for row in names if row["name"]),
            report_ids=frozenset(row["id"] for row in reports),
        )

    async def erase_reports(self, traces: Traces, after: int, *, erase: bool) -> SearchedReports:
        names = Names(traces.names)
        rows = await self._database.fetch("part_of_inbox", after_id=after, limit=_INBOX_ROWS)
        in_reports = {
            row["id"]
            for row in rows
            if row["report"] != _ERASED
            and (row["id"] in traces.report_ids or names.are_in(row["report"]))
        }
        found = in_reports | {row["id"] for row in rows if names.are_in(_text(row["raw_body"]))}
        settled = found & {row["id"] for row in rows if row["is_settled"]}
        if erase and settled:
            await self._database.fetch(
                "erase_reports", row_ids=list(settled), report_ids=list(in_reports)
            )
        return SearchedReports(
            found=frozenset(settled),
            waiting=frozenset(found - settled),
            next_after=rows[-1]["id"] if rows else None,
        )

    async def erase_customer(self, customer_id: str, *, erase: bool) -> int:
        [row] = await self._database.fetch("erase_customer", customer_id=customer_id, erase=erase)
        return int(row["rows"])


def _text(body: bytes | None) -> str:
    return "" if body is None else body.decode(errors="replace")
