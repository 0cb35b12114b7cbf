"""The mock's remote side: sessions and their happenings, in SQLite.

Shared by all daemons that name the same file, and outlives each of them, as a real remote side
does. Every call is one short transaction of some ten microseconds, so none leaves the loop.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import attrs

from mock_provider.columns import micros, time_of
from mock_provider.refund_ledger import REFUND_SCHEMA, RefundLedger
from mock_provider.refunds import Plan, refund_report
from mock_provider.scenarios import Happening
from mock_provider.session import Session, observation
from payd.plugins import CryptoTransfer, NextAction, NotAttempted, Observation, Redirect

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    reference TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, reports_as TEXT NOT NULL,
    asset TEXT NOT NULL, amount TEXT NOT NULL, action TEXT NOT NULL, cancel_time INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS happenings (
    id INTEGER PRIMARY KEY, reference TEXT NOT NULL, name TEXT NOT NULL, time INTEGER NOT NULL,
    amount TEXT, reported INTEGER NOT NULL DEFAULT 0, UNIQUE (reference, name)
);
CREATE INDEX IF NOT EXISTS happenings_unreported ON happenings (time) WHERE reported = 0;
CREATE TABLE IF NOT EXISTS lost_requests (reference TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_SESSION = "s.reference, fingerprint, reports_as, asset, s.amount, action, cancel_time"
#: Seconds to wait for the file's lock; another daemon keeps it far shorter.
_LOCK_WAIT_S = 1.0


@attrs.frozen(kw_only=True)
class Report:
    """An observation that was not delivered yet."""

    row_id: int
    observation: Observation
    #: Whether the row is a refund's step.
    is_of_refund: bool = False


class Ledger:
    """Sessions in one SQLite file; made by `open_ledger`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.refunds = RefundLedger(database, self._transaction)

    def add(
        self, session: Session, script: Sequence[Happening], refunds: Plan | None = None
    ) -> tuple[Session, bool]:
        """Store a session once per reference; return the stored one, and whether it is new.

        `refunds` is what becomes of its refunds, if the caller said so.
        """
        row = (
            session.reference,
            session.fingerprint,
            session.reports_as,
            session.asset,
            str(session.amount),
            _action_text(session.action),
        )
        with self._transaction() as database:
            added = database.execute(
                "INSERT OR IGNORE INTO sessions VALUES (?, ?, ?, ?, ?, ?, NULL)", row
            )
            if added.rowcount == 0:
                kept = self._session(session.reference)
                return kept or session, False
            database.executemany(
                "INSERT INTO happenings (reference, name, time, amount) VALUES (?, ?, ?, ?)",
                [(session.reference, h.name, micros(h.time), _text(h.amount)) for h in script],
            )
            if refunds is not None:
                self.refunds.plan(session.reference, refunds)
        return session, True

    def find(self, reference: str) -> tuple[Session, Sequence[Happening]] | None:
        """The session and its script."""
        session = self._session(reference)
        return None if session is None else (session, self._script(reference))

    def count(self, reference: str, payment_id: str) -> int:
        """Count the sessions of a payment, by session reference or reported reference."""
        (number,) = self._database.execute(
            "SELECT count(*) FROM sessions WHERE reference = ? OR reports_as = ?",
            (reference, payment_id),
        ).fetchone()
        return int(number)

    def happen(self, reference: str, happening: Happening) -> None:
        """Add an unscripted happening, such as a customer's payment."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO happenings (reference, name, time, amount) VALUES (?, ?, ?, ?)",
                (reference, happening.name, micros(happening.time), _text(happening.amount)),
            )

    def cancel(self, reference: str, now: datetime) -> None:
        """Cancel a session: remove everything scripted after `now`."""
        with self._transaction() as database:
            database.execute(
                "UPDATE sessions SET cancel_time = ? WHERE reference = ? AND cancel_time IS NULL",
                (micros(now), reference),
            )
            database.execute(
                "DELETE FROM happenings WHERE reference = ? AND time > ?", (reference, micros(now))
            )
            self.refunds.drop_planned(reference, now)

    def lose(self, reference: str) -> bool:
        """Lose the first request for a session; return whether this one is lost."""
        row = (reference,)
        added = self._database.execute("INSERT OR IGNORE INTO lost_requests VALUES (?)", row)
        return added.rowcount == 1

    def unreported(self, now: datetime, limit: int) -> Sequence[Report]:
        """Happenings and steps of refunds up to `now` that were not reported yet, oldest first."""
        rows = self._database.execute(
            f"SELECT h.id, h.name, h.time, h.amount, {_SESSION}"  # noqa: S608 - our own columns
            " FROM happenings h JOIN sessions s ON s.reference = h.reference"
            " WHERE reported = 0 AND h.time <= ? ORDER BY h.time, h.id LIMIT ?",
            (micros(now), limit),
        ).fetchall()
        reports = [self._report(row) for row in rows]
        for row_id, refund, steps, step in self.refunds.unreported(now, limit - len(reports)):
            if (session := self._session(refund.session)) is not None:
                seen = refund_report(session, refund, steps, step)
                reports.append(Report(row_id=row_id, observation=seen, is_of_refund=True))
        return reports

    def next_time(self) -> datetime | None:
        """Time of the next unreported happening."""
        (first,) = self._database.execute(
            "SELECT min(time) FROM ("
            " SELECT min(time) AS time FROM happenings WHERE reported = 0"
            " UNION ALL SELECT min(time) FROM refund_steps WHERE reported = 0)"
        ).fetchone()
        return None if first is None else time_of(first)

    def mark_reported(self, reports: Sequence[Report]) -> None:
        """Mark reports as delivered. Call it only after payd has stored them."""
        with self._transaction() as database:
            for is_of_refund, table in ((False, "happenings"), (True, "refund_steps")):
                database.executemany(
                    f"UPDATE {table} SET reported = 1 WHERE id = ?",  # noqa: S608 - our own names
                    [(r.row_id,) for r in reports if r.is_of_refund is is_of_refund],
                )

    def check(self) -> None:
        """Raise sqlite3.Error if the file cannot be read."""
        self._database.execute("SELECT 1 FROM sessions LIMIT 1").fetchone()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise NotAttempted(f"the mock's state file: {error}") from error
        with self._database:
            yield self._database

    def _session(self, reference: str) -> Session | None:
        row = self._database.execute(
            f"SELECT {_SESSION} FROM sessions s WHERE reference = ?",  # noqa: S608 - our columns
            (reference,),
        ).fetchone()
        return None if row is None else _session(row)

    def _script(self, reference: str) -> Sequence[Happening]:
        rows = self._database.execute(
            "SELECT name, time, amount FROM happenings WHERE reference = ? ORDER BY time, id",
            (reference,),
        )
        return [_happening(row) for row in rows]

    def _report(self, row: tuple[int, str, int, str | None, str]) -> Report:
        row_id, happening, session = row[0], _happening(row[1:4]), _session(row[4:])
        # Only the report of a session's end contains totals.
        script = self._script(session.reference) if happening.amount is None else ()
        return Report(row_id=row_id, observation=observation(session, script, happening))


@contextmanager
def open_ledger(state_file: Path | None) -> Iterator[Ledger]:
    """Open the ledger in a file, creating it if missing; in memory without a file."""
    if state_file is not None:
        state_file.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(state_file or ":memory:", timeout=_LOCK_WAIT_S, isolation_level=None)
    try:
        # Survives a crash of the process; a power failure may lose the last sessions.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_SCHEMA + REFUND_SCHEMA)
        yield Ledger(database)
    finally:
        database.close()


def _session(row: Sequence[object]) -> Session:
    reference, fingerprint, reports_as, asset, amount, action, cancel_time = row
    return Session(
        reference=str(reference),
        fingerprint=str(fingerprint),
        reports_as=str(reports_as),
        asset=str(asset),
        amount=int(str(amount)),
        action=_action(str(action)),
        cancel_time=time_of(cancel_time) if isinstance(cancel_time, int) else None,
    )


def _happening(row: Sequence[object]) -> Happening:
    name, time, amount = row
    return Happening(
        name=str(name),
        time=time_of(int(str(time))),
        amount=None if amount is None else int(str(amount)),
    )


def _action_text(action: NextAction) -> str:
    return action.url if isinstance(action, Redirect) else json.dumps(attrs.asdict(action))


def _action(text: str) -> NextAction:
    return CryptoTransfer(**json.loads(text)) if text.startswith("{") else Redirect(url=text)


def _text(amount: int | None) -> str | None:
    """Convert an amount to text: SQLite's integers have 64 bits, token amounts may need more."""
    return None if amount is None else str(amount)
