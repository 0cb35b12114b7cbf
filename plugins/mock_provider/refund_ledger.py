"""The refunds of the mock's remote side, in the SQLite file of its sessions."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from uuid import UUID

from mock_provider.columns import micros, time_of
from mock_provider.refunds import MockRefund, Plan, RefundScenario, Step
from payd.plugins import Declined, RefundState

__all__ = ["REFUND_SCHEMA", "RefundLedger"]

REFUND_SCHEMA = """
CREATE TABLE IF NOT EXISTS refund_plans (
    session TEXT PRIMARY KEY, scenario TEXT NOT NULL, delay_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refunds (
    reference TEXT PRIMARY KEY, session TEXT NOT NULL, fingerprint TEXT NOT NULL, refund_id TEXT,
    amount TEXT NOT NULL, create_time INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS refunds_session ON refunds (session);
CREATE TABLE IF NOT EXISTS refund_steps (
    id INTEGER PRIMARY KEY, refund TEXT NOT NULL, state TEXT NOT NULL, time INTEGER NOT NULL,
    reported INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS refund_steps_refund ON refund_steps (refund, time);
CREATE INDEX IF NOT EXISTS refund_steps_unreported ON refund_steps (time) WHERE reported = 0;
"""
_REFUND = "reference, session, fingerprint, refund_id, amount, create_time"


class RefundLedger:
    """Refunds and their steps; `transaction` is that of the file."""

    def __init__(
        self,
        database: sqlite3.Connection,
        transaction: Callable[[], AbstractContextManager[sqlite3.Connection]],
    ) -> None:
        self._database = database
        self._transaction = transaction

    def plan(self, session: str, plan: Plan) -> None:
        """Keep what is to become of a session's refunds."""
        delay_us = plan.delay // timedelta(microseconds=1)
        row = (session, plan.scenario.value, delay_us)
        self._database.execute("INSERT OR IGNORE INTO refund_plans VALUES (?, ?, ?)", row)

    def plan_of(self, session: str, otherwise: Plan) -> Plan:
        """What is to become of a session's refunds."""
        row = self._database.execute(
            "SELECT scenario, delay_us FROM refund_plans WHERE session = ?", (session,)
        ).fetchone()
        if row is None:
            return otherwise
        return Plan(scenario=RefundScenario(row[0]), delay=timedelta(microseconds=row[1]))

    def add(
        self, refund: MockRefund, steps: Sequence[Step], *, paid: int
    ) -> tuple[MockRefund, bool]:
        """Store a refund once per reference; return the stored one, and whether it is new.

        Raises Declined for more than is left of what was paid.
        """
        with self._transaction() as database:
            if (kept := self.find(refund.reference)) is not None:
                return kept[0], False
            left = paid - self._live(refund.session, refund.create_time)
            if refund.amount > left:
                raise Declined("exceeds_paid", f"The mock has {left} left of {paid} units paid.")
            row = (
                refund.reference,
                refund.session,
                refund.fingerprint,
                None if refund.refund_id is None else str(refund.refund_id),
                str(refund.amount),
                micros(refund.create_time),
            )
            database.execute("INSERT INTO refunds VALUES (?, ?, ?, ?, ?, ?)", row)
            database.executemany(
                "INSERT INTO refund_steps (refund, state, time) VALUES (?, ?, ?)",
                [(refund.reference, step.state.value, micros(step.time)) for step in steps],
            )
        return refund, True

    def fail(self, reference: str, now: datetime) -> None:
        """Let a refund fail now, whatever it was planned to do."""
        with self._transaction() as database:
            database.execute(
                "DELETE FROM refund_steps WHERE refund = ? AND time > ?", (reference, micros(now))
            )
            database.execute(
                "INSERT INTO refund_steps (refund, state, time) VALUES (?, ?, ?)",
                (reference, RefundState.FAILED.value, micros(now)),
            )

    def find(self, reference: str) -> tuple[MockRefund, Sequence[Step]] | None:
        """A refund and its steps."""
        row = self._database.execute(
            f"SELECT {_REFUND} FROM refunds WHERE reference = ?",  # noqa: S608 - our own columns
            (reference,),
        ).fetchone()
        return None if row is None else (_refund(row), self._steps(reference))

    def of_session(
        self, session: str, as_of: datetime
    ) -> Sequence[tuple[MockRefund, Sequence[Step]]]:
        """The refunds of a session that were made until then, oldest first."""
        rows = self._database.execute(
            f"SELECT {_REFUND} FROM refunds WHERE session = ? AND create_time <= ?"  # noqa: S608
            " ORDER BY create_time, reference",
            (session, micros(as_of)),
        ).fetchall()
        return [(refund, self._steps(refund.reference)) for refund in map(_refund, rows)]

    def drop_planned(self, session: str, now: datetime) -> None:
        """Remove a session's refunds that were to be made after `now`."""
        for reference in self._database.execute(
            "SELECT reference FROM refunds WHERE session = ? AND create_time > ?",
            (session, micros(now)),
        ).fetchall():
            self._database.execute("DELETE FROM refund_steps WHERE refund = ?", reference)
            self._database.execute("DELETE FROM refunds WHERE reference = ?", reference)

    def unreported(
        self, now: datetime, limit: int
    ) -> Sequence[tuple[int, MockRefund, Sequence[Step], Step]]:
        """Steps up to `now` that were not reported yet, oldest first, each with its row."""
        rows = self._database.execute(
            "SELECT id, refund, state, time FROM refund_steps WHERE reported = 0 AND time <= ?"
            " ORDER BY time, id LIMIT ?",
            (micros(now), limit),
        ).fetchall()
        found = []
        for row_id, reference, state, time in rows:
            if (kept := self.find(reference)) is not None:
                found.append((row_id, *kept, Step(time=time_of(time), state=RefundState(state))))
        return found

    def _live(self, session: str, now: datetime) -> int:
        """What was refunded and has not failed."""
        return sum(
            refund.amount
            for refund, steps in self.of_session(session, now)
            if [step.state for step in steps if step.time <= now][-1] is not RefundState.FAILED
        )

    def _steps(self, reference: str) -> Sequence[Step]:
        rows = self._database.execute(
            "SELECT time, state FROM refund_steps WHERE refund = ? ORDER BY time, id", (reference,)
        )
        return [Step(time=time_of(time), state=RefundState(state)) for time, state in rows]


def _refund(row: Sequence[object]) -> MockRefund:
    reference, session, fingerprint, refund_id, amount, create_time = row
    return MockRefund(
        reference=str(reference),
        session=str(session),
        fingerprint=str(fingerprint),
        refund_id=UUID(refund_id) if isinstance(refund_id, str) else None,
        amount=int(str(amount)),
        create_time=time_of(int(str(create_time))),
    )
