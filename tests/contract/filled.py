"""A database that is filled for one file of tests, and what statements do in it.

All happens in one transaction, which is rolled back: nothing stays stored.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import asyncpg
import attrs
from contract.conftest import EMPTY

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.statements import Statement


@attrs.frozen
class Filled:
    """The open transaction."""

    _runner: asyncio.Runner
    _session: "asyncpg.Connection[asyncpg.Record]"
    _prepared: set[str] = attrs.field(factory=set)

    def plan(self, statement: Statement, values: Mapping[str, object]) -> str:
        """The generic plan of a statement, and what it did with these values."""
        return self._runner.run(self._plan(statement, values))

    @contextmanager
    def changed(self, *steps: str) -> Iterator[None]:
        """Take more steps; they are undone at the end of the block."""
        undone = self._session.transaction()
        self._runner.run(undone.start())
        try:
            for step in steps:
                self._runner.run(self._session.execute(step))
            yield
        finally:
            self._runner.run(undone.rollback())

    async def _plan(self, statement: Statement, values: Mapping[str, object]) -> str:
        name = f"asked_{statement.name}"
        if name not in self._prepared:
            await self._session.execute(f"PREPARE {name} AS {statement.sql}")
            self._prepared.add(name)
        arguments = ", ".join(map(_literal, statement.arguments(values)))
        execute = f"EXECUTE {name} ({arguments})"
        rows = await self._session.fetch(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {execute}")
        return "\n".join(row[0] for row in rows)


@contextmanager
def filled(settings: DatabaseSettings, *steps: str) -> Iterator[Filled]:
    """Take these steps in an empty database; plans neither scan tables nor know the values."""
    with asyncio.Runner() as runner:
        session = runner.run(Database(settings).connect())
        rolled_back = session.transaction()
        try:
            runner.run(rolled_back.start())
            for step in (
                "SET LOCAL statement_timeout = 0",
                "SET LOCAL plan_cache_mode = force_generic_plan",
                "SET LOCAL enable_seqscan = off",
                EMPTY,
                *steps,
            ):
                runner.run(session.execute(step))
            yield Filled(runner, session)
        finally:
            runner.run(rolled_back.rollback())
            runner.run(session.close())


def rows_read(plan: str) -> float:
    """Rows of the step of a plan that has read most, with those that it dropped."""
    read = [float(rows) * int(loops) for rows, loops in re.findall(r"rows=(\S+) loops=(\d+)", plan)]
    dropped = [float(rows) for rows in re.findall(r"Rows Removed by [\w ]+: (\d+)", plan)]
    return max(read + dropped)


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case int():
            return str(value)
        case list() | tuple():
            return "'{" + ",".join(f'"{one}"' for one in value) + "}'"
        case _:
            return f"'{value}'"
