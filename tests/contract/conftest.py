"""The contract of the store ports runs over every implementation: memory, and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

import attrs
import pytest
import trio
from contract.stores import OpenStores, Stores
from support.memory import (
    MemoryAccounts,
    MemoryHistories,
    MemoryPaymentLists,
    MemoryReconciliations,
    MemoryStore,
    MemoryStoredRows,
)
from support.stack import Stack

from payd.adapters.audit.keys import SigningKey
from payd.adapters.bridge import for_trio, open_loop
from payd.adapters.postgres.accounts import PostgresAccounts
from payd.adapters.postgres.audit_chain import PostgresAuditChain
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.history import PostgresHistories
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.leases import PostgresLeases
from payd.adapters.postgres.migrate import migrate
from payd.adapters.postgres.outbox import PostgresOutbox
from payd.adapters.postgres.payment_lists import PostgresPaymentLists
from payd.adapters.postgres.receipts import PostgresReceipts
from payd.adapters.postgres.reconciliations import PostgresReconciliations
from payd.adapters.postgres.store import PostgresStore
from payd.adapters.postgres.stored_rows import PostgresStoredRows
from payd.adapters.postgres.tags import PostgresTags
from payd.adapters.system import SystemClock
from payd.domain.decide import Rules
from payd.ports import HeldLease, Leases

ENVIRONMENT = "test"

#: Faster than a fresh database for each test; the audit trail has to be asked.
EMPTY = """
ALTER TABLE payment_events DISABLE TRIGGER payment_events_are_append_only;
ALTER TABLE audit_checkpoints DISABLE TRIGGER audit_checkpoints_are_append_only;
TRUNCATE customers, payments, payment_line_items, receipts, refunds, disputes, payment_events,
    payment_personal_values, audit_checkpoints, inbox, outbox, outflows, payment_labels,
    ledger_sums, ledger_changes, leases, provider_cursors, reconciliations, payment_sums,
    payment_sum_changes, restores;
ALTER TABLE payment_events ENABLE TRIGGER payment_events_are_append_only;
ALTER TABLE audit_checkpoints ENABLE TRIGGER audit_checkpoints_are_append_only
"""


@pytest.fixture
async def stores(open_stores: OpenStores) -> AsyncIterator[Stores]:
    """Empty stores, of each kind in turn."""
    async with open_stores() as stores:
        yield stores


@pytest.fixture(params=["memory", "postgres"])
def open_stores(request: pytest.FixtureRequest) -> OpenStores:
    """How to open stores of one kind, empty at first (hypothesis opens them for each example)."""
    if request.param == "memory":
        return _memory_stores
    open_postgres: OpenStores = request.getfixturevalue("open_postgres")
    return open_postgres


@pytest.fixture
def open_postgres(migrated_database: DatabaseSettings) -> OpenStores:
    """How to open stores in PostgreSQL, for what only it does; empty at first."""
    asyncio.run(_empty(Database(migrated_database)))
    return partial(_postgres_stores, migrated_database)


@asynccontextmanager
async def _memory_stores() -> AsyncIterator[Stores]:
    store = MemoryStore(SystemClock(), ENVIRONMENT)
    yield Stores(
        payments=store,
        lists=MemoryPaymentLists(store),
        accounts=MemoryAccounts(store),
        histories=MemoryHistories(store),
        stored_rows=MemoryStoredRows(store),
        inbox=store.inbox,
        outbox=store.outbox,
        published=store.outbox,
        cursors=store.inbox,
        reconciliations=MemoryReconciliations(store),
        receipts=store.ledger,
        leases=store.ledger,
        tags=store.tags,
        export_audit=store.export_audit,
    )


@asynccontextmanager
async def _postgres_stores(settings: DatabaseSettings) -> AsyncIterator[Stores]:
    database = Database(settings)
    inner = PostgresStore(database, ENVIRONMENT, Rules())
    store = for_trio(inner)
    outbox = for_trio(PostgresOutbox(database))
    async with open_loop(_refuse), trio.open_nursery() as nursery:
        nursery.start_soon(outbox.listen)
        # Returns once it listens: asyncpg leaves a socket behind when cut while connecting.
        await outbox.wait(10)
        try:
            inbox = for_trio(PostgresInbox(database))
            yield Stores(
                payments=store,
                lists=for_trio(PostgresPaymentLists(database, inner)),
                accounts=for_trio(PostgresAccounts(database)),
                histories=for_trio(PostgresHistories(database)),
                stored_rows=for_trio(PostgresStoredRows(database)),
                inbox=inbox,
                outbox=outbox,
                published=outbox,
                cursors=inbox,
                reconciliations=for_trio(PostgresReconciliations(database)),
                receipts=for_trio(PostgresReceipts(database)),
                leases=TrioLeases(PostgresLeases(database)),
                tags=for_trio(PostgresTags(database)),
                export_audit=partial(_export_audit, database),
            )
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await store.drain()
                await for_trio(database).close()


async def _export_audit(
    database: Database, write: Callable[[str], object], key: SigningKey
) -> None:
    chain = for_trio(PostgresAuditChain(database))
    await chain.export(write, key, "postgres", datetime.now(UTC))


@attrs.frozen
class TrioLeases:
    """Leases whose holders are on trio, too."""

    inner: Leases

    async def acquire(self, name: str) -> HeldLease | None:
        held = await for_trio(self.inner).acquire(name)
        return for_trio(held) if held else None


def _refuse(message: str, error: BaseException | None) -> None:
    """What nobody caught on the asyncio loop is a defect of the store."""
    raise AssertionError(message) from error


async def _empty(database: Database) -> None:
    session = await database.connect()
    try:
        await session.execute(EMPTY)
    finally:
        await session.close()


@pytest.fixture(scope="session")
def migrated_database(stack: Stack) -> DatabaseSettings:
    """A database with payd's schema, on the shared server."""
    parts = urlsplit(stack.database("contract"))
    settings = DatabaseSettings(
        host=str(parts.hostname),
        port=parts.port or 0,
        user=str(parts.username),
        password=str(parts.password),
        name=parts.path.removeprefix("/"),
        tls="disable",
        # A busy machine may take long; no test here measures these limits.
        acquire_timeout_s=60,
        connect_timeout_s=60,
        command_timeout_s=60,
        statement_timeout_ms=50_000,
    )
    asyncio.run(migrate(Database(settings), progress=lambda name: None))
    return settings
