"""The audit chain after a logical dump was read into a new cluster, as docs/audit.md says."""

import asyncio
import re
import shlex
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from contract.conftest import EMPTY
from contract.stores import CALLER, NOW, a_new_payment
from contract.test_audit_chain import LATER, Place, verified
from support.audit_exports import KEY
from support.second_cluster import SecondCluster, dump_of, second_cluster

from payd.adapters.audit.verify import ExportBroken
from payd.adapters.postgres.audit_chain import NotChained, PostgresAuditChain
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Rules

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
#: More transactions than a new cluster has made when a dump is read.
SPEND = """
    DO $$
    BEGIN
        CREATE TEMP TABLE spent (one integer);
        FOR n IN 1..20000 LOOP
            BEGIN
                INSERT INTO spent VALUES (n);
            EXCEPTION WHEN division_by_zero THEN NULL;
            END;
        END LOOP;
    END $$
"""


def at(settings: DatabaseSettings, act: Callable[[Place], Awaitable[None]]) -> None:
    """Act on a database."""

    async def run() -> None:
        database = Database(settings)
        session = await database.connect()
        await session.execute("SET statement_timeout = 0")
        store = PostgresStore(database, "test", Rules())
        try:
            await act(Place(database, store, PostgresAuditChain(database), session))
        finally:
            await session.close()
            await store.drain()
            await database.close()

    asyncio.run(run())


@pytest.fixture
def dump(migrated_database: DatabaseSettings) -> bytes:
    """Of three payments: two are signed by a checkpoint, and the last one by none."""

    async def act(place: Place) -> None:
        await place.session.execute(EMPTY)
        await place.session.execute(SPEND)
        await place.pay()
        await place.pay()
        assert await place.chain.sign_checkpoint(KEY, NOW)
        await place.pay()

    at(migrated_database, act)
    return dump_of(migrated_database)


@pytest.fixture
def restored(dump: bytes) -> Iterator[SecondCluster]:
    with second_cluster() as cluster:
        cluster.read(dump)
        yield cluster


async def goes_on(place: Place) -> None:
    """Checkpoints continue, and an export of everything is intact, also from a checkpoint on."""
    before = verified(await place.export())
    assert (before.payments, before.rows, before.checkpoints) == (3, 9, 1)
    second = await place.chain.sign_checkpoint(KEY, NOW + timedelta(hours=1))
    assert second is not None
    assert (second.number, second.payments) == (2, 1)
    payment = await place.pay()
    assert (await place.chain.trail(payment.id)).problem == ""
    third = await place.chain.sign_checkpoint(KEY, LATER)
    assert third is not None
    assert (third.number, third.payments) == (3, 1)

    whole = verified(await place.export())
    assert (whole.payments, whole.rows, whole.checkpoints) == (4, 12, 3)
    since = verified(await place.export(since=NOW + timedelta(minutes=1)))
    assert (since.payments, since.rows, since.checkpoints) == (2, 6, 2)


def raise_counter(cluster: SecondCluster) -> None:
    """Do what the page says."""
    [command] = re.findall(r"`(pg_resetwal [^`]*)`", PAGE.read_text())
    _, *options = shlex.split(command)
    cluster.stop()
    cluster.reset_wal(*(one for one in options if one not in ("--pgdata", "DATA")))
    cluster.start()


def test_the_remedy_of_the_page_makes_checkpoints_go_on(restored: SecondCluster) -> None:
    raise_counter(restored)
    at(restored.settings(), goes_on)


def test_what_a_daemon_wrote_too_early_is_signed_after_the_second_remedy(
    restored: SecondCluster,
) -> None:
    """The export before it shows what the page says: it agrees with no checkpoint."""
    started = NOW + timedelta(minutes=30)
    [sql] = re.findall(r"```sql\n(BEGIN;.*?)```", PAGE.read_text(), re.DOTALL)

    async def write_too_early(place: Place) -> None:
        payment = a_new_payment(create_time=started, update_time=started)
        await place.store.insert(payment, CALLER)

    async def act(place: Place) -> None:
        with pytest.raises(ExportBroken, match="checkpoint 1"):
            verified(await place.export())
        await place.session.execute(sql.replace("TIME", started.isoformat()))
        second = await place.chain.sign_checkpoint(KEY, LATER)
        assert second is not None
        assert (second.number, second.payments) == (2, 2)
        whole = verified(await place.export())
        assert (whole.payments, whole.rows, whole.checkpoints) == (4, 10, 2)

    at(restored.settings(), write_too_early)
    raise_counter(restored)
    at(restored.settings(), act)


def test_without_the_remedy_nothing_is_signed_and_the_error_says_why(
    restored: SecondCluster,
) -> None:
    async def act(place: Place) -> None:
        with pytest.raises(NotChained, match=r"restored into a new cluster; see docs/audit\.md"):
            await place.chain.sign_checkpoint(KEY, LATER)
        assert verified(await place.export()).checkpoints == 1

    at(restored.settings(), act)
