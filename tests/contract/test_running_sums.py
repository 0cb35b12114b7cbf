"""The ledger's running sums equal the sums of its rows, while daemons write, fold and read."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import uuid4

import asyncpg
import attrs
import pytest
from contract.stores import CALLER, NOW, Stores
from contract.test_receipt_ledger import (
    TOKEN,
    a_receipt,
    a_token_payment,
    an_outflow,
    at,
    reported,
)

from payd.adapters.maintenance import until_short
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.receipts import PostgresReceipts
from payd.adapters.postgres.statements import STATEMENTS
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Rules, decide
from payd.domain.evidence import ReceiptState
from payd.ports import Book

ASSET = TOKEN.lower()
WAITS_FOR_A_LOCK = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1"


async def test_the_running_sums_are_those_of_the_rows_after_every_change(stores: Stores) -> None:
    final = a_receipt(amount=5)
    seen = attrs.evolve(final, state=ReceiptState.SEEN)
    payment = await stores.payments.insert(a_token_payment(), CALLER)

    async def sums() -> tuple[int, int]:
        running, counted = await stores.receipts.recount("tempo")
        assert running == counted == await stores.receipts.book("tempo")
        return running.received.get(ASSET, 0), running.outflows.get(ASSET, 0)

    await stores.inbox.put("tempo", [reported(seen)], at("1"))
    assert await sums() == (0, 0)
    await stores.inbox.put("tempo", [reported(final), reported(final)], at("2"))
    assert await sums() == (5, 0)
    await stores.inbox.put("tempo", (), at("3"), outflows=[an_outflow(amount=3)] * 2)
    assert await sums() == (5, 3)
    payment = await stores.learn(payment, (final,))
    assert await sums() == (5, 3)
    await stores.learn(payment, (attrs.evolve(final, amount=7), a_receipt(amount=1)))
    assert await sums() == (8, 3)
    assert (await stores.receipts.book("mock")).received == {}


# -- on a real server ----------------------------------------------------------------------------


@pytest.fixture
def provider(migrated_database: DatabaseSettings) -> str:
    """One whose ledger is empty."""
    return f"rail-{uuid4()}"


def on(settings: DatabaseSettings, act: Callable[[Database], Awaitable[None]]) -> None:
    async def run() -> None:
        database = Database(settings)
        try:
            await act(database)
        finally:
            await database.close()

    asyncio.run(run())


def test_sums_are_exact_in_every_moment_while_daemons_write_and_fold(
    migrated_database: DatabaseSettings, provider: str
) -> None:
    async def act(database: Database) -> None:
        receipts, done = PostgresReceipts(database), asyncio.Event()

        async def write() -> None:
            store, inbox = PostgresStore(database, "test", Rules()), PostgresInbox(database)
            for n in range(20):
                payment = await store.insert(a_token_payment(provider=provider), CALLER)
                final, other = a_receipt(amount=n + 1), a_receipt(amount=100, asset="0xother")
                seen = attrs.evolve(final, state=ReceiptState.SEEN)
                out = an_outflow(amount=1)
                await inbox.put(provider, [reported(seen)])
                await inbox.put(provider, [reported(final), reported(other)], outflows=[out])
                decision = decide(payment, (final,), NOW)
                assert decision is not None
                assert await store.commit(payment, decision, CALLER)

        async def fold() -> None:
            while not done.is_set():
                await receipts.fold(7)
                await asyncio.sleep(0)

        async def look() -> None:
            while not done.is_set():
                running, counted = await receipts.recount(provider)
                assert running == counted

        others = [asyncio.create_task(one()) for one in (fold, fold, look)]
        await asyncio.gather(*(write() for _ in range(4)))
        done.set()
        await asyncio.gather(*others)
        await until_short(receipts.fold, 100)

        book = await receipts.book(provider)
        assert book.received == {ASSET: 4 * 210, "0xother": 4 * 20 * 100}
        assert book.outflows == {ASSET: 80}
        session = await database.connect()
        assert await session.fetchval("SELECT count(*) FROM ledger_changes") == 0
        await session.close()

    on(migrated_database, act)


def test_rows_are_counted_by_pages_across_every_boundary(
    migrated_database: DatabaseSettings, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payd.adapters.postgres.receipts._PAGE", 3)

    async def act(database: Database) -> None:
        inbox, receipts = PostgresInbox(database), PostgresReceipts(database)
        for number in range(1, 8):
            await inbox.put(provider, [reported(a_receipt(amount=number))])
            running, counted = await receipts.recount(provider)
            assert running == counted
            assert counted.received == {ASSET: number * (number + 1) // 2}

    on(migrated_database, act)


def test_a_change_by_hand_in_sql_is_found_and_repaired(
    migrated_database: DatabaseSettings, provider: str
) -> None:
    async def act(database: Database) -> None:
        inbox, receipts = PostgresInbox(database), PostgresReceipts(database)
        kept, gone = a_receipt(amount=5), a_receipt(amount=2)
        await inbox.put(provider, [reported(kept), reported(gone)], outflows=[an_outflow()])
        session = await database.connect()
        await session.execute("DELETE FROM receipts WHERE id = $1", gone.id)
        assert (await receipts.book(provider)).received == {ASSET: 5}

        # Without its triggers, as a restore of some rows may do it.
        await session.execute("ALTER TABLE receipts DISABLE TRIGGER USER")
        await session.execute("UPDATE receipts SET amount = 50 WHERE id = $1", kept.id)
        await session.execute("ALTER TABLE receipts ENABLE TRIGGER USER")
        running, counted = await receipts.recount(provider)
        assert (running.received, counted.received) == ({ASSET: 5}, {ASSET: 50})

        await session.execute("SELECT recount_ledger()")
        running, counted = await receipts.recount(provider)
        assert running == counted == Book(cursor=None, received={ASSET: 50}, outflows={ASSET: 7})
        await session.close()

    on(migrated_database, act)


def test_two_recounts_at_once_correct_a_difference_once(
    migrated_database: DatabaseSettings, provider: str
) -> None:
    async def act(database: Database) -> None:
        inbox, receipts = PostgresInbox(database), PostgresReceipts(database)
        kept = a_receipt(amount=5)
        await inbox.put(provider, [reported(kept)])
        first, second, watch = [await database.connect() for _ in range(3)]
        await first.execute("ALTER TABLE receipts DISABLE TRIGGER USER")
        await first.execute("UPDATE receipts SET amount = 50 WHERE id = $1", kept.id)
        await first.execute("ALTER TABLE receipts ENABLE TRIGGER USER")

        async with first.transaction():
            await first.execute("SELECT recount_ledger()")
            pid = second.get_server_pid()
            counting = asyncio.create_task(second.execute("SELECT recount_ledger()"))
            waits = partial(watch.fetchval, WAITS_FOR_A_LOCK, pid)
            while not counting.done() and not await waits():  # noqa: ASYNC110 - polls the server
                await asyncio.sleep(0.01)
        await counting

        running, counted = await receipts.recount(provider)
        assert running == counted == Book(cursor=None, received={ASSET: 50}, outflows={})
        for session in (first, second, watch):
            await session.close()

    on(attrs.evolve(migrated_database, lock_timeout_ms=40_000, statement_timeout_ms=50_000), act)


def test_the_book_reads_no_receipt(migrated_database: DatabaseSettings) -> None:
    """However large the ledger is."""

    async def act(database: Database) -> None:
        session: asyncpg.Connection[asyncpg.Record] = await database.connect()
        plan = await session.fetch(f"EXPLAIN {STATEMENTS['book'].sql}", "tempo", "watch")
        tables = "\n".join(row[0] for row in plan)
        assert "ledger_sums" in tables
        assert " receipts" not in tables
        assert " outflows" not in tables
        await session.close()

    on(migrated_database, act)
