"""Cursors of scans: one reader at a time, stored in one transaction with the events read."""

import asyncio
from datetime import timedelta
from functools import partial
from uuid import uuid4

import attrs
import pytest
import trio
from contract.stores import Stores, all_at_once
from support.unstorable import unchecked

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.plugins.interface import ProviderEvent
from payd.ports import Cursor

LEASE_S = 60.0
AT_ONCE = timedelta(0)
EVENT = ProviderEvent(id="evt_1", type="paid", content={"a": 1})


async def test_a_cursor_is_claimed_by_one_of_many(stores: Stores) -> None:
    name = str(uuid4())
    claims = [partial(stores.cursors.claim_cursor, "stripe", name, LEASE_S)] * 20

    assert sorted(map(str, await all_at_once(claims))) == sorted(["(None,)", *["None"] * 19])


async def test_a_cursor_rests_and_goes_on_from_its_value(stores: Stores) -> None:
    assert await stores.cursors.claim_cursor("stripe", "events", LEASE_S) == (None,)
    await stores.inbox.put("stripe", [], Cursor(name="events", value="7", rest=timedelta(0)))
    assert await stores.cursors.claim_cursor("stripe", "events", LEASE_S) == ("7",)

    resting = Cursor(name="events", value="8", rest=timedelta(hours=1))
    await stores.inbox.put("stripe", [EVENT], resting)

    assert await stores.cursors.claim_cursor("stripe", "events", LEASE_S) is None
    assert await stores.cursors.claim_cursor("stripe", "objects", LEASE_S) == (None,)
    assert await stores.cursors.claim_cursor("other", "events", LEASE_S) == (None,)
    assert len(await stores.inbox.claim(10, LEASE_S)) == 1


async def test_a_rest_is_shortened_for_every_provider_and_never_lengthened(
    stores: Stores,
) -> None:
    names = [("stripe", "events"), ("other", "events"), ("stripe", "objects")]
    for provider, name in names:
        resting = Cursor(name=name, value="8", rest=timedelta(hours=1))
        await stores.inbox.put(provider, [], resting)

    await stores.cursors.shorten_rest("events", timedelta(hours=2))
    assert [await stores.cursors.claim_cursor(*name, LEASE_S) for name in names] == [None] * 3
    await stores.cursors.shorten_rest("events", AT_ONCE)

    claims = [await stores.cursors.claim_cursor(*name, LEASE_S) for name in names]
    assert claims == [("8",), ("8",), None]


async def test_a_claim_that_died_is_taken_up(stores: Stores) -> None:
    assert await stores.cursors.claim_cursor("stripe", "events", 0.05) == (None,)

    with trio.fail_after(30):
        claim = partial(stores.cursors.claim_cursor, "stripe", "events", LEASE_S)
        while await claim() is None:  # noqa: ASYNC110 - a lease ends without an event
            await trio.sleep(0.02)


async def test_a_cursor_that_was_moved_is_claimed_by_one_of_many(stores: Stores) -> None:
    assert await stores.cursors.claim_cursor("stripe", "events", LEASE_S) == (None,)
    await stores.inbox.put("stripe", [], Cursor(name="events", value="7", rest=AT_ONCE))
    claims = [partial(stores.cursors.claim_cursor, "stripe", "events", LEASE_S)] * 20

    claimed = await all_at_once(claims)

    assert [one for one in claimed if one is not None] == [("7",)]


async def test_each_cursor_is_claimed_by_itself(stores: Stores) -> None:
    names = [("stripe", "events"), ("stripe", "objects"), ("other", "events"), ("", "")]
    for turn in range(2):
        claims = [await stores.cursors.claim_cursor(*name, LEASE_S) for name in names]
        assert claims == [[(None,)] * 4, [None] * 4][turn]

    await stores.inbox.put("stripe", [], Cursor(name="objects", value="7", rest=AT_ONCE))

    claims = [await stores.cursors.claim_cursor(*name, LEASE_S) for name in names]
    assert claims == [None, ("7",), None, None]


@pytest.mark.parametrize("value", ["", "7", "ü 💳 ' $1", "x" * 10_000])
async def test_a_cursor_comes_back_as_it_was_put(stores: Stores, value: str) -> None:
    await stores.cursors.claim_cursor("stripe", "events", LEASE_S)

    await stores.inbox.put("stripe", [EVENT], Cursor(name="events", value=value, rest=AT_ONCE))

    assert await stores.cursors.claim_cursor("stripe", "events", LEASE_S) == (value,)


async def test_a_claim_that_died_goes_on_from_where_the_last_page_ended(stores: Stores) -> None:
    await stores.cursors.claim_cursor("stripe", "events", LEASE_S)
    await stores.inbox.put("stripe", [], Cursor(name="events", value="7", rest=AT_ONCE))

    assert await stores.cursors.claim_cursor("stripe", "events", 0) == ("7",)
    assert await stores.cursors.claim_cursor("stripe", "events", LEASE_S) == ("7",)


async def test_a_page_that_is_known_already_moves_the_cursor(stores: Stores) -> None:
    await stores.inbox.put_webhook("stripe", [EVENT], b"")
    await stores.cursors.claim_cursor("stripe", "events", LEASE_S)

    page = Cursor(name="events", value="7", rest=AT_ONCE)
    assert await stores.inbox.put("stripe", [EVENT], page) == 0

    assert await stores.cursors.claim_cursor("stripe", "events", LEASE_S) == ("7",)


async def test_reports_without_a_cursor_move_none(stores: Stores) -> None:
    await stores.cursors.claim_cursor("stripe", "events", LEASE_S)

    await stores.inbox.put("stripe", [EVENT])
    await stores.inbox.put_webhook("stripe", [attrs.evolve(EVENT, id="evt_2")], b"")

    assert await stores.cursors.claim_cursor("stripe", "events", LEASE_S) is None


# -- one transaction -----------------------------------------------------------------------------


def test_a_page_that_cannot_be_stored_leaves_the_cursor(
    migrated_database: DatabaseSettings,
) -> None:
    asyncio.run(_put_and_fail(migrated_database, "evt\0", "8"))


def test_a_cursor_that_cannot_be_stored_brings_no_events(
    migrated_database: DatabaseSettings,
) -> None:
    asyncio.run(_put_and_fail(migrated_database, "evt_1", "8\0"))


async def _put_and_fail(settings: DatabaseSettings, event_id: str, value: str) -> None:
    database = Database(settings)
    inbox = PostgresInbox(database)
    # Its own, since the tables are not emptied for this test.
    provider = str(uuid4())
    await inbox.claim_cursor(provider, "events", LEASE_S)
    await inbox.put(provider, [EVENT], Cursor(name="events", value="7", rest=AT_ONCE))
    page = [attrs.evolve(EVENT, id="evt_0"), unchecked(EVENT, id=event_id, content={})]

    with pytest.raises(Exception, match=r"(?i)null|0x00|unsupported unicode"):
        await inbox.put(provider, page, Cursor(name="events", value=value, rest=AT_ONCE))

    assert await inbox.claim_cursor(provider, "events", LEASE_S) == ("7",)
    session = await database.connect()
    stored = await session.fetch("SELECT event_id FROM inbox WHERE provider = $1", provider)
    assert [row["event_id"] for row in stored] == ["evt_1"]
    await session.close()
    await database.close()
