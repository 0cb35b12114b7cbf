"""Payments that have an object at a provider, and the results of reconciliations."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import attrs
from contract.conftest import ENVIRONMENT
from contract.stores import CALLER, NOW, Stores, a_new_payment, created, paid

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.reconciliations import PostgresReconciliations
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Rules
from payd.domain.outcome import Asking
from payd.domain.payment import Status
from payd.plugins.interface import ProviderEvent
from payd.ports import Reconciliation

DAY = timedelta(days=1)


async def test_payments_of_the_window_that_name_an_object_are_listed(stores: Stores) -> None:
    old = await stores.add(create_time=NOW - 2 * DAY)
    mine = await stores.add(create_time=NOW - timedelta(hours=1))
    unasked = await stores.add(create_time=NOW - timedelta(hours=1))
    foreign = await stores.add(provider="other", create_time=NOW - timedelta(hours=1))
    fresh = await stores.add(create_time=NOW)
    for payment in (old, mine, foreign, fresh):
        await stores.learn(payment, created(reference=f"cs_{payment.id}"))

    listed = await stores.reconciliations.stored_objects("mock", NOW - DAY, NOW)

    [one] = listed
    assert (one.payment_id, one.reference) == (mine.id, f"cs_{mine.id}")
    assert (one.status, one.create_time) == (Status.PENDING, mine.create_time)
    assert unasked.id != one.payment_id


async def test_the_window_begins_with_its_first_moment_and_ends_before_its_last(
    stores: Stores,
) -> None:
    since, until = NOW - DAY, NOW
    tick = timedelta(microseconds=1)
    inside = [since, since + tick, until - tick]
    made = [
        await stores.learn(await stores.add(create_time=time), created())
        for time in (since - tick, *inside, until)
    ]

    listed = await stores.reconciliations.stored_objects("mock", since, until)

    assert sorted(one.payment_id for one in listed) == sorted(p.id for p in made[1:-1])
    assert sorted(one.create_time for one in listed) == inside


async def test_a_payment_is_listed_as_it_stands_now(stores: Stores) -> None:
    payment = await stores.add(create_time=NOW - timedelta(hours=1))
    payment = await stores.learn(payment, created(reference="cs_1"))
    await stores.learn(payment, paid(payment))

    [one] = await stores.reconciliations.stored_objects("mock", NOW - DAY, NOW)

    assert (one.payment_id, one.status, one.reference) == (payment.id, Status.COMPLETED, "cs_1")


async def test_no_payments_are_an_answer(stores: Stores) -> None:
    assert list(await stores.reconciliations.stored_objects("mock", NOW - DAY, NOW)) == []


def test_more_than_a_page_is_listed_once_each(migrated_database: DatabaseSettings) -> None:
    asyncio.run(_list_many(migrated_database))


async def _list_many(settings: DatabaseSettings) -> None:
    database = Database(settings)
    store = PostgresStore(database, ENVIRONMENT, Rules())
    since = NOW - timedelta(days=100)
    # Many at one moment, so that a page ends within it.
    times = [since + timedelta(seconds=n // 600) for n in range(2100)]
    answered = a_new_payment(provider="paged", asking=Asking.ANSWERED)
    made = [
        attrs.evolve(
            answered,
            id=(fresh := a_new_payment()).id,
            idempotency_key=fresh.idempotency_key,
            provider_reference=str(fresh.id),
            create_time=time,
        )
        for time in times
    ]
    await asyncio.gather(*(store.insert(payment, CALLER) for payment in made))

    reconciliations = PostgresReconciliations(database)
    listed = await reconciliations.stored_objects("paged", since, NOW)

    assert sorted(one.payment_id for one in listed) == sorted(p.id for p in made)
    await store.drain()
    await database.close()


def test_a_result_is_kept_and_shown_newest_first(migrated_database: DatabaseSettings) -> None:
    asyncio.run(_keep_results(migrated_database))


async def _keep_results(settings: DatabaseSettings) -> None:
    database = Database(settings)
    reconciliations = PostgresReconciliations(database)
    first = Reconciliation(
        provider="stripe",
        since=NOW - DAY,
        until=NOW,
        start_time=NOW,
        end_time=NOW + DAY,
        objects=3,
        payments=2,
        findings=({"kind": "second_object", "reference": "cs_2"},),
    )
    second = attrs.evolve(first, end_time=NOW + 2 * DAY, findings=())
    for result in (first, second):
        await reconciliations.add(result)

    newest = await reconciliations.newest("", None, 2)
    assert list(newest) == [second, first]
    assert list(await reconciliations.newest("stripe", newest[0].position, 1)) == [first]
    assert list(await reconciliations.newest("another", None, 2)) == []
    await database.close()


def test_the_body_of_a_webhook_is_deleted_and_its_event_stays(
    migrated_database: DatabaseSettings,
) -> None:
    asyncio.run(_forget(migrated_database))


async def _forget(settings: DatabaseSettings) -> None:
    database = Database(settings)
    inbox = PostgresInbox(database)
    for name in ("evt_old", "evt_new"):
        event = ProviderEvent(id=name, type="paid", content={})
        await inbox.put_webhook("forgetful", [event], b"bytes of " + name.encode())
    session = await database.connect()
    await session.execute(
        "UPDATE inbox SET receive_time = receive_time - interval '31 days' "
        "WHERE event_id = 'evt_old'"
    )

    await inbox.forget_raw_bodies(timedelta(days=30), 10)

    kept = await session.fetch(
        "SELECT event_id, raw_body, report FROM inbox WHERE provider = 'forgetful' ORDER BY id"
    )
    assert [(row["event_id"], row["raw_body"]) for row in kept] == [
        ("evt_old", None),
        ("evt_new", b"bytes of evt_new"),
    ]
    assert all("paid" in row["report"] for row in kept)
    await session.close()
    await database.close()


def test_the_bytes_that_came_first_go_first_a_batch_at_a_time(
    migrated_database: DatabaseSettings,
) -> None:
    asyncio.run(_forget_by_batches(migrated_database))


async def _forget_by_batches(settings: DatabaseSettings) -> None:
    database = Database(settings)
    inbox = PostgresInbox(database)
    provider = str(uuid4())
    every_byte = bytes(range(256)) * 4096
    for age, name in enumerate(("evt_0", "evt_1", "evt_2")):
        event = ProviderEvent(id=name, type="paid", content={})
        await inbox.put_webhook(provider, [event], every_byte)
        session = await database.connect()
        await session.execute(
            "UPDATE inbox SET receive_time = now() - make_interval(years => 20 - $2)"
            " WHERE provider = $1 AND event_id = $3",
            provider,
            age,
            name,
        )
        await session.close()
    left = []
    session = await database.connect()
    for _ in range(3):
        await inbox.forget_raw_bodies(timedelta(days=365 * 10), 1)
        rows = await session.fetch(
            "SELECT event_id, raw_body FROM inbox"
            " WHERE provider = $1 AND raw_body IS NOT NULL ORDER BY id",
            provider,
        )
        assert all(row["raw_body"] == every_byte for row in rows)
        left.append([row["event_id"] for row in rows])

    assert left == [["evt_1", "evt_2"], ["evt_2"], []]
    assert not await inbox.put_webhook(
        provider, [ProviderEvent(id="evt_0", type="paid", content={})], b"again"
    ), "what it said is still known"
    await session.close()
    await database.close()
