"""Leases: one holder at a time, and a former holder stores nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import attrs
import pytest
import trio
from contract.stores import NOW, Stores, all_at_once
from support.unstorable import unchecked

from payd.adapters.bridge import aio, open_loop
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.leases import PostgresLease, PostgresLeases
from payd.daemon.leases import Watches
from payd.domain.errors import StoreUnavailable
from payd.domain.evidence import Observation, Outflow, Receipt, ReceiptState
from payd.ports import WATCH, Cursor, HeldLease, Lease, LeaseLost

WAIT_S = 10.0
TOKEN = "0x" + "ab" * 20
RECEIPT = Receipt(id="0x1:1", asset=TOKEN, amount=5, state=ReceiptState.CONFIRMED, time=NOW)
SEEN = Observation(id="0x1:1", reference="memo-1", fact=(RECEIPT,))
LEFT = Outflow(id="0x2:1", asset=TOKEN, amount=3, time=NOW)
CURSOR = Cursor(name=WATCH, value="7", rest=timedelta(0))


async def acquired(stores: Stores, name: str = "watch:tempo") -> HeldLease:
    held = await stores.leases.acquire(name)
    assert held is not None
    return held


# -- one holder ----------------------------------------------------------------------------------


async def test_a_lease_is_held_by_one_of_many(stores: Stores) -> None:
    holders = await all_at_once([partial(stores.leases.acquire, "watch:tempo")] * 10)

    [held] = [one for one in holders if one is not None]
    await held.check()
    await held.release()


async def test_two_leases_are_held_at_once(stores: Stores) -> None:
    first, second = await acquired(stores, "watch:tempo"), await acquired(stores, "watch:other")

    assert (first.lease.name, second.lease.name) == ("watch:tempo", "watch:other")
    await first.release()
    await second.check()
    await second.release()


async def test_the_fence_grows_with_every_holder(stores: Stores) -> None:
    fences = []
    for _ in range(3):
        held = await acquired(stores)
        fences.append(held.lease.fence)
        await held.release()

    assert fences == sorted(set(fences))


async def test_a_lease_that_was_released_twice_is_lost_once(stores: Stores) -> None:
    first = await acquired(stores)
    await first.release()
    second = await acquired(stores)

    await first.release()

    await second.check()
    with pytest.raises(LeaseLost):
        await first.check()
    assert await stores.leases.acquire("watch:tempo") is None
    await second.release()


# -- the fence -----------------------------------------------------------------------------------


async def test_the_holder_of_the_lease_stores_all_of_it(stores: Stores) -> None:
    held = await acquired(stores)

    assert await stores.inbox.put("tempo", [SEEN], CURSOR, outflows=[LEFT], lease=held.lease) == 1

    assert await stores.cursors.read_cursor("tempo", WATCH) == "7"
    book = await stores.receipts.book("tempo")
    assert (book.cursor, book.received, book.outflows) == ("7", {TOKEN: 5}, {TOKEN: 3})
    await held.release()


async def test_the_holder_of_the_lease_may_have_nothing_new(stores: Stores) -> None:
    held = await acquired(stores)
    await stores.inbox.put("tempo", [SEEN], CURSOR, lease=held.lease)

    later = attrs.evolve(CURSOR, value="8")
    assert await stores.inbox.put("tempo", [SEEN], later, lease=held.lease) == 0

    assert await stores.cursors.read_cursor("tempo", WATCH) == "8"
    await held.release()


async def test_a_former_holder_of_the_lease_stores_nothing_at_all(stores: Stores) -> None:
    old = await acquired(stores)
    await old.release()
    new = await acquired(stores)

    with pytest.raises(LeaseLost):
        await stores.inbox.put("tempo", [SEEN], CURSOR, outflows=[LEFT], lease=old.lease)

    await nothing_is_stored(stores)
    assert await stores.inbox.put("tempo", [SEEN], CURSOR, lease=new.lease) == 1
    await new.release()


@pytest.mark.parametrize("fence", [0, 2])
async def test_a_lease_that_nobody_gave_stores_nothing(stores: Stores, fence: int) -> None:
    held = await acquired(stores)
    assert held.lease.fence == 1

    for lease in (attrs.evolve(held.lease, fence=fence), Lease(name="watch:other", fence=1)):
        with pytest.raises(LeaseLost):
            await stores.inbox.put("tempo", [SEEN], CURSOR, outflows=[LEFT], lease=lease)

    await nothing_is_stored(stores)
    await held.release()


async def nothing_is_stored(stores: Stores) -> None:
    assert await stores.inbox.claim(10, 60) == []
    assert await stores.receipts.get_receipt("tempo", RECEIPT.id) is None
    assert await stores.cursors.read_cursor("tempo", WATCH) is None
    book = await stores.receipts.book("tempo")
    assert (book.cursor, book.received, book.outflows) == (None, {}, {})


# -- the cursor of a watch -----------------------------------------------------------------------


async def test_a_watch_has_no_cursor_before_its_first_put(stores: Stores) -> None:
    assert await stores.cursors.read_cursor("tempo", WATCH) is None


async def test_a_watch_moves_a_cursor_that_nobody_claimed(stores: Stores) -> None:
    for value in ("7", "8"):
        await stores.inbox.put("tempo", [], attrs.evolve(CURSOR, value=value))
        assert await stores.cursors.read_cursor("tempo", WATCH) == value

    assert await stores.cursors.read_cursor("mock", WATCH) is None


# -- PostgreSQL: the lock is the session's --------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        {"outflows": [unchecked(LEFT, id="0x2\0")]},
        {"reports": [SEEN, unchecked(SEEN, id="0x1\0")]},
        {"cursor": attrs.evolve(CURSOR, value="7\0")},
    ],
    ids=["an outflow", "a report", "the cursor"],
)
def test_a_put_of_which_one_part_cannot_be_stored_stores_nothing(
    migrated_database: DatabaseSettings, page: dict[str, object]
) -> None:
    async def run(database: Database) -> None:
        provider, inbox = str(uuid4()), PostgresInbox(database)
        put = {"reports": [SEEN], "cursor": CURSOR, "outflows": [LEFT]} | page

        with pytest.raises(Exception, match=r"(?i)null|0x00|unsupported unicode"):
            await inbox.put(provider, **put)  # type: ignore[arg-type]  # a builder

        session = await database.connect()
        for table in ("inbox", "receipts", "outflows", "provider_cursors"):
            rows = await session.fetch(f"SELECT FROM {table} WHERE provider = $1", provider)
            assert rows == [], table
        await session.close()

    _on(migrated_database, run)


def test_a_lease_ends_with_its_session(migrated_database: DatabaseSettings) -> None:
    async def run(database: Database) -> None:
        leases, name = PostgresLeases(database), str(uuid4())
        dead = await leases.acquire(name)
        assert dead is not None
        await dead.check()

        await _cut_sessions_that_hold_locks(database)
        living = await _acquired(leases, name)

        with pytest.raises(LeaseLost):
            await dead.check()
        await dead.release()
        await living.check()
        assert living.lease.fence == dead.lease.fence + 1
        await living.release()

    _on(migrated_database, run)


def test_the_next_holder_waits_for_a_put_under_way_and_refuses_the_one_after(
    migrated_database: DatabaseSettings,
) -> None:
    async def run(database: Database) -> None:
        leases, name = PostgresLeases(database), str(uuid4())
        old = await leases.acquire(name)
        assert old is not None
        session = await database.connect()
        # The put of the old holder has run, and its commit is on its way.
        transaction = session.transaction()
        await transaction.start()
        await session.execute("SELECT FROM leases WHERE name = $1 FOR SHARE", name)
        await old.release()
        taking = asyncio.create_task(_acquired(leases, name))

        done, _ = await asyncio.wait([taking], timeout=0.2)
        assert not done
        await transaction.commit()

        new = await taking
        with pytest.raises(LeaseLost):
            await PostgresInbox(database).put(str(uuid4()), [SEEN], CURSOR, lease=old.lease)
        await new.release()
        await session.close()

    _on(migrated_database, run)


def test_a_put_that_meets_the_next_holder_half_way_is_refused(
    migrated_database: DatabaseSettings,
) -> None:
    async def run(database: Database) -> None:
        leases, name, provider = PostgresLeases(database), str(uuid4()), str(uuid4())
        old = await leases.acquire(name)
        assert old is not None
        session = await database.connect()
        # The next holder's statement has run, and its commit is on its way.
        transaction = session.transaction()
        await transaction.start()
        await session.execute("UPDATE leases SET fence = fence + 1 WHERE name = $1", name)
        inbox = PostgresInbox(database)
        putting = asyncio.create_task(
            inbox.put(provider, [SEEN], CURSOR, outflows=[LEFT], lease=old.lease)
        )
        await asyncio.wait([putting], timeout=0.2)
        await transaction.commit()

        with pytest.raises(LeaseLost):
            await putting

        assert await inbox.read_cursor(provider, WATCH) is None
        await old.release()
        await session.close()

    _on(migrated_database, run)


def test_a_daemon_that_does_not_get_the_lease_leaves_no_session(
    migrated_database: DatabaseSettings,
) -> None:
    async def run(database: Database) -> None:
        leases, name = PostgresLeases(database), str(uuid4())
        held = await leases.acquire(name)
        assert held is not None

        for _ in range(5):
            assert await leases.acquire(name) is None
        # Its fence cannot be had in time: another transaction has the row.
        await held.release()
        session = await database.connect()
        async with session.transaction():
            await session.execute("SELECT FROM leases WHERE name = $1 FOR SHARE", name)
            hurried = PostgresLeases(Database(attrs.evolve(migrated_database, lock_timeout_ms=20)))
            assert await hurried.acquire(name) is None
            # As when the daemon stops.
            acquiring = asyncio.create_task(leases.acquire(name))
            await _until(partial(_is_a_session_waiting_for_a_row, database))
            acquiring.cancel()
            await asyncio.wait([acquiring])
        await session.close()

        await _until(partial(_no_session_is_left, database))
        await (await _acquired(leases, name)).release()

    _on(migrated_database, run)


def test_a_watch_that_ends_while_it_takes_the_lease_leaves_it_to_others(
    migrated_database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its provider may end at any moment, and the daemon lives on."""
    monkeypatch.setattr("payd.daemon.leases.ASK_INTERVAL_S", 0.02)

    async def run() -> None:
        async with open_loop(lambda message, error: pytest.fail(message)):
            database: Any = Database(migrated_database)
            leases: Any = PostgresLeases(database)
            watches = Watches(
                provider=str(uuid4()), intake=database, cursors=database, leases=leases
            )
            for step in range(60):
                with trio.move_on_after(step / 2000):
                    async with watches.open(alone=True):
                        await trio.sleep_forever()
                with trio.fail_after(WAIT_S):
                    async with watches.open(alone=True):
                        await trio.lowlevel.checkpoint()
            await aio(database.close)

    trio.run(run)


def test_a_lease_cannot_be_had_while_the_database_is_away(
    migrated_database: DatabaseSettings,
) -> None:
    async def run(database: Database) -> None:
        with pytest.raises(StoreUnavailable):
            await PostgresLeases(database).acquire("watch:tempo")

    _on(attrs.evolve(migrated_database, port=1), run)


def _on(settings: DatabaseSettings, run: Callable[[Database], Awaitable[None]]) -> None:
    async def with_database() -> None:
        database = Database(settings)
        try:
            await asyncio.wait_for(run(database), 3 * WAIT_S)
        finally:
            await database.close()

    asyncio.run(with_database())


async def _acquired(leases: PostgresLeases, name: str) -> PostgresLease:
    """Poll for the lease: the server notices the end of a session a little later, without event."""
    async with asyncio.timeout(WAIT_S):
        while (held := await leases.acquire(name)) is None:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
    return held


async def _until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await is_so():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


async def _cut_sessions_that_hold_locks(database: Database) -> None:
    await _ask(
        database,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )


async def _is_a_session_waiting_for_a_row(database: Database) -> bool:
    sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return await _ask(database, sql + " AND datname = current_database()") > 0


async def _no_session_is_left(database: Database) -> bool:
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    return await _ask(database, sql + " AND pid <> pg_backend_pid()") == 0


async def _ask(database: Database, sql: str) -> int:
    session = await database.connect()
    try:
        return int(await session.fetchval(sql))
    finally:
        await session.close()
