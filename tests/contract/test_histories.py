"""Histories: the audit trail replayed, and what stands around it, over memory and PostgreSQL."""

import asyncio
from datetime import timedelta
from typing import Any

import attrs
import pytest
from contract.stores import CALLER, NOW, Stores, a_new_payment, created, paid

from payd.adapters.postgres.database import Database, DatabaseSettings
from payd.adapters.postgres.history import PostgresHistories
from payd.adapters.postgres.statements import STATEMENTS
from payd.adapters.postgres.store import PostgresStore
from payd.domain.attention import Attention
from payd.domain.decide import Rules, decide
from payd.domain.dispute import Dispute, DisputeStatus
from payd.domain.evidence import (
    AttentionResolved,
    CancelRequested,
    Conflict,
    Evidence,
    Observation,
    OutcomeUnknown,
    ProviderStatus,
    Receipt,
    ReceiptState,
    Snapshot,
)
from payd.domain.money import TokenTerms
from payd.domain.payment import Customer, Origin, Payment, Status
from payd.domain.refund import RefundSnapshot, RefundState
from payd.plugins.interface import ProviderEvent
from payd.ports import Trail

LATER = NOW + timedelta(days=1)
TOKEN = "0x" + "aB" * 20
TERMS = TokenTerms(
    currency="USDC", chain_id=1, token_address=TOKEN, decimals=18, due_base_units=149 * 10**18
)


def a_receipt(name: str, amount: int, state: ReceiptState = ReceiptState.CONFIRMED) -> Receipt:
    return Receipt(
        id=name, asset=TOKEN, amount=amount, state=state, time=NOW, details={"sender": "0x1"}
    )


def looked(payment: Payment, seconds: int) -> Snapshot:
    """A status check without news."""
    return Snapshot(
        status=ProviderStatus.OPEN,
        asset=payment.asset,
        received=0,
        confirmed=0,
        as_of=NOW + timedelta(seconds=seconds),
    )


def known(payment: Payment) -> Payment:
    """What a replayed payment has in common with the stored one."""
    return attrs.evolve(
        payment,
        request_hash=b"",
        customer=Customer(id=payment.customer.id),
        receipts=(),
        parameters={},
    )


async def trail_of(stores: Stores, payment: Payment, most: int = 100) -> Trail:
    found = await stores.histories.trail(payment.id, LATER, most)
    assert found is not None
    return found


async def test_the_trail_gives_every_version_as_it_was(stores: Stores) -> None:
    payment = await stores.add(crypto=TERMS, amount=a_new_payment().amount)
    name = str(payment.id)
    refund = RefundSnapshot(
        reference=f"re {name}", state=RefundState.SUCCEEDED, asset=TOKEN, amount=10**18, time=NOW
    )
    dispute = Dispute(
        id=f"dp {name}",
        status=DisputeStatus.INQUIRY,
        asset=TOKEN,
        amount=5,
        open_time=NOW,
        as_of=NOW,
    )
    story: list[Evidence] = [
        OutcomeUnknown(),
        created(aliases=("pi_1",), expire_time=NOW + timedelta(minutes=9)),
        (a_receipt(f"{name}/1", 10**18, ReceiptState.SEEN),),
        (a_receipt(f"{name}/1", 10**18), a_receipt(f"{name}/2", 150 * 10**18)),
        refund,
        dispute,
        attrs.evolve(dispute, status=DisputeStatus.LOST),
        Conflict(detail="c"),
        AttentionResolved(reasons=frozenset(Attention), by="operator:eve", note="looked"),
    ]
    versions = [payment]
    for evidence in story:
        payment = await stores.learn(payment, evidence)
        versions.append(payment)

    trail = await trail_of(stores, payment)

    assert [known(change.payment) for change in trail.changes] == [known(one) for one in versions]
    assert (trail.before, trail.left_out) == (None, 0)
    first, *_, last = trail.changes
    assert (first.audit_event, first.actor) == ("payment_creating", CALLER.actor)
    assert (last.note, last.certificate, last.request_id) == ("looked", "main-app", "req-1")
    assert [receipt.id for receipt in trail.changes[4].receipts] == [f"{name}/1", f"{name}/2"]
    assert trail.changes[4].receipts[0].details == {"sender": "0x1"}


async def test_only_the_newest_changes_are_returned_with_what_was_before(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    before = await stores.learn(payment, Conflict(detail="1"))
    payment = await stores.learn(before, Conflict(detail="2"))

    trail = await trail_of(stores, payment, most=1)

    assert [change.payment.version for change in trail.changes] == [4]
    assert trail.before is not None
    assert known(trail.before) == known(before)
    assert trail.left_out == 3


async def test_status_checks_that_follow_one_another_are_one_change(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    for seconds in range(1, 5):
        payment = await stores.learn(payment, looked(payment, seconds))
    payment = await stores.learn(payment, CancelRequested(reason="no"))

    trail = await trail_of(stores, payment)

    assert [(one.audit_event, one.count) for one in trail.changes] == [
        ("payment_creating", 1),
        ("payment_pending", 1),
        ("status_checked", 4),
        ("payment_canceling", 1),
    ]
    assert trail.changes[2].payment.provider_status_time == NOW + timedelta(seconds=4)


async def test_a_time_limits_the_trail(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    assert await stores.histories.trail(payment.id, NOW - timedelta(hours=1), 100) is None
    assert await stores.histories.trail(a_new_payment().id, LATER, 100) is None
    at_once = await stores.histories.trail(payment.id, NOW, 100)
    assert at_once is not None
    assert len(at_once.changes) == 2


async def test_events_are_listed_until_and_since_they_were_published(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    payment = await stores.learn(payment, paid(payment, confirmed=20_000, received=20_000))
    other = await stores.learn(await stores.add(), created())
    await stores.learn(other, paid(other))

    waiting = await stores.histories.events(payment.id, LATER, 10)
    assert [event.subject for event in waiting] == ["payment.completed", "payment.attention"]
    assert {event.publish_time for event in waiting} == {None}

    claimed = await stores.outbox.claim(10, 60)
    mine = [row for row in claimed if row.payment_id == payment.id]
    await stores.outbox.release({mine[0].id: "the stream is away"})
    [first, _] = await stores.histories.events(payment.id, LATER, 10)
    assert first.last_error == "the stream is away"
    await stores.outbox.mark_published([mine[0].id])
    [first, second] = await stores.histories.events(payment.id, LATER, 10)
    assert first.event_id == mine[0].event_id
    assert first.publish_time is not None
    assert second.publish_time is None
    [newest] = await stores.histories.events(payment.id, LATER, 1)
    assert newest == second


async def test_an_event_that_was_published_later_waits(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    await stores.learn(payment, paid(payment))
    [row] = await stores.outbox.claim(10, 60)
    await stores.outbox.mark_published([row.id])
    [event] = await stores.histories.events(payment.id, LATER, 10)
    assert event.publish_time is not None
    just_before = event.publish_time - timedelta(microseconds=1)
    if event.create_time <= just_before:
        [then] = await stores.histories.events(payment.id, just_before, 10)
        assert then.publish_time is None
    assert not await stores.histories.events(payment.id, NOW - timedelta(hours=1), 10)


async def test_reports_are_found_by_the_id_of_their_row(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    await stores.inbox.put("mock", [Observation(id="evt_1", reference="r", fact=Conflict())])
    [row] = await stores.inbox.claim(10, 60)
    decision = decide(payment, Conflict(detail="c"), NOW)
    assert decision is not None
    assert await stores.payments.commit(payment, decision, CALLER, [row.id])

    trail = await trail_of(stores, payment)
    assert trail.changes[-1].report_ids == (row.id,)
    found = await stores.histories.reports([row.id, 10**9])
    assert list(found) == [row.id]
    report, event = found[row.id]
    assert (report.event_id, report.attempts, report.retry_time) == ("evt_1", 1, None)
    assert (report.facts, event) == ((Conflict(),), None)


async def test_an_event_is_found_by_the_id_of_its_row(stores: Stores) -> None:
    event = ProviderEvent(id="e1", type="t", content={"a": 1})
    await stores.inbox.put("mock", [event])
    [row] = await stores.inbox.claim(10, 60)
    [(report, found)] = (await stores.histories.reports([row.id])).values()
    assert (report.event_id, report.facts, found) == ("e1", (), event)


async def test_reports_that_were_settled_after_a_time_are_found(stores: Stores) -> None:
    payment = await stores.learn(await stores.add(), created())
    await stores.inbox.put("mock", [Observation(id="evt_1", reference="r", fact=Conflict())])
    [row] = await stores.inbox.claim(10, 60)
    decision = decide(payment, Conflict(detail="c"), LATER)
    assert decision is not None
    assert await stores.payments.commit(payment, decision, CALLER, [row.id])

    before_it = LATER - timedelta(seconds=1)
    [found] = await stores.histories.later_reports(payment.id, before_it, 10)
    assert (found.id, found.event_id, found.retry_time) == (row.id, "evt_1", None)
    assert not await stores.histories.later_reports(payment.id, LATER, 10)
    assert not await stores.histories.later_reports(payment.id, NOW - timedelta(days=1), 10)


async def test_reports_wait_by_name_and_events_whatever_they_mean(stores: Stores) -> None:
    for report in (
        Observation(id="o1", reference="mine", also="mine", fact=Conflict()),
        Observation(id="o2", reference="other", fact=Conflict()),
        ProviderEvent(id="e1", type="t", content={"a": 1}),
        Observation(id="o4", reference="other", also="mine", fact=Conflict()),
    ):
        await stores.inbox.put("mock", [report])
    await stores.inbox.put("bank", [Observation(id="o3", reference="mine", fact=Conflict())])

    found = await stores.histories.waiting_reports("mock", ["mine"], 10)

    assert [(report.event_id, event and event.id) for report, event in found] == [
        ("o1", None),
        ("e1", "e1"),
        ("o4", None),
    ]
    assert [report.facts for report, _ in found] == [(Conflict(),), (), (Conflict(),)]
    assert {report.retry_time for report, _ in found} == {None}
    [(first, _)] = await stores.histories.waiting_reports("mock", ["mine"], 1)
    assert first.event_id == "o1"

    rows = await stores.inbox.claim(10, 60)
    again = await stores.histories.waiting_reports("mock", ["mine"], 10)
    assert all(report.attempts == 1 and report.retry_time for report, _ in again)
    await stores.inbox.finish({row.id: "nothing_new" for row in rows})
    assert not await stores.histories.waiting_reports("mock", ["mine"], 10)


async def test_receipts_without_a_payment_are_found_by_name_or_by_amount(stores: Stores) -> None:
    payment = await stores.add(crypto=TERMS)
    other = TOKEN.replace("B", "C")
    reported = {
        "named": ("mine", a_receipt("named", 7)),
        "amount": ("unknown", a_receipt("amount", TERMS.due_base_units)),
        "likely": (
            "unknown",
            attrs.evolve(
                a_receipt("likely", 7), details={"sender": "0x1", "likely_payment": "mine"}
            ),
        ),
        "other": (
            "unknown",
            attrs.evolve(
                a_receipt("other", 7), details={"sender": "0x1", "likely_payment": "another"}
            ),
        ),
        "nothing": ("unknown", a_receipt("nothing", 7)),
        "token": ("unknown", attrs.evolve(a_receipt("token", 7), asset=other)),
        "early": ("mine", attrs.evolve(a_receipt("early", 7), time=NOW - timedelta(days=1))),
    }
    observations = [
        Observation(id=name, reference=reference, fact=(receipt,))
        for name, (reference, receipt) in reported.items()
    ]
    await stores.inbox.put("mock", observations)
    await stores.inbox.put(
        "bank", [Observation(id="x", reference="mine", fact=(a_receipt("x", 7),))]
    )

    found = await stores.histories.unmatched_receipts(payment, ["mine"], LATER, 10)
    assert {receipt.id for receipt in found} == {"named", "amount", "likely"}
    assert {receipt.details["sender"] for receipt in found} == {"0x1"}
    assert len(await stores.histories.unmatched_receipts(payment, ["mine"], LATER, 1)) == 1


# -- PostgreSQL alone ----------------------------------------------------------------------------


def test_what_is_older_than_the_rows_that_are_read_is_put_together(
    migrated_database: DatabaseSettings,
) -> None:
    async def run() -> tuple[Trail | None, Trail | None, Payment]:
        database = Database(migrated_database)
        store = PostgresStore(database, "test", Rules())
        payment = await store.insert(a_new_payment(), CALLER)
        reference = str(payment.id)
        story: list[Any] = [created(reference=reference), paid(payment)]
        for number in range(3):
            report = RefundSnapshot(
                reference=f"{reference} {number}",
                state=RefundState.PENDING,
                asset="USD",
                amount=100,
                time=NOW,
            )
            story += [report, attrs.evolve(report, state=RefundState.SUCCEEDED)]
        story.append(
            Dispute(
                id=reference,
                status=DisputeStatus.INQUIRY,
                asset="USD",
                amount=1,
                open_time=NOW,
                as_of=NOW,
            )
        )
        for evidence in (*story, Conflict(detail="1"), Conflict(detail="2")):
            decision = decide(payment, evidence, NOW)
            assert decision is not None
            assert await store.commit(payment, decision, Origin(actor="a"))
            payment = decision.payment
        whole = await PostgresHistories(database).trail(payment.id, LATER, 100)
        part = await PostgresHistories(database, rows_max=2).trail(payment.id, LATER, 100)
        await database.close()
        return whole, part, payment

    whole, part, payment = asyncio.run(run())

    assert whole is not None
    assert part is not None
    assert part.before == whole.changes[-3].payment
    assert part.changes == whole.changes[-2:]
    assert part.left_out == payment.version - 2
    assert part.changes[-1].payment.status is Status.COMPLETED
    assert part.changes[-1].payment.refunded == 300


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("payment_trail", "NULL, NULL, 5"),
        ("payment_before", "NULL, 5"),
        ("payment_outbox", "NULL, NULL, 5"),
        ("inbox_reports", "NULL"),
        ("later_reports", "NULL, NULL, 5"),
        ("waiting_reports", "NULL, NULL, 5"),
        ("receipts_for", "NULL, NULL, NULL, NULL, NULL, NULL, 5"),
    ],
)
def test_every_statement_reads_by_an_index(
    migrated_database: DatabaseSettings, name: str, arguments: str
) -> None:
    async def plan() -> str:
        session = await Database(migrated_database).connect()
        try:
            await session.execute("SET plan_cache_mode = force_generic_plan")
            await session.execute("SET enable_seqscan = off")
            await session.execute(f"PREPARE asked AS {STATEMENTS[name].sql}")
            rows = await session.fetch(f"EXPLAIN EXECUTE asked ({arguments})")
            return "\n".join(row[0] for row in rows)
        finally:
            await session.close()

    found = asyncio.run(plan())
    assert "Index" in found, found
    assert "Seq Scan" not in found, found
