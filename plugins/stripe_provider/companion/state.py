"""The stand-in's state in one SQLite file, so that it survives a restart."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

from stripe_provider.companion.objects import EVENT, SESSION, Json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    created INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS object_kind ON object (kind, created, seq);
CREATE INDEX IF NOT EXISTS open_session ON object (json_extract(body, '$.expires_at'))
    WHERE kind = 'checkout.session' AND json_extract(body, '$.status') = 'open';
CREATE INDEX IF NOT EXISTS of_charge ON object (kind, json_extract(body, '$.charge'));
CREATE TABLE IF NOT EXISTS sold (session_id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS reply (
    key TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    params TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    request_id TEXT NOT NULL,
    saved_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS delivery (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    held INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS clock (offset_s REAL NOT NULL);
"""
_KEPT_S = 24 * 3600


@attrs.frozen(kw_only=True)
class SavedReply:
    """A response saved under an idempotency key."""

    key: str
    path: str
    params: str
    status: int
    body: str
    request_id: str


@attrs.frozen(kw_only=True)
class Page:
    """The requested part of a list, newest first."""

    limit: int = 10
    starting_after: str | None = None
    ending_before: str | None = None
    #: SQL conditions on `object`, each with its values.
    where: Sequence[tuple[str, Sequence[object]]] = ()


class State:
    """Objects, replies, deliveries and the clock. All calls come from one thread."""

    def __init__(self, path: Path | None, wall: Callable[[], float] = time.time) -> None:
        """`wall` is the clock that the webhooks' receiver has, too, in seconds since 1970."""
        self.wall = wall
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;" + _SCHEMA)
        self._depth = 0
        row = self._db.execute("SELECT offset_s FROM clock").fetchone()
        self._offset_s: float = row[0] if row else 0.0

    def close(self) -> None:
        """Close the database. Call nothing afterwards."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all statements of the block or none. Blocks may be nested."""
        self._depth += 1
        try:
            if self._depth > 1:
                yield
                return
            self._db.execute("BEGIN")
            yield
            self._db.execute("COMMIT")
        finally:
            self._depth -= 1
            if self._depth == 0 and self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def now(self) -> float:
        """Return the time of the stand-in's clock, which `advance` moves."""
        return self.wall() + self._offset_s

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self._offset_s += seconds
        with self.transaction():
            self._db.execute("DELETE FROM clock")
            self._db.execute("INSERT INTO clock VALUES (?)", [self._offset_s])

    def add(self, body: Json) -> None:
        """Store a new object."""
        self._db.execute(
            "INSERT INTO object (id, kind, created, body) VALUES (?, ?, ?, ?)",
            [body["id"], body["object"], body["created"], json.dumps(body)],
        )

    def put(self, body: Json) -> None:
        """Update an object."""
        self._db.execute("UPDATE object SET body = ? WHERE id = ?", [json.dumps(body), body["id"]])

    def find(self, kind: str, object_id: str) -> Json | None:
        """Find an object."""
        return self._one("SELECT body FROM object WHERE id = ? AND kind = ?", [object_id, kind])

    def _one(self, sql: str, values: Sequence[object]) -> Json | None:
        row = self._db.execute(sql, values).fetchone()
        found: Json | None = json.loads(row[0]) if row else None
        return found

    def page(self, kind: str, page: Page) -> tuple[list[Json], bool]:
        """Return objects, newest first, and whether there are more."""
        conditions = [("kind = ?", [kind]), *page.where]
        if cursor := page.starting_after or page.ending_before:
            sign = "<" if page.starting_after else ">"
            at_cursor = "(SELECT created, seq FROM object WHERE id = ?)"
            sql = f"(created, seq) {sign} {at_cursor}"
            conditions.append((sql, [cursor]))
        order = "ASC" if page.ending_before else "DESC"
        where = " AND ".join(f"({sql})" for sql, _ in conditions)
        values = [value for _, values in conditions for value in values]
        rows = self._db.execute(
            f"SELECT body FROM object WHERE {where}"  # noqa: S608 - conditions are our own
            f" ORDER BY created {order}, seq {order} LIMIT ?",
            [*values, page.limit + 1],
        ).fetchall()
        found = [json.loads(row[0]) for row in rows[: page.limit]]
        return found[::-1] if page.ending_before else found, len(rows) > page.limit

    def move(self, object_id: str, kind: str) -> None:
        """Let an object be of another kind, so that it is listed there at its own time."""
        self._db.execute("UPDATE object SET kind = ? WHERE id = ?", (kind, object_id))

    def all_of(self, kind: str) -> list[Json]:
        """Return all objects of a kind, in the order of creation."""
        sql = "SELECT body FROM object WHERE kind = ? ORDER BY seq"
        return [json.loads(row[0]) for row in self._db.execute(sql, [kind])]

    def with_value(self, kind: str, name: str, value: str) -> list[Json]:
        """Return all objects of a kind with this value of a field, in the order of creation."""
        sql = (
            "SELECT body FROM object WHERE kind = ?"  # noqa: S608 - the name is our own
            f" AND json_extract(body, '$.{name}') = ? ORDER BY seq"
        )
        return [json.loads(row[0]) for row in self._db.execute(sql, [kind, value])]

    def overdue(self, now: float) -> list[Json]:
        """Return the open sessions that have expired."""
        sql = (
            f"SELECT body FROM object WHERE kind = '{SESSION}'"  # noqa: S608
            " AND json_extract(body, '$.status') = 'open'"
            " AND json_extract(body, '$.expires_at') <= ?"
        )
        return [json.loads(row[0]) for row in self._db.execute(sql, [now])]

    def keep_sold(self, session_id: str, sold: Json) -> None:
        """Store what a session does not show: its items, and its payment intent's data."""
        self._db.execute("INSERT INTO sold VALUES (?, ?)", [session_id, json.dumps(sold)])

    def sold(self, session_id: str) -> Json:
        """Return what `keep_sold` stored."""
        return self._one("SELECT body FROM sold WHERE session_id = ?", [session_id]) or {}

    def reply(self, key: str) -> SavedReply | None:
        """Return the saved response of an idempotency key, which lasts for 24 hours."""
        self._db.execute("DELETE FROM reply WHERE saved_at <= ?", [self.now() - _KEPT_S])
        row = self._db.execute(
            "SELECT key, path, params, status, body, request_id FROM reply WHERE key = ?", [key]
        ).fetchone()
        names = ("key", "path", "params", "status", "body", "request_id")
        return SavedReply(**dict(zip(names, row, strict=True))) if row else None

    def save_reply(self, reply: SavedReply) -> None:
        """Save a response for a repeated request."""
        self._db.execute(
            "INSERT INTO reply VALUES (?, ?, ?, ?, ?, ?, ?)",
            [*attrs.astuple(reply), self.now()],
        )

    def expect_delivery(self, event_id: str, *, held: bool) -> None:
        """Queue an event for delivery."""
        self._db.execute(
            "INSERT INTO delivery (event_id, held) VALUES (?, ?)"
            " ON CONFLICT (event_id) DO UPDATE SET held = excluded.held",
            [event_id, held],
        )

    def deliveries(self, *, held: bool) -> list[str]:
        """Return the queued events, oldest first."""
        sql = "SELECT event_id FROM delivery WHERE held = ? ORDER BY seq"
        return [row[0] for row in self._db.execute(sql, [held])]

    def end_delivery(self, event_id: str, *, delivered: bool) -> None:
        """Remove an event from the queue."""
        with self.transaction():
            self._db.execute("DELETE FROM delivery WHERE event_id = ?", [event_id])
            event = self.find(EVENT, event_id)
            if delivered and event is not None:
                self.put({**event, "pending_webhooks": 0})
