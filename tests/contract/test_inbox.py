"""The inbox: evidence is stored once, before it is settled, and claimed by one worker."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from uuid import uuid4

import attrs
import pytest
import trio
from contract.conftest import EMPTY
from contract.stores import CALLER, NOW, Stores, all_at_once, created, eventually, paid

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.reports import report_json
from payd.domain.decide import decide
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import Observation, ProviderStatus, Receipt, ReceiptState, Snapshot
from payd.domain.refund import RefundSnapshot, RefundState
from payd.domain.text import BASE_UNITS_MAX
from payd.ports import InboxRow, Report, Unreadable

LEASE_S = 60.0

SNAPSHOT = Snapshot(
    status=ProviderStatus.DECLINED,
    asset="USD",
    received=1,
    confirmed=0,
    as_of=NOW,
    failure_code="card_declined",
    failure_message='Zahlung abgelehnt: \\ "für" 💳',
)
SEEN = Receipt(
    id="0xabc:1",
    asset="0x" + "Ab" * 20,
    amount=BASE_UNITS_MAX,
    state=ReceiptState.SEEN,
    time=NOW + timedelta(microseconds=1),
)
#: With every field that a card provider may report about money that goes back.
WITH_MONEY_BACK = attrs.evolve(
    SNAPSHOT,
    refunds=(
        RefundSnapshot(
            reference="re_1",
            state=RefundState.FAILED,
            asset="USD",
            amount=1,
            time=NOW,
            refund_id=uuid4(),
            failure_code="expired_card",
            failure_message="abgelaufen",
            aliases=("pi_1",),
        ),
    ),
    disputes=(
        Dispute(
            id="dp_1",
            status=DisputeStatus.NEEDS_RESPONSE,
            asset="USD",
            amount=1,
            reason="fraudulent",
            open_time=NOW,
            as_of=NOW,
            evidence_due_time=NOW + timedelta(days=7),
            aliases=("ch_1",),
        ),
    ),
    fee=0,
)
FINAL = attrs.evolve(SEEN, id="0xabc:2", amount=0, state=ReceiptState.CONFIRMED)


def an_observation(**overrides: object) -> Observation:
    fields = {"id": f"evt_{uuid4()}", "reference": "cs_1", "fact": SNAPSHOT}
    return Observation(**{**fields, **overrides})  # type: ignore[arg-type]  # a builder


@pytest.mark.parametrize(
    "fact",
    [
        SNAPSHOT,
        attrs.evolve(SNAPSHOT, failure_code=None, failure_message=None),
        WITH_MONEY_BACK,
        (SEEN, FINAL),
    ],
    ids=["snapshot", "bare snapshot", "money back", "receipts"],
)
async def test_an_observation_comes_back_as_it_was_put(
    stores: Stores, fact: Snapshot | tuple[Receipt, ...]
) -> None:
    observation = an_observation(fact=fact)

    assert await stores.inbox.put("mock", [observation]) == 1
    [row] = await stores.inbox.claim(10, LEASE_S)

    assert row.report == observation
    assert row.provider == "mock"
    assert not row.conflicting


def test_a_report_is_the_same_bytes_as_in_the_previous_version() -> None:
    """Else a report that both versions store would contradict itself."""
    stored = report_json(an_observation())

    assert not {"refunds", "disputes", "fee"} & stored["snapshot"].keys()
    assert stored["snapshot"]["refunded"] == 0


async def test_a_repeated_observation_is_ignored(stores: Stores) -> None:
    observation = an_observation()

    assert await stores.inbox.put("mock", [observation]) == 1
    assert await stores.inbox.put("mock", [observation, an_observation()]) == 1

    assert len(await stores.inbox.claim(10, LEASE_S)) == 2


async def test_a_repetition_within_one_delivery_is_ignored(stores: Stores) -> None:
    observation = an_observation()

    assert await stores.inbox.put("mock", [observation, observation]) == 1


async def test_a_hundred_deliveries_at_once_leave_one_row(stores: Stores) -> None:
    observation = an_observation()

    news = await all_at_once([partial(stores.inbox.put, "mock", [observation])] * 100)

    assert sum(news) == 1
    assert len(await stores.inbox.claim(200, LEASE_S)) == 1


async def test_a_repetition_of_a_settled_observation_is_ignored(stores: Stores) -> None:
    observation = an_observation()
    await stores.inbox.put("mock", [observation])
    [row] = await stores.inbox.claim(10, 0)
    await stores.inbox.finish({row.id: "not ours"})

    assert await stores.inbox.put("mock", [observation]) == 0
    assert await stores.inbox.claim(10, 0) == []


async def test_the_same_id_with_other_content_is_kept_as_conflicting(stores: Stores) -> None:
    first = an_observation()
    other = attrs.evolve(first, fact=(SEEN,))

    await stores.inbox.put("mock", [first])
    assert await stores.inbox.put("mock", [other]) == 1

    assert _seen(await stores.inbox.claim(10, LEASE_S)) == [(first, False), (other, True)]


async def test_a_conflict_within_one_delivery_is_noticed(stores: Stores) -> None:
    first = an_observation()
    other = attrs.evolve(first, reference="cs_2")

    assert await stores.inbox.put("mock", [first, other]) == 2

    rows = await stores.inbox.claim(10, LEASE_S)
    assert sorted(row.conflicting for row in rows) == [False, True]


async def test_two_providers_may_use_the_same_id(stores: Stores) -> None:
    first = an_observation()
    other = attrs.evolve(first, fact=(SEEN,))

    await stores.inbox.put("mock", [first])
    await stores.inbox.put("stripe", [other])

    rows = await stores.inbox.claim(10, LEASE_S)
    assert [(row.provider, row.conflicting) for row in rows] == [("mock", False), ("stripe", False)]


async def test_the_oldest_are_claimed_first_and_not_twice(stores: Stores) -> None:
    observations = [an_observation() for _ in range(3)]
    for observation in observations:
        await stores.inbox.put("mock", [observation])

    first = await stores.inbox.claim(2, LEASE_S)
    then = await stores.inbox.claim(2, LEASE_S)

    assert [row.report for row in (*first, *then)] == observations


async def test_no_provider_waits_behind_anothers_flood(stores: Stores) -> None:
    await stores.inbox.put("flood", [an_observation() for _ in range(50)])
    await stores.inbox.put("quiet", [an_observation(), an_observation()])

    claimed = await stores.inbox.claim(10, LEASE_S)

    assert [row.provider for row in claimed] == ["flood"] * 5 + ["quiet"] * 2
    assert [row.provider for row in await stores.inbox.claim(10, LEASE_S)] == ["flood"] * 5


async def test_each_row_goes_to_one_of_many_workers(stores: Stores) -> None:
    await stores.inbox.put("mock", [an_observation() for _ in range(20)])

    batches = await all_at_once([partial(stores.inbox.claim, 5, LEASE_S)] * 8)
    batches.append(await stores.inbox.claim(20, LEASE_S))

    ids = [row.id for batch in batches for row in batch]
    assert len(ids) == len(set(ids)) == 20


async def test_a_worker_that_died_gives_way_when_its_lease_ends(stores: Stores) -> None:
    await stores.inbox.put("mock", [an_observation()])
    [lost] = await stores.inbox.claim(10, 0.05)

    [again] = await eventually(partial(stores.inbox.claim, 10, LEASE_S))

    assert again == attrs.evolve(lost, attempts=lost.attempts + 1)


async def test_a_finished_row_is_never_claimed_again(stores: Stores) -> None:
    await stores.inbox.put("mock", [an_observation()])
    [row] = await stores.inbox.claim(10, 0)

    await stores.inbox.finish({row.id: "nothing new"})

    assert await stores.inbox.claim(10, 0) == []


def test_a_finished_row_keeps_its_first_outcome(migrated_database: DatabaseSettings) -> None:
    """A slow worker may finish a row after another daemon did."""

    async def run() -> object:
        database = Database(migrated_database)
        session = await database.connect()
        try:
            await session.execute(EMPTY)
            inbox = PostgresInbox(database)
            await inbox.put("mock", [an_observation()])
            [row] = await inbox.claim(10, 0)
            for outcome in ("applied", "nothing_new"):
                await inbox.finish({row.id: outcome})
            return await session.fetchval("SELECT outcome FROM inbox")
        finally:
            await session.close()
            await database.close()

    assert asyncio.run(run()) == "applied"


async def test_a_parked_row_waits_its_time(stores: Stores) -> None:
    await stores.inbox.put("mock", [an_observation()])
    [row] = await stores.inbox.claim(10, 0)

    await stores.inbox.park({row.id: 3600})
    assert await stores.inbox.claim(10, 0) == []

    await stores.inbox.park({row.id: 0})
    assert [r.id for r in await stores.inbox.claim(10, LEASE_S)] == [row.id]


async def test_a_commit_settles_the_rows_that_it_came_from(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    await stores.inbox.put("mock", [an_observation(), an_observation(), an_observation()])
    used, also_used, other = await stores.inbox.claim(10, 0)
    decision = decide(payment, paid(payment), NOW)
    assert decision is not None

    assert await stores.payments.commit(payment, decision, CALLER, [used.id, also_used.id])

    assert [row.id for row in await stores.inbox.claim(10, 0)] == [other.id]


async def test_a_commit_that_loses_settles_nothing(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    await stores.inbox.put("mock", [an_observation()])
    [row] = await stores.inbox.claim(10, 0)
    decision = decide(payment, paid(payment), NOW)
    assert decision is not None
    await stores.payments.commit(payment, decision, CALLER)

    assert not await stores.payments.commit(payment, decision, CALLER, [row.id])

    assert [r.id for r in await stores.inbox.claim(10, 0)] == [row.id]


async def test_evidence_wakes_its_waiting_worker(stores: Stores) -> None:
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stores.inbox.put, "mock", [an_observation()])
            rows: list[InboxRow] = []
            while not rows:
                await stores.inbox.wait(30)
                rows.extend(await stores.inbox.claim(10, LEASE_S))

    assert len(rows) == 1


async def test_evidence_that_nobody_claims_ends_one_wait_only(stores: Stores) -> None:
    await stores.inbox.put("mock", [an_observation()])
    with trio.fail_after(30):
        await stores.inbox.wait(30)

    with trio.move_on_after(0.3) as patience:
        await stores.inbox.wait(30)
    assert patience.cancelled_caught


async def test_waiting_for_evidence_ends_at_the_time_out(stores: Stores) -> None:
    with trio.fail_after(30):
        await stores.inbox.wait(0.02)


def _seen(rows: Sequence[InboxRow]) -> list[tuple[Report | Unreadable, bool]]:
    return [(row.report, row.conflicting) for row in rows]
