"""The example's database: a server that is full or stops is away, and its locks have one order."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import trio
import trio_asyncio
from main_app import store
from main_app.checkout import Checkouts, Wish
from main_app.database import DatabaseAway, open_database
from payd_client import Item
from support.daemon import Place

IS_WAITED_FOR = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"


async def _be_canceled(connection: Any) -> None:
    await connection.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(30)")


async def _be_one_too_many(connection: Any) -> None:
    await connection.execute(
        "DO $$ BEGIN RAISE 'too many clients' USING ERRCODE = 'too_many_connections'; END $$"
    )


@pytest.mark.parametrize("act", [_be_canceled, _be_one_too_many])
async def test_a_database_that_cannot_serve_now_is_away(place: Place, act: Any) -> None:
    async with trio_asyncio.open_loop(), open_database(place.database) as database:
        with pytest.raises(DatabaseAway):
            await database.run(act)


async def test_a_post_and_its_event_do_not_wait_for_each_other(place: Place) -> None:
    """The event arrives while the first of many equal POSTs stores the same subscriptions."""
    payd: Any = None
    item = Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")
    one_id, begun = uuid4(), trio.Event()
    payment: Any = SimpleNamespace(id=uuid4(), subscription_ids=(str(one_id),), items=(item,))

    async def apply_event(connection: Any) -> None:
        assert await store.begin_event(connection, uuid4(), "payment.completed", payment.id)
        begun.set()
        while not await connection.fetchval(IS_WAITED_FOR):  # noqa: ASYNC110 - of another session
            await asyncio.sleep(0.01)
        await store.add_subscriptions(connection, "alice", [(one_id, item)])

    async with trio_asyncio.open_loop(), open_database(place.database) as database:
        await database.run(store.add_user, "alice", "alice-token")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.run, apply_event)
            await begun.wait()
            wish = Wish(idempotency_key="once", method="mock", items=(item,))
            await Checkouts(database, payd)._record("alice", wish, payment)
        assert set(await database.run(store.subscriptions_by_id, "alice", [one_id])) == {one_id}
