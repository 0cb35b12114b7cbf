"""An upgrade: the previous version's daemon goes on taking payments beside the new one."""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import attrs
import pytest
from contract.stores import CALLER, NOW
from contract.test_refunds import a_dispute, a_refund
from integration.upgrade.previous import NEWEST, OLDEST, PreviousVersion, unpack
from payd_client.proto import payment_pb2 as pb
from support.audit_exports import KEY
from support.daemon import Client, Daemon, Place, rows, running_daemon, wait_until_published
from support.stack import Stack

from payd.adapters.audit.keys import PublicKeys
from payd.adapters.audit.verify import verify
from payd.adapters.postgres.audit_chain import NotChained, PostgresAuditChain
from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.migrate import migrate, pending
from payd.adapters.postgres.receipts import PostgresReceipts
from payd.adapters.postgres.store import PostgresStore
from payd.domain.attention import Attention, AttentionRecord
from payd.domain.decide import Decision, Rules, decide
from payd.domain.evidence import Created
from payd.domain.outcome import Failure
from payd.domain.payment import Payment
from payd.domain.refund import RefundStatus
from payd.ports import Book


@pytest.fixture(scope="module")
def previous(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> PreviousVersion:
    """The version that runs before the upgrade: the oldest one, unless a test chooses."""
    return unpack(tmp_path_factory.mktemp("previous"), getattr(request, "param", OLDEST))


@pytest.fixture
def old_place(stack: Stack, pki: Path, tmp_path: Path, previous: PreviousVersion) -> Place:
    """A database that the previous version made."""
    url = stack.database(f"u{uuid.uuid4().hex}")
    place = Place(database=url, nats=stack.nats, redis=stack.redis, pki=pki, data=tmp_path)
    previous.run(place, "-m", "payd", "migrate")
    return place


@pytest.mark.parametrize(
    "previous",
    [
        pytest.param(NEWEST, id="newest"),
        pytest.param(OLDEST, id="oldest", marks=pytest.mark.campaign),
    ],
    indirect=True,
)
def test_two_versions_take_payments_side_by_side(
    old_place: Place, previous: PreviousVersion
) -> None:
    where = previous.run(old_place, "-c", "import payd, mock_provider as m; print(payd, m)")
    assert where.count(str(previous.folder)) == 2

    with running_daemon(old_place, **previous.environment) as old, old.client() as of_old:
        paid = [_pay(of_old)]
        upgrade(old_place)
        paid.append(_pay(of_old))
        with running_daemon(old_place.without_forks()) as new, new.client() as of_new:
            paid += [_pay(of_new), _pay(of_old), _pay(of_new)]
            # Each sees the other's payments, and a repeated call meets the same payment.
            assert all(of_old.get(one).id == of_new.get(one).id for one in paid)
            key = str(uuid.uuid4())
            same = [client.initiate(key=key).id for client in (of_old, of_new)]
            assert same[0] == same[1]
            of_new.wait_for(same[0], "COMPLETED")
            assert _failures(old) == _failures(new) == []

    published = wait_until_published(old_place)
    assert sorted(event.body["id"] for event in published) == sorted([*paid, same[0]])
    assert {event.subject for event in published} == {"payment.completed"}
    if previous.commit == OLDEST:
        # It chained no rows.
        upgrade(old_place, post=True)
    assert _payments_in(_exported(old_place), old_place) == len(published)


def test_the_audit_trail_of_both_versions_is_chained_when_the_old_one_has_ended(
    old_place: Place, previous: PreviousVersion
) -> None:
    with running_daemon(old_place, **previous.environment) as old, old.client() as of_old:
        paid = [_pay(of_old)]
        upgrade(old_place)
        with running_daemon(old_place.without_forks()) as new, new.client() as of_new:
            for client, other in ((of_old, of_new), (of_new, of_old)):
                started = client.initiate(metadata={"mock_scenario": "pending"}).id
                other.call("CancelPayment", pb.CancelPaymentRequest(payment_id=started))
                other.wait_for(started, "CANCELED")
                paid += [started, _pay(client)]

    with pytest.raises(NotChained):
        _exported(old_place)
    upgrade(old_place, post=True)
    written = _exported(old_place)
    assert _payments_in(written, old_place) == len(paid)
    # What a customer wrote is not in the trail, whichever version stored it.
    assert "mock_scenario" not in "".join(written)


def test_the_ledger_of_the_previous_version_is_counted(old_place: Place) -> None:
    receipt = (
        "INSERT INTO receipts (provider, id, asset, amount, state, time)"
        " VALUES ('chain', $1, $2, 5, 'CONFIRMED', now())"
    )
    outflow = (
        "INSERT INTO outflows (provider, id, asset, amount, time, details)"
        " VALUES ('chain', $1, $2, 3, now(), '{}')"
    )
    asyncio.run(_run(old_place, (receipt, "r1", "0xAB"), (receipt, "r2", "0xab")))
    asyncio.run(_run(old_place, (outflow, "o1", "0xab")))

    upgrade(old_place)
    asyncio.run(_run(old_place, (receipt, "r3", "0xAB")))

    async def recount() -> tuple[Book, Book]:
        return await PostgresReceipts(database_of(old_place)).recount("chain")

    running, counted = asyncio.run(recount())
    assert running == counted
    assert (running.received, running.outflows) == ({"0xab": 15}, {"0xab": 3})


def test_the_previous_version_reads_payments_with_refunds_and_loses_none_of_it(
    old_place: Place, previous: PreviousVersion
) -> None:
    """What it does not know stays, and what it raises is read with the time of its change."""
    with running_daemon(old_place, **previous.environment) as old, old.client() as of_old:
        upgrade(old_place)
        paid = UUID(_pay(of_old))
        started = of_old.initiate(metadata={"mock_scenario": "pay_twice"})
        of_old.wait_for(started.id, "COMPLETED")

        before, twice = asyncio.run(_refund_beside(old_place, paid, UUID(started.id)))

        assert of_old.wait_for(str(paid), "COMPLETED").version == before.version
        assert _failures(old) == []
    assert before.refunds
    assert before.disputes
    assert Attention.REFUND_FAILED in before.attention
    raised = {record.reason: record for record in twice.attention_records}
    assert raised.keys() >= {Attention.OVERPAID, Attention.DUPLICATE_PAYMENT}
    assert {record.since for record in raised.values()} == {twice.update_time}
    assert all(record.is_open and record.published for record in raised.values())


def test_the_previous_version_keeps_an_earlier_expiry(
    old_place: Place, previous: PreviousVersion
) -> None:
    """Its own decisions, such as the payment's completion, do not take it back."""
    with running_daemon(old_place, **previous.environment) as old, old.client() as of_old:
        upgrade(old_place)
        payment_id = of_old.initiate(metadata={"mock_delay_ms": "5000"}).id

        earlier = asyncio.run(_expire_earlier(old_place, UUID(payment_id)))

        after = of_old.wait_for(payment_id, "COMPLETED")
        assert after.expire_time.ToDatetime(UTC) == earlier
        assert _failures(old) == []


def test_personal_values_of_the_previous_version_leave_the_trail(
    old_place: Place, previous: PreviousVersion
) -> None:
    """At once when their customer is forgotten, all others with the post files."""
    planted = {"name": "pii-planted"}
    with running_daemon(old_place, **previous.environment) as old, old.client() as of_old:
        first = _pay(of_old, customer=pb.Customer(id="ada"), metadata=planted)
        upgrade(old_place)
        second = _pay(of_old, customer=pb.Customer(id="bob"), metadata=planted)
    assert len(_planted_in_the_trail(old_place)) == 2

    with (
        running_daemon(old_place.without_forks()) as new,
        new.client() as of_new,
        new.client("operator") as operator,
    ):
        wait_until_published(old_place)
        operator.call("ForgetCustomer", pb.ForgetCustomerRequest(customer_id="ada"))
        assert _planted_in_the_trail(old_place) == [UUID(second)]
        upgrade(old_place, post=True)
        assert _planted_in_the_trail(old_place) == []
        for payment_id in (first, second):
            request = pb.ExplainPaymentRequest(payment_id=payment_id)
            assert of_new.call("ExplainPayment", request).explanation.steps
        assert dict(of_new.get(second).metadata) == planted | {"mock_scenario": "complete"}


def _planted_in_the_trail(place: Place) -> list[UUID]:
    sql = "SELECT DISTINCT payment_id FROM payment_events AS e WHERE e::text LIKE '%pii-planted%'"
    return [row["payment_id"] for row in rows(place, sql)]


def _exported(place: Place) -> Sequence[str]:
    """The audit trail, line by line; raises NotChained."""

    async def export() -> Sequence[str]:
        database, written = database_of(place), list[str]()
        await PostgresAuditChain(database).export(written.append, KEY, "1", datetime.now(UTC))
        await database.close()
        return written

    return asyncio.run(export())


def _payments_in(written: Sequence[str], place: Place) -> int:
    """Verify an export that has every row; return of how many payments it is."""
    found = verify(BytesIO("".join(written).encode()), PublicKeys(KEY.public_pem()))
    assert found.rows == asyncio.run(_fetch(place, "SELECT count(*) FROM payment_events"))
    return found.payments


async def _expire_earlier(place: Place, payment_id: UUID) -> datetime:
    """Let the remote side close the payment's object earlier than that; return when."""
    database = database_of(place)
    store = PostgresStore(database, "test", Rules())
    payment = await store.get(payment_id)
    assert payment is not None
    assert payment.provider_reference is not None
    created = Created(
        reference=payment.provider_reference,
        next_action=None,
        expire_time=payment.create_time + timedelta(minutes=3),
    )
    decision = decide(payment, created, datetime.now(UTC))
    assert decision is not None
    assert await store.commit(payment, decision, CALLER)
    await store.drain()
    await database.close()
    return decision.payment.expire_time


async def _refund_beside(place: Place, paid: UUID, twice: UUID) -> tuple[Payment, Payment]:
    """Give the first payment a failed refund and a dispute, and read both."""
    database = database_of(place)
    store = PostgresStore(database, "test", Rules())
    payment = await store.get(paid)
    assert payment is not None
    failed = attrs.evolve(
        a_refund(status=RefundStatus.FAILED), failure=Failure(code="lost_card", message="Lost.")
    )
    record = AttentionRecord(reason=Attention.REFUND_FAILED, since=NOW, facts=frozenset({"it"}))
    after = attrs.evolve(
        payment,
        version=payment.version + 1,
        refunds=(failed,),
        disputes=(a_dispute(),),
        attention_records=(record,),
    )
    decision = Decision(payment=after, audit_event="refund_failed")
    assert await store.commit(payment, decision, CALLER)
    read, overpaid = await store.get(paid), await store.get(twice)
    async with asyncio.timeout(30):
        while overpaid and not overpaid.attention:
            await asyncio.sleep(0.05)
            overpaid = await store.get(twice)
    await store.drain()
    await database.close()
    assert read == after
    assert overpaid is not None
    return read, overpaid


# -- words for the above ---------------------------------------------------------------------


def upgrade(place: Place, *, post: bool = False) -> None:
    """What `payd migrate` does."""

    async def run() -> None:
        database = database_of(place)
        # Empty when the previous version has the same schema.
        await migrate(database, lambda line: None, post=post)
        assert await pending(database, post=post) == []

    asyncio.run(run())


def database_of(place: Place) -> Database:
    parts = urlsplit(place.database)
    settings = DatabaseSettings(
        host=str(parts.hostname),
        port=parts.port or 0,
        user=str(parts.username),
        password=str(parts.password),
        name=parts.path.removeprefix("/"),
        tls="disable",
    )
    return Database(settings)


def _pay(client: Client, **fields: Any) -> str:
    """The id of a payment that completed."""
    started = client.initiate(**fields)
    assert client.wait_for(started.id, "COMPLETED").received.minor_units == 14900
    return str(started.id)


def _failures(daemon: Daemon) -> list[object]:
    names = {"task_failed", "row_failed", "publish_failed", "raw"}
    return [line for line in daemon.lines if line.get("event") in names]


async def _fetch(place: Place, sql: str) -> object:
    session = await asyncpg.connect(place.database)
    try:
        return await session.fetchval(sql)
    finally:
        await session.close()


async def _run(place: Place, *statements: tuple[str, str, str]) -> None:
    session = await asyncpg.connect(place.database)
    for sql, *arguments in statements:
        await session.execute(sql, *arguments)
    await session.close()
