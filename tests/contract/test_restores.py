"""Sending is held after a restore: what becomes due, and when everything was read again."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
from contract.conftest import EMPTY
from contract.stores import CALLER, NOW, a_new_payment

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.restores import PostgresRestores, Restore, SendingHold
from payd.adapters.postgres.store import PostgresStore
from payd.adapters.postgres.tags import PostgresTags
from payd.domain.decide import Rules
from payd.ports import Cursor

DAY = timedelta(days=1)
LATER = datetime.now(UTC) + timedelta(days=365)


@attrs.frozen
class Place:
    """An empty database, and what reads and writes it."""

    database: Database
    store: PostgresStore
    inbox: PostgresInbox
    restores: PostgresRestores
    session: Any

    async def rest(self, name: str, value: str, rest: timedelta = DAY) -> None:
        """Store a cursor as a round does that has ended."""
        await self.inbox.put("rail", (), Cursor(name=name, value=value, rest=rest))

    async def unread(self, restore: Restore) -> set[str]:
        positions = await self.restores.positions()
        return {one.name for one in positions if not one.is_read(restore)}


def at(settings: DatabaseSettings, act: Callable[[Place], Awaitable[None]]) -> None:
    """Act on an empty database."""

    async def run() -> None:
        database = Database(settings)
        session = await database.connect()
        store = PostgresStore(database, "test", Rules())
        inbox = PostgresInbox(database)
        try:
            await session.execute(EMPTY)
            await act(Place(database, store, inbox, PostgresRestores(database), session))
        finally:
            await session.close()
            await store.drain()
            await inbox.drain()
            await database.close()

    asyncio.run(run())


def test_every_look_is_due_and_watches_keep_their_place(
    migrated_database: DatabaseSettings,
) -> None:
    async def act(place: Place) -> None:
        for name in ("events", "objects", "audit", "watch"):
            await place.rest(name, "7")
        payment = a_new_payment(next_check_time=LATER)
        await place.store.insert(payment, CALLER)

        held = await place.restores.hold()

        assert held.is_held
        assert held.cursors["rail/watch"] == "7"
        assert held.newest_change_time == NOW
        for name in ("events", "objects", "audit"):
            assert await place.inbox.claim_cursor("rail", name, 60) == ("7",)
        assert await place.inbox.claim_cursor("rail", "watch", 60) is None
        due = await place.store.claim_status_checks(datetime.now(UTC) + timedelta(minutes=1), 9, 60)
        assert [one.id for one in due] == [payment.id]

    at(migrated_database, act)


def test_no_tag_is_given_out_that_the_backup_does_not_know(
    migrated_database: DatabaseSettings,
) -> None:
    async def act(place: Place) -> None:
        async def block() -> int:
            row = await place.database.fetch_one("take_tags")
            assert row is not None
            return int(row["block"])

        before = await block()
        await place.restores.hold()
        assert await block() > before + 1_000_000
        assert await PostgresTags(place.database).next() is not None

    at(migrated_database, act)


def test_everything_was_read_when_each_round_has_ended(
    migrated_database: DatabaseSettings,
) -> None:
    async def act(place: Place) -> None:
        names = {"events", "objects", "audit", "watch"}
        for name in names:
            await place.rest(name, "2026-01-01T12:00:00+00:00")
        held = await place.restores.hold()
        assert await place.unread(held) == names

        # A page of several: the next one follows at once.
        await place.rest("events", "half", timedelta(0))
        await place.rest("watch", "block 8", timedelta(0))
        await place.rest("objects", datetime.now(UTC).isoformat())
        assert await place.unread(held) == {"events", "audit"}

        await place.rest("events", "all")
        await place.rest("audit", datetime.now(UTC).isoformat())
        assert await place.unread(held) == set()

    at(migrated_database, act)


def test_a_scan_that_found_nothing_new_has_read_everything(
    migrated_database: DatabaseSettings,
) -> None:
    async def act(place: Place) -> None:
        await place.rest("events", "7")
        held = await place.restores.hold()
        assert await place.inbox.claim_cursor("rail", "events", 60) == ("7",)
        assert await place.unread(held) == {"events"}, "a daemon is reading"
        await place.rest("events", "7")
        assert await place.unread(held) == set()

    at(migrated_database, act)


def test_a_daemon_holds_until_it_is_released(migrated_database: DatabaseSettings) -> None:
    async def act(place: Place) -> None:
        hold = SendingHold(place.restores)
        seen = [hold.is_held]
        await hold.look()
        seen.append(hold.is_held)
        assert not await place.restores.release()

        first = await place.restores.hold()
        again = await place.restores.hold()
        assert first.id == again.id
        assert again.hold_time > first.hold_time
        await hold.look()
        seen.append(hold.is_held)
        assert hold.hold_time == again.hold_time

        assert await place.restores.release()
        await hold.look()
        seen.append(hold.is_held)
        # Before it knows, it sends nothing.
        assert seen == [True, False, True, False]
        newest = await place.restores.newest()
        assert newest is not None
        assert not newest.is_held

    at(migrated_database, act)


def test_without_the_database_nothing_is_sent_and_the_next_request_looks_itself(
    migrated_database: DatabaseSettings,
) -> None:
    async def act(place: Place) -> None:
        away = Database(attrs.evolve(migrated_database, port=1))
        hold = SendingHold(PostgresRestores(away))
        assert await hold.blocks()
        await away.close()
        hold = SendingHold(place.restores)
        assert not await hold.blocks()
        await place.restores.hold()
        assert not await hold.blocks(), "the loop looks, not each request"

    at(migrated_database, act)
