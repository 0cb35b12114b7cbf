"""A payment's stored sums equal its receipts, whichever version of payd wrote them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import attrs
from contract.stores import CALLER, NOW, a_new_payment, created, paid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.store import PostgresStore
from payd.domain.decide import Rules, decide
from payd.domain.evidence import Evidence, ProviderStatus, Receipt, ReceiptState
from payd.domain.payment import Payment, Status
from payd.domain.sums import sum_receipts

DAY = timedelta(days=1)
TIMES = (-DAY, timedelta(0), timedelta(seconds=1), DAY, DAY + timedelta(microseconds=1))


@st.composite
def histories(draw: st.DrawFn) -> list[list[tuple[str, int, ReceiptState, timedelta]]]:
    receipt = st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([0, 1, 14900, 10**20]),
        st.sampled_from(ReceiptState),
        st.sampled_from(TIMES),
    )
    return draw(st.lists(st.lists(receipt, min_size=1, max_size=3), min_size=1, max_size=5))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    history=histories(),
    is_closed=st.booleans(),
    is_stamped=st.booleans(),
    expires_earlier=st.booleans(),
)
def test_stored_and_computed_sums_equal_the_full_list(
    migrated_database: DatabaseSettings,
    history: list[list[tuple[str, int, ReceiptState, timedelta]]],
    is_closed: bool,
    is_stamped: bool,
    expires_earlier: bool,
) -> None:
    async def run() -> None:
        database = Database(migrated_database)
        store = PostgresStore(database, "test", Rules())
        payment = await store.insert(a_new_payment(), CALLER)
        answer = created()
        payment = await _settle(store, payment, answer)
        if is_closed:
            declined = paid(payment, status=ProviderStatus.DECLINED, received=0, confirmed=0)
            payment = await _settle(store, payment, declined)
            assert payment.status is Status.FAILED
        for report in history:
            payment = await _settle(store, payment, _receipts(payment, report))
        if expires_earlier:
            earlier = attrs.evolve(answer, expire_time=payment.create_time + timedelta(minutes=1))
            payment = await _settle(store, payment, earlier)
        if not is_stamped:
            await _run(migrated_database, _FORGET, payment.id)
        ids = [f"{payment.id}/{name}" for name in "abc"]
        read = await store.get(payment.id, ids)
        assert read is not None
        late_end = read.late_end(DAY)
        assert read.sums == sum_receipts(read.receipts, read.expire_time, late_end)
        await database.close()

    asyncio.run(run())


async def _settle(store: PostgresStore, payment: Payment, evidence: Evidence) -> Payment:
    ids = [one.id for one in evidence] if isinstance(evidence, tuple) else []
    stored = await store.get(payment.id, ids)
    assert stored is not None
    decision = decide(stored, evidence, NOW)
    if decision is None:
        return stored
    assert await store.commit(stored, decision, CALLER)
    return decision.payment


def _receipts(
    payment: Payment, report: Sequence[tuple[str, int, ReceiptState, timedelta]]
) -> tuple[Receipt, ...]:
    return tuple(
        Receipt(
            id=f"{payment.id}/{name}",
            asset=payment.asset,
            amount=amount,
            state=state,
            time=payment.expire_time + moved,
        )
        for name, amount, state, moved in report
    )


_FORGET = "UPDATE payments SET receipt_sums = NULL WHERE id = $1"
#: What the previous version's commit does: a receipt and a new version, and no sums.
_OLD_COMMIT = """
WITH received AS (
    INSERT INTO receipts (provider, id, payment_id, asset, amount, state, time)
    SELECT provider, id::text || '/old', id, currency_code, 30, 'CONFIRMED', create_time
    FROM payments WHERE id = $1
)

UPDATE payments SET version = version + 1 WHERE id = $1
"""


def test_receipts_of_the_previous_version_are_counted(migrated_database: DatabaseSettings) -> None:
    async def run() -> Payment:
        database = Database(migrated_database)
        store = PostgresStore(database, "test", Rules())
        payment = await store.insert(a_new_payment(), CALLER)
        payment = await _settle(store, payment, created())
        first = [("a", 1, ReceiptState.CONFIRMED, -DAY)]
        payment = await _settle(store, payment, _receipts(payment, first))
        await _run(migrated_database, _OLD_COMMIT, payment.id)
        second = [("b", 5, ReceiptState.CONFIRMED, -DAY)]
        payment = await _settle(store, payment, _receipts(payment, second))
        read = await store.get(payment.id)
        await database.close()
        assert read is not None
        return read

    assert asyncio.run(run()).confirmed == 36


def test_a_configured_window_divides_the_sums_anew(migrated_database: DatabaseSettings) -> None:
    async def run() -> tuple[Payment, Payment]:
        database = Database(migrated_database)
        store = PostgresStore(database, "test", Rules())
        payment = await store.insert(a_new_payment(), CALLER)
        late = [("a", 7, ReceiptState.CONFIRMED, 2 * DAY)]
        payment = await _settle(store, payment, _receipts(payment, late))
        longer = PostgresStore(database, "test", Rules(late_window=3 * DAY))
        day, three_days = await store.get(payment.id), await longer.get(payment.id)
        await database.close()
        assert day is not None
        assert three_days is not None
        return day, three_days

    day, three_days = asyncio.run(run())
    assert (day.sums.confirmed, three_days.sums.confirmed) == ((0, 0, 7), (0, 7, 0))


async def _run(where: DatabaseSettings, statement: str, *arguments: object) -> None:
    connection = await Database(where).connect()
    await connection.execute(statement, *arguments)
    await connection.close()
