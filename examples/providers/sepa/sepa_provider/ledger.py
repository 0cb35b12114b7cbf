"""The book of claims and of what the bank's statements said, in SQLite.

All calls block, for a few milliseconds at most as a rule: call them in a thread. Each has a
connection of its own, so any thread and any process may call.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs

from payd.plugins import NotAttempted, OutcomeUnknown
from sepa_provider.statements import Entry, Kind, Statements

_SCHEMA = """
CREATE TABLE IF NOT EXISTS claims (
    reference TEXT PRIMARY KEY, operation_id TEXT NOT NULL UNIQUE, payment_id TEXT NOT NULL,
    amount INTEGER NOT NULL, currency TEXT NOT NULL, url TEXT NOT NULL,
    create_time TEXT NOT NULL, expire_time TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, reference TEXT,
    amount INTEGER NOT NULL, currency TEXT NOT NULL, booking_time TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_of_a_claim ON entries (reference);
CREATE TABLE IF NOT EXISTS files (
    name TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, end_time TEXT
);
"""
_CLAIM = "reference, operation_id, payment_id, amount, currency, url, create_time, expire_time"
_ENTRY = "id, kind, reference, amount, currency, booking_time"
#: Another daemon writes for far less than this; payd waits 10 s for an operation.
_LOCK_WAIT_S = 5.0


@attrs.frozen(kw_only=True)
class Claim:
    """What a customer owes, and where he was told how to pay it."""

    reference: str
    operation_id: str
    payment_id: str
    #: In cents.
    amount: int
    currency: str
    #: As it was first told: a changed setting changes no page that a customer already has.
    url: str
    create_time: datetime
    expire_time: datetime


@attrs.frozen(kw_only=True)
class Stamp:
    """A state of a statement file; another one is read again."""

    name: str
    size: int
    mtime_ns: int


class Ledger:
    """Raises NotAttempted when it cannot be opened, OutcomeUnknown when it fails later."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self) -> None:
        """Make the file and its tables, where they are missing."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as database:
            # Readers do not wait for the writer. Commits are on the disk, as books must be.
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)

    def check(self) -> None:
        """That it can be read and written; changes nothing."""
        with self._transaction() as database:
            database.execute("SELECT 1 FROM claims LIMIT 1").fetchone()

    # -- claims ----------------------------------------------------------------------------------

    def book(self, claim: Claim) -> Claim:
        """Keep it once a reference; the claim that is kept, durably."""
        row = (
            claim.reference,
            claim.operation_id,
            claim.payment_id,
            claim.amount,
            claim.currency,
            claim.url,
            _text(claim.create_time),
            _text(claim.expire_time),
        )
        with self._transaction() as database:
            database.execute(
                "INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (reference) DO NOTHING",
                row,
            )
            return _find(database, claim.reference) or claim

    def find(self, reference: str) -> Claim | None:
        """The claim of this reference."""
        with self._connection() as database:
            return _find(database, reference)

    # -- statement entries -----------------------------------------------------------------------

    def unread(self, stamps: Sequence[Stamp]) -> Sequence[Stamp]:
        """The files that were not imported as they are now, in the same order."""
        with self._connection() as database:
            rows = database.execute("SELECT name, size, mtime_ns FROM files").fetchall()
        known = set(rows)
        return [one for one in stamps if (one.name, one.size, one.mtime_ns) not in known]

    def enter(self, stamp: Stamp, told: Statements) -> Sequence[str]:
        """Keep what a file says, all or nothing. Entries that are known are not kept twice.

        Returns the ids of those that are known with another content: the first one stands.
        """
        contradicted = []
        end_time = _text(told.end_time) if told.end_time else None
        with self._transaction() as database:
            for entry in told.entries:
                database.execute(
                    f"INSERT OR IGNORE INTO entries ({_ENTRY}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - our columns
                    _row(entry),
                )
                query = f"SELECT {_ENTRY} FROM entries WHERE id = ?"  # noqa: S608 - our columns
                if database.execute(query, (entry.id,)).fetchone() != _row(entry):
                    contradicted.append(entry.id)
            database.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                (stamp.name, stamp.size, stamp.mtime_ns, end_time),
            )
        return contradicted

    def entries_of(self, reference: str) -> Sequence[Entry]:
        """All that named this reference."""
        query = f"SELECT {_ENTRY} FROM entries WHERE reference = ? ORDER BY number"  # noqa: S608 - our columns
        with self._connection() as database:
            return [_entry(row) for row in database.execute(query, (reference,))]

    def entries_after(self, number: int, limit: int) -> Sequence[tuple[int, Entry]]:
        """With their numbers, in the order in which they were entered.

        One writer at a time: whoever sees a number will never see a smaller one appear.
        """
        query = f"SELECT number, {_ENTRY} FROM entries WHERE number > ? ORDER BY number LIMIT ?"  # noqa: S608 - our columns
        with self._connection() as database:
            rows = database.execute(query, (number, limit))
            return [(int(row[0]), _entry(row[1:])) for row in rows]

    def has(self, number: int, entry_id: str) -> bool:
        """Whether this entry has this number here."""
        query = "SELECT 1 FROM entries WHERE number = ? AND id = ?"
        with self._connection() as database:
            return database.execute(query, (number, entry_id)).fetchone() is not None

    def end_time(self) -> datetime | None:
        """Up to when the statements tell of our account; None before the first."""
        with self._connection() as database:
            (text,) = database.execute("SELECT max(end_time) FROM files").fetchone()
        return None if text is None else datetime.fromisoformat(text)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise NotAttempted(f"the ledger cannot be written: {error}") from error
            with database:
                yield database

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            database = sqlite3.connect(self._path, timeout=_LOCK_WAIT_S, isolation_level=None)
        except sqlite3.Error as error:
            raise NotAttempted(f"the ledger cannot be opened: {error}") from error
        with closing(database):
            try:
                yield database
            except sqlite3.Error as error:
                raise OutcomeUnknown(f"the ledger failed: {error}") from error


def _find(database: sqlite3.Connection, reference: str) -> Claim | None:
    query = f"SELECT {_CLAIM} FROM claims WHERE reference = ?"  # noqa: S608 - our columns
    row = database.execute(query, (reference,)).fetchone()
    if row is None:
        return None
    *_, create_time, expire_time = row
    return Claim(
        **dict(zip(_CLAIM.split(", ")[:-2], row, strict=False)),
        create_time=datetime.fromisoformat(create_time),
        expire_time=datetime.fromisoformat(expire_time),
    )


def _row(entry: Entry) -> tuple[object, ...]:
    time = _text(entry.booking_time)
    return entry.id, entry.kind.value, entry.reference, entry.amount, entry.currency, time


def _entry(row: Sequence[object]) -> Entry:
    entry_id, kind, reference, amount, currency, time = row
    return Entry(
        id=str(entry_id),
        kind=Kind(kind),
        reference=None if reference is None else str(reference),
        amount=int(str(amount)),
        currency=str(currency),
        booking_time=datetime.fromisoformat(str(time)),
    )


def _text(time: datetime) -> str:
    """In UTC and of one length, so that the later one is the greater text, too."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
