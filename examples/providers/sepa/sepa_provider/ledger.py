"""SQLite ledger of claims, of refunds to pay out, and of the entries in the bank's statements.

All calls block, usually for a few milliseconds: call them in a thread. Each call opens its own
connection, so any thread and any process may call.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from payd.plugins import NotAttempted, OutcomeUnknown
from sepa_provider.statements import Entry, Kind, Statements

_SCHEMA = """
CREATE TABLE IF NOT EXISTS claims (
    reference TEXT PRIMARY KEY, operation_id TEXT NOT NULL UNIQUE, payment_id TEXT NOT NULL,
    amount INTEGER NOT NULL, currency TEXT NOT NULL, iban TEXT NOT NULL,
    create_time TEXT NOT NULL, expire_time TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS payouts (
    reference TEXT PRIMARY KEY, refund_id TEXT NOT NULL, claim TEXT NOT NULL,
    amount INTEGER NOT NULL, currency TEXT NOT NULL, iban TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS payouts_of_a_claim ON payouts (claim);
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, reference TEXT,
    amount INTEGER NOT NULL, currency TEXT NOT NULL, booking_time TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_of_a_claim ON entries (reference);
CREATE TABLE IF NOT EXISTS files (
    name TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, end_time TEXT
);
"""
_CLAIM = "reference, operation_id, payment_id, amount, currency, iban, create_time, expire_time"
_ENTRY = "id, kind, reference, amount, currency, booking_time"
_PAYOUT = "reference, refund_id, claim, amount, currency, iban"
# ruff: noqa: S608 - the interpolated column names are constants
_CLAIM_BY_REFERENCE = f"SELECT {_CLAIM} FROM claims WHERE reference = ?"
_PAYOUT_BY_REFERENCE = f"SELECT {_PAYOUT} FROM payouts WHERE reference = ?"
_PAYOUTS_OF_CLAIM = f"SELECT {_PAYOUT} FROM payouts WHERE claim = ? ORDER BY reference"
_INSERT_ENTRY = f"INSERT OR IGNORE INTO entries ({_ENTRY}) VALUES (?, ?, ?, ?, ?, ?)"
_ENTRY_BY_ID = f"SELECT {_ENTRY} FROM entries WHERE id = ?"
_ENTRIES_OF_REFERENCE = f"SELECT {_ENTRY} FROM entries WHERE reference = ? ORDER BY number"
_ENTRIES_AFTER = f"SELECT number, {_ENTRY} FROM entries WHERE number > ? ORDER BY number LIMIT ?"
#: Longer than any write of another daemon, shorter than the 10 s that payd gives an operation.
_LOCK_WAIT_S = 5.0


@attrs.frozen(kw_only=True)
class Claim:
    """What a customer owes, and to which account."""

    reference: str
    operation_id: str
    payment_id: str
    #: Minor units: cents.
    amount: int
    currency: str
    #: As it was first shown: a changed setting must not change what a customer was shown.
    iban: str
    create_time: datetime
    expire_time: datetime


@attrs.frozen(kw_only=True)
class Payout:
    """What we owe a customer as a refund, until a transfer with its reference is in a statement."""

    reference: str
    refund_id: str
    #: Reference of the claim that is refunded.
    claim: str
    #: Minor units: cents.
    amount: int
    currency: str
    iban: str


@attrs.frozen(kw_only=True)
class Stamp:
    """State of a statement file; a file with another state is read again."""

    name: str
    size: int
    mtime_ns: int


class Ledger:
    """The claims and entries in one file.

    Raises NotAttempted when the file cannot be opened, OutcomeUnknown when a later step fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self, iban: str) -> None:
        """Create the file and its tables if they are missing.

        Claims of a version that sent customers to a page get our account, `iban`, instead.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as database:
            # In WAL mode readers do not wait for the writer, and commits are durable.
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)
        with self._transaction() as database:
            columns = {row[1] for row in database.execute("PRAGMA table_info(claims)")}
            if "url" in columns:
                database.execute("ALTER TABLE claims RENAME COLUMN url TO iban")
                database.execute("UPDATE claims SET iban = ?", (iban,))

    def check(self) -> None:
        """Check that the file can be read and written; change nothing."""
        with self._transaction() as database:
            database.execute("SELECT 1 FROM claims LIMIT 1").fetchone()

    # -- claims ----------------------------------------------------------------------------------

    def book(self, claim: Claim) -> Claim:
        """Store a claim unless its reference exists; return the stored claim."""
        row = (
            claim.reference,
            claim.operation_id,
            claim.payment_id,
            claim.amount,
            claim.currency,
            claim.iban,
            _text(claim.create_time),
            _text(claim.expire_time),
        )
        with self._transaction() as database:
            database.execute(
                f"INSERT INTO claims ({_CLAIM}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (reference) DO NOTHING",
                row,
            )
            return _find(database, claim.reference) or claim

    def find(self, reference: str) -> Claim | None:
        """Return the claim with this reference, or None."""
        with self._connection() as database:
            return _find(database, reference)

    # -- refunds ---------------------------------------------------------------------------------

    def owe(self, payout: Payout) -> Payout:
        """Store a refund to pay out unless its reference exists; return the stored one."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO payouts VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (reference) DO NOTHING",
                attrs.astuple(payout),
            )
            row = database.execute(_PAYOUT_BY_REFERENCE, (payout.reference,)).fetchone()
        return _payout(row)

    def payout(self, reference: str) -> Payout | None:
        """Return the refund with this reference, or None."""
        with self._connection() as database:
            row = database.execute(_PAYOUT_BY_REFERENCE, (reference,)).fetchone()
        return None if row is None else _payout(row)

    def payouts_of(self, claim: str) -> Sequence[Payout]:
        """Return the refunds of a claim."""
        with self._connection() as database:
            return [_payout(row) for row in database.execute(_PAYOUTS_OF_CLAIM, (claim,))]

    # -- statement entries -----------------------------------------------------------------------

    def unread(self, stamps: Sequence[Stamp]) -> Sequence[Stamp]:
        """Return the files that were not imported in their current state, in the same order."""
        with self._connection() as database:
            rows = database.execute("SELECT name, size, mtime_ns FROM files").fetchall()
        known = set(rows)
        return [one for one in stamps if (one.name, one.size, one.mtime_ns) not in known]

    def enter(self, stamp: Stamp, statements: Statements) -> Sequence[str]:
        """Store the entries of a file in one transaction; skip those that are known.

        Returns the ids of entries that are known with other content; the first version is kept.
        """
        contradicted = []
        end_time = _text(statements.end_time) if statements.end_time else None
        with self._transaction() as database:
            for entry in statements.entries:
                database.execute(_INSERT_ENTRY, _row(entry))
                if database.execute(_ENTRY_BY_ID, (entry.id,)).fetchone() != _row(entry):
                    contradicted.append(entry.id)
            database.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                (stamp.name, stamp.size, stamp.mtime_ns, end_time),
            )
        return contradicted

    def entries_of(self, reference: str) -> Sequence[Entry]:
        """Return all entries with this reference."""
        with self._connection() as database:
            return [_entry(row) for row in database.execute(_ENTRIES_OF_REFERENCE, (reference,))]

    def entries_after(self, number: int, limit: int) -> Sequence[tuple[int, Entry]]:
        """Return entries with their numbers, in the order in which they were stored.

        Writers take turns, so numbers become visible in ascending order: no entry appears later
        with a smaller number than one that was already read.
        """
        with self._connection() as database:
            rows = database.execute(_ENTRIES_AFTER, (number, limit))
            return [(int(row[0]), _entry(row[1:])) for row in rows]

    def has(self, number: int, entry_id: str) -> bool:
        """Whether the entry with this number has this id."""
        query = "SELECT 1 FROM entries WHERE number = ? AND id = ?"
        with self._connection() as database:
            return database.execute(query, (number, entry_id)).fetchone() is not None

    def end_time(self) -> datetime | None:
        """Return the time up to which statements cover the account; None before the first."""
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
    row = database.execute(_CLAIM_BY_REFERENCE, (reference,)).fetchone()
    if row is None:
        return None
    *_, create_time, expire_time = row
    return Claim(
        **dict(zip(_CLAIM.split(", ")[:-2], row, strict=False)),
        create_time=datetime.fromisoformat(create_time),
        expire_time=datetime.fromisoformat(expire_time),
    )


def _payout(row: Sequence[Any]) -> Payout:
    return Payout(**dict(zip(_PAYOUT.split(", "), row, strict=True)))


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
    """Format in UTC with a fixed length, so that texts sort by time."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
