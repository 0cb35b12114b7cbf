"""The audit chain on PostgreSQL: sign checkpoints, and read the trail for an export."""

from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import attrs

from payd.adapters.audit.chain import NOTHING, START, Head, HeadsDigest, next_hash
from payd.adapters.audit.checkpoint import Checkpoint, checkpoint_document, checkpoint_of
from payd.adapters.audit.export import ExportedChain, ExportedRow, ExportWriter
from payd.adapters.audit.keys import SigningKey
from payd.adapters.events import AuditRow
from payd.adapters.postgres.database import Database, run_on
from payd.adapters.postgres.rows import Row, audit_row_of
from payd.adapters.postgres.statements import STATEMENTS

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

#: Rows that are read at once.
_ROWS = 1000
#: Sorting the heads of ten million payments takes minutes, and a reader of an export may pause.
_PATIENT = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}


class NotChained(Exception):
    """Rows of the previous version are not in the chain yet, or the chain cannot go on."""


@attrs.frozen(kw_only=True)
class StoredTrail:
    """The trail of a payment, as a person reads it."""

    #: With the personal values that were not erased.
    rows: Sequence[AuditRow]
    #: Why the chain is not intact; empty if it is.
    problem: str


class PostgresAuditChain:
    """Reads what is committed, and locks nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest_checkpoint(self) -> Checkpoint | None:
        """The checkpoint that was signed last. Raises StoreUnavailable."""
        row = await self._database.fetch_one("newest_checkpoint")
        return checkpoint_of(row["line"]) if row else None

    async def restore_problem(self) -> str:
        """Why this cluster cannot continue the checkpoints; empty if it can.

        Raises StoreUnavailable.
        """
        row = await self._database.fetch_one("finished_transactions")
        return _restore_problem(await self.newest_checkpoint(), row["horizon"] if row else 0)

    async def trail(self, payment_id: UUID) -> StoredTrail:
        """All rows of a payment, and whether their chain is intact. Raises StoreUnavailable."""
        async with self._database.reading(_PATIENT) as connection:
            rows = await run_on(connection, "audit_trail", payment_id=payment_id)
            chained = await run_on(connection, "chained_rows", payment_id=payment_id, since=0)
        return StoredTrail(
            rows=[audit_row_of(row) for row in rows], problem=_problem(rows, chained)
        )

    async def sign_checkpoint(self, key: SigningKey, now: datetime) -> Checkpoint | None:
        """Sign and store the next checkpoint; None if another daemon was first.

        What is new is known by transactions, not by ids: a transaction that is still running has
        lower ids than some that have ended. Only those before the oldest running one are covered.
        """
        async with self._database.reading(_PATIENT) as connection:
            before = await self.newest_checkpoint()
            [row] = await run_on(connection, "finished_transactions")
            horizon, since = row["horizon"], before.horizon if before else 0
            if problem := _restore_problem(before, horizon):
                raise NotChained(problem)
            heads = HeadsDigest()
            async for row in _rows(connection, "changed_heads", since=since, until=horizon):
                heads.add(_id(row), Head(version=row["version"], hash=row["hash"]))
        document = checkpoint_document(
            before, horizon=horizon, time=now, payments=heads.count, heads=heads.hex()
        )
        checkpoint = checkpoint_of(key.signed_line(document))
        added = await self._database.fetch(
            "add_checkpoint", number=checkpoint.number, line=checkpoint.line
        )
        return checkpoint if added else None

    async def export(
        self,
        write: Callable[[str], object],
        key: SigningKey,
        export_id: str,
        now: datetime,
        *,
        payment_id: UUID | None = None,
        since: datetime | None = None,
    ) -> None:
        """Write the trail of one payment or of all, from the last checkpoint before `since` on.

        Everything is read from one snapshot. Raises NotChained and StoreUnavailable.
        """
        async with self._database.reading(_PATIENT) as connection:
            await _refuse_unchained(connection, payment_id)
            lines = await run_on(connection, "checkpoint_lines", after=0)
            checkpoints = [checkpoint_of(row["line"]) for row in lines]
            older = bisect_right([one.time for one in checkpoints], since) if since else 0
            start = checkpoints[older - 1] if older else None
            covers = {
                "payment": payment_id,
                "since": since,
                "after_checkpoint": start.number if start else 0,
                "time": now,
            }
            writer = ExportWriter(write, key, export_id, covers)
            rows = _rows(
                connection,
                "chained_rows",
                since=start.horizon if start else 0,
                payment_id=payment_id,
            )
            async for of_payment in _by_payment(rows):
                writer.add(await self._chain(of_payment, checkpoints))
            # Of one payment nobody can tell which others had changed.
            writer.finish([] if payment_id else checkpoints[older:])

    async def _chain(self, rows: Sequence[Row], checkpoints: Sequence[Checkpoint]) -> ExportedChain:
        first, payment_id = rows[0], _id(rows[0])
        horizons = [one.horizon for one in checkpoints]
        after = START
        if first["version"] > 1:
            version = first["version"] - 1
            row = await self._database.fetch_one(
                "chained_row", payment_id=payment_id, version=version
            )
            after = Head(version=version, hash=row["hash"] if row else NOTHING)
        exported = list[ExportedRow]()
        for row in rows:
            covering = bisect_right(horizons, row["chain_xid"])
            is_covered = covering < len(checkpoints)
            exported.append(
                ExportedRow(
                    version=row["version"],
                    content=row["content"],
                    hash=row["hash"],
                    checkpoint=checkpoints[covering].number if is_covered else None,
                )
            )
        head = Head(version=first["audit_version"], hash=first["audit_hash"] or NOTHING)
        return ExportedChain(payment_id=payment_id, after=after, rows=exported, head=head)


def _restore_problem(before: Checkpoint | None, horizon: int) -> str:
    if before is None or horizon >= before.horizon:
        return ""
    return (
        f"the database counts transactions from {horizon}, checkpoint {before.number} from"
        f" {before.horizon}: it was restored into a new cluster; see docs/audit.md"
    )


async def _refuse_unchained(connection: "_Connection", payment_id: UUID | None) -> None:
    for row in await run_on(connection, "unchained_row", payment_id=payment_id):
        raise NotChained(
            f"version {row['version']} of payment {row['payment_id']} is not chained yet: run"
            " `payd migrate --post` when no daemon of the previous version runs"
        )


def _problem(rows: Sequence[Row], chained: Sequence[Row]) -> str:
    """What is wrong with the chain of a payment; empty if nothing is."""
    head = START
    for row in chained:
        hash_now = next_hash(head.hash, row["content"].encode())
        if (row["version"], row["hash"]) != (head.version + 1, hash_now):
            return f"the chain is broken: version {head.version + 1} was altered or dropped"
        head = Head(version=row["version"], hash=row["hash"])
    if chained and (chained[-1]["audit_version"], chained[-1]["audit_hash"]) != (
        head.version,
        head.hash,
    ):
        return f"the chain is broken: rows after version {head.version} were dropped"
    if len(rows) > len(chained):
        return f"{len(rows) - len(chained)} rows are not chained yet: see `payd migrate --post`"
    return ""


async def _rows(connection: "_Connection", statement: str, **values: object) -> AsyncIterator[Row]:
    """The rows of a named statement, some at a time."""
    named = STATEMENTS[statement]
    async for row in connection.cursor(named.sql, *named.arguments(values), prefetch=_ROWS):
        yield row


async def _by_payment(rows: AsyncIterator[Row]) -> AsyncIterator[Sequence[Row]]:
    """The rows of each payment; they come in this order."""
    found = list[Row]()
    async for row in rows:
        if found and found[0]["payment_id"] != row["payment_id"]:
            yield found
            found = []
        found.append(row)
    if found:
        yield found


def _id(row: Row) -> UUID:
    return UUID(int=row["payment_id"].int)
