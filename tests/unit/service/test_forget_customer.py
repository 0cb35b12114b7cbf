"""ForgetCustomer: personal data goes everywhere, once, and only when nothing is open."""

from collections.abc import Collection, Sequence
from uuid import UUID

import attrs
import pytest
from support.memory import MemoryPersonalData
from support.memory.store import MemoryStore
from unit.service.fakes import Died
from unit.service.world import USD_1, World

from payd.domain.decide import FORGOTTEN
from payd.domain.errors import CustomerHasOpenPayments, CustomerNotFound, IdempotencyKeyReused
from payd.domain.evidence import Observation, Receipt, ReceiptState
from payd.domain.forget import Forgotten, RetainedEvent
from payd.domain.payment import Customer, Origin, Payment, Status
from payd.domain.refund import RefundState
from payd.domain.request import ForgetRequest
from payd.ports import SearchedReports, Traces
from payd.service import forget_customer

OPERATOR = Origin(actor="operator:alice", certificate="alice")
PLANTED = "planted"
ADA = Customer(id="ada", email=f"{PLANTED}@example.org", wallet_address=f"0x{PLANTED}")
NOTHING = {"payments": 0, "refunds": 0, "receipts": 0, "outbox": 0, "inbox": 0, "customers": 0}


async def forget(world: World, *, dry_run: bool = False, customer_id: str = "ada") -> Forgotten:
    request = ForgetRequest(customer_id=customer_id, dry_run=dry_run, note="request 7")
    return await world.forgets.forget(request, OPERATOR)


async def pay(world: World, number: int = 1) -> Payment:
    """A payment of Ada's that is paid; its event is published."""
    payment = await world.initiate(
        idempotency_key=f"key-{number}", customer=ADA, metadata={"name": PLANTED}
    )
    receipt = Receipt(
        id=f"receipt-{number}",
        asset="USD",
        amount=payment.due,
        state=ReceiptState.CONFIRMED,
        time=world.clock.now(),
        details={"sender": PLANTED, "transaction": "0xt"},
    )
    report = Observation(id=f"r{number}", reference=str(payment.id), fact=(receipt,))
    await world.intake.accept("mock", [report])
    await world.settle_and_publish()
    return await world.newest(payment)


def personal(world: World) -> str:
    """All that is stored, but the audit trail, whose values stand apart in the database."""
    rows = [held.row for queue in (world.inbox, world.outbox) for held in queue.rows.values()]
    return str([world.store.all(), world.store.customers(), rows])


async def test_all_payments_of_a_customer_are_forgotten_with_an_audit_row_each() -> None:
    world = World()
    payments = [await pay(world, number) for number in (1, 2, 3)]
    other = await world.initiate(idempotency_key="other")
    assert PLANTED in personal(world)

    done = await forget(world)

    assert PLANTED not in personal(world)
    assert done.payments == 3
    assert done.erased == NOTHING | {
        "payments": 3,
        "receipts": 3,
        "outbox": 3,
        "inbox": 3,
        "customers": 1,
    }
    for payment in payments:
        *_, last = await world.store.audit_trail(payment.id)
        assert (last.event_type, last.actor) == (FORGOTTEN, "operator:alice")
        assert last.details["reason"] == "request 7"
        assert (await world.newest(payment)).status is Status.COMPLETED
    assert await world.newest(other) == other


async def test_what_the_stream_retains_is_listed_newest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forget_customer, "EVENTS_MAX", 2)
    world = World()
    for number in (1, 2, 3):
        await pay(world, number)
        world.clock.move(seconds=1)
    done = await forget(world)
    assert [event.subject for event in done.retained] == ["payment.completed"] * 2
    times = [event.publish_time for event in done.retained]
    assert times == sorted(times, reverse=True)


async def test_a_dry_run_counts_the_same_and_changes_nothing() -> None:
    world = World()
    await pay(world)
    before = personal(world)
    counted = await forget(world, dry_run=True)
    assert personal(world) == before
    assert await forget(world) == counted


async def test_forgetting_again_changes_nothing() -> None:
    world = World()
    payment = await pay(world)
    await forget(world)
    trail = await world.trail(payment)
    assert (await forget(world)).erased == NOTHING
    assert await world.trail(payment) == trail


async def test_payments_are_forgotten_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget_customer, "_BATCH", 2)
    world = World()
    for number in range(5):
        await pay(world, number)
    done = await forget(world)
    assert (done.payments, done.erased["payments"], done.erased["inbox"]) == (5, 5, 5)
    assert PLANTED not in personal(world)


async def test_of_all_batches_the_newest_retained_events_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forget_customer, "_BATCH", 1)
    monkeypatch.setattr(forget_customer, "EVENTS_MAX", 2)
    world = World()
    payments = []
    for number in (1, 2, 3):
        payments.append(await pay(world, number))
        world.clock.move(seconds=1)
    done = await forget(world)
    newest = [payments[2].id, payments[1].id]
    assert [event.payment_id for event in done.retained] == newest


class WatchedPersonalData(MemoryPersonalData):
    """Notes what is asked of it; each payment has a report that only its trail names."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.events_max: list[int] = []
        self.searched: list[Traces] = []
        self.customers: list[str] = []

    async def retained_events(
        self, payment_ids: Collection[UUID], limit: int
    ) -> Sequence[RetainedEvent]:
        self.events_max.append(limit)
        return await super().retained_events(payment_ids, limit)

    async def traces(self, customer_id: str, payment_ids: Collection[UUID]) -> Traces:
        self.customers.append(customer_id)
        found = await super().traces(customer_id, payment_ids)
        return attrs.evolve(found, report_ids=frozenset(one.int for one in payment_ids))

    async def erase_reports(self, traces: Traces, after: int, *, erase: bool) -> SearchedReports:
        self.searched.append(traces)
        return await super().erase_reports(traces, after, erase=erase)


async def test_the_inbox_is_searched_for_the_traces_of_the_customer_and_all_payments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forget_customer, "_BATCH", 1)
    world = World()
    payments = [await pay(world, number) for number in (1, 2)]
    watched = WatchedPersonalData(world.store)
    world.forgets = attrs.evolve(world.forgets, personal=watched)

    await forget(world)

    for traces in watched.searched:
        assert {ADA.email, *(str(one.id) for one in payments)} <= traces.names
        assert traces.report_ids == {one.id.int for one in payments}
    assert set(watched.customers) == {"ada"}


async def test_no_more_events_are_read_than_are_listed() -> None:
    world = World()
    await pay(world)
    watched = WatchedPersonalData(world.store)
    world.forgets = attrs.evolve(world.forgets, personal=watched)
    await forget(world)
    assert watched.events_max == [forget_customer.EVENTS_MAX]


@pytest.mark.parametrize("point", ["settle.before_commit", "settle.after_commit"])
@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_after_a_crash_the_same_call_erases_the_rest(point: str, nth: int) -> None:
    world = World()
    payments = [await pay(world, number) for number in (1, 2, 3)]
    world.crash.die_at(point, nth)
    with pytest.raises(Died):
        await forget(world)
    assert PLANTED in personal(world)
    await forget(world)
    assert PLANTED not in personal(world)
    for payment in payments:
        assert (await world.trail(payment)).count(FORGOTTEN) == 1


async def test_a_customer_with_an_open_payment_is_not_forgotten() -> None:
    world = World()
    await pay(world)
    payment = await world.initiate(idempotency_key="open", customer=ADA)
    before = personal(world)
    for dry_run in (True, False):
        with pytest.raises(CustomerHasOpenPayments, match=f"{payment.id} is PENDING"):
            await forget(world, dry_run=dry_run)
    assert personal(world) == before


async def test_a_customer_with_an_open_refund_is_not_forgotten() -> None:
    world = World()
    payment = await pay(world)
    refund = await world.refund(payment, amount=USD_1, reason=PLANTED)
    with pytest.raises(CustomerHasOpenPayments, match=f"refund {refund.id}"):
        await forget(world)
    await world.report_refund(world.provider.finish_refund(RefundState.SUCCEEDED))
    await world.settle_and_publish()
    assert (await forget(world)).erased["refunds"] == 1
    assert PLANTED not in personal(world)


async def test_an_event_that_waits_to_be_published_keeps_its_content() -> None:
    world = World()
    world.publisher.is_away = True
    payment = await world.payment_in(Status.COMPLETED)
    why = f"^an event of payment {payment.id} is not published yet: wait for the end"
    with pytest.raises(CustomerHasOpenPayments, match=why):
        await forget(world, customer_id="user-1")


async def test_a_long_list_of_reasons_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget_customer, "_BATCH", 1)
    monkeypatch.setattr(forget_customer, "_REASONS_MAX", 2)
    world = World()
    for number in range(4):
        await world.initiate(idempotency_key=f"open-{number}", customer=ADA)
    with pytest.raises(CustomerHasOpenPayments) as refused:
        await forget(world)
    assert refused.value.metadata == {"open": "2"}


async def test_a_report_that_waits_is_left_and_counted() -> None:
    world = World()
    await pay(world)
    unknown = Observation(id="late", reference=f"{PLANTED}@example.org", fact=())
    await world.intake.accept("mock", [unknown])
    assert (await forget(world)).waiting_reports == 1


async def test_an_unknown_customer_is_refused() -> None:
    with pytest.raises(CustomerNotFound, match=r"^no customer has this id$") as refused:
        await forget(World(), customer_id="nobody")
    assert refused.value.metadata == {"customer_id": "nobody"}


# -- afterwards ------------------------------------------------------------------------------


async def test_the_same_key_replays_a_forgotten_payment() -> None:
    world = World()
    payment = await pay(world)
    await forget(world)
    again = await world.initiate(idempotency_key="key-1", customer=ADA, metadata={"name": PLANTED})
    assert (again.id, again.status) == (payment.id, Status.COMPLETED)
    assert PLANTED not in personal(world)
    with pytest.raises(IdempotencyKeyReused):
        await world.initiate(idempotency_key="key-1", customer=Customer(id="eve"))


async def test_the_same_key_replays_a_forgotten_refund() -> None:
    world = World()
    payment = await pay(world)
    refund = await world.refund(payment, amount=USD_1, reason=PLANTED)
    await world.report_refund(world.provider.finish_refund(RefundState.SUCCEEDED))
    await world.settle_and_publish()
    await forget(world)
    assert (await world.refund(payment, amount=USD_1, reason=PLANTED)).id == refund.id


async def test_a_forgotten_payment_is_still_explained() -> None:
    world = World()
    payment = await pay(world)
    await forget(world)
    explanation = await world.explains.explain(payment.id, None)
    assert any(
        "personal data" in step.what and "request 7" in step.what for step in explanation.steps
    )
