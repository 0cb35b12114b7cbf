"""Intake: evidence is stored before it is settled, matched now or later, and never lost."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import attrs
import pytest
from unit.service.fakes import OUTCOME_UNKNOWN, Request
from unit.service.world import World

from payd.domain.attention import Attention
from payd.domain.evidence import Observation, ProviderStatus, Receipt, ReceiptState, Snapshot
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundSnapshot, RefundState
from payd.ports import Answer, Cursor, Lease, LeaseLost
from payd.service.reports import PARKED_MAX, UNKNOWN_MAX, UNNAMED_MAX


async def test_money_that_the_provider_reports_completes_the_payment(world: World) -> None:
    payment = await world.initiate()
    world.provider.object.pay()

    assert await world.report(world.provider.object) == 1
    assert await world.intake_pass() == 1

    after = await world.newest(payment)
    assert (after.status, after.confirmed) == (Status.COMPLETED, 14900)
    assert await world.events() == ["payment.completed"]
    assert _outcomes(world) == ["applied"]


async def test_the_audit_trail_says_which_provider_reported_it(world: World) -> None:
    payment = await world.initiate()
    await world.pay()
    await world.intake_pass()

    *_, last = await world.store.audit_trail(payment.id)
    assert (last.actor, last.request_id) == ("provider:mock", "req-1")


async def test_evidence_is_stored_before_it_is_settled(world: World) -> None:
    payment = await world.initiate()

    await world.pay()

    assert await world.newest(payment) == payment
    assert _outcomes(world) == [None]


@pytest.mark.parametrize("name", ["obj_1", "pi_obj_1", "id"])
async def test_a_payment_is_matched_by_every_name_that_its_provider_has_for_it(
    world: World, name: str
) -> None:
    payment = await world.initiate()
    world.provider.object.pay()

    await world.report(world.provider.object, str(payment.id) if name == "id" else name)
    await world.intake_pass()

    assert (await world.newest(payment)).status is Status.COMPLETED


async def test_receipts_are_summed_not_replaced(world: World) -> None:
    payment = await world.initiate()
    for name in ("r1", "r2"):
        receipt = Receipt(
            id=name,
            asset="USD",
            amount=7450,
            state=ReceiptState.CONFIRMED,
            time=world.clock.now(),
        )
        await _accept(world, payment, id=name, fact=(receipt,))
    await world.intake_pass()

    assert (await world.newest(payment)).status is Status.COMPLETED


async def test_a_daemon_that_has_lost_its_lease_stores_nothing(world: World) -> None:
    payment = await world.initiate()
    paid = _observation(payment.id, id="evt_1", fact=_paid(world))
    cursor = Cursor(name="watch", value="7", rest=timedelta(0))
    world.store.ledger.fences["watch:mock"] = 2

    with pytest.raises(LeaseLost):
        await world.intake.accept("mock", [paid], cursor, lease=Lease(name="watch:mock", fence=1))
    assert (await world.intake_pass(), await world.inbox.read_cursor("mock", "watch")) == (0, None)

    mine = Lease(name="watch:mock", fence=2)
    assert await world.intake.accept("mock", [paid], cursor, lease=mine) == 1
    assert (await world.intake_pass(), await world.inbox.read_cursor("mock", "watch")) == (1, "7")


# -- repetition and contradiction ------------------------------------------------------------


async def test_the_same_report_a_hundred_times_has_one_effect(world: World) -> None:
    payment = await world.initiate()
    world.provider.object.pay()

    assert [await world.report(world.provider.object) for _ in range(100)] == [1] + [0] * 99
    await world.settle_and_publish()

    assert (await world.newest(payment)).version == payment.version + 1
    assert await world.events() == ["payment.completed"]


async def test_news_under_another_id_that_is_known_already_changes_nothing(world: World) -> None:
    payment = await world.initiate()
    paid = _paid(world)
    await _accept(world, payment, id="evt_1", fact=paid)
    await world.intake_pass()
    completed = await world.newest(payment)

    await _accept(world, payment, id="evt_2", fact=paid)
    await world.intake_pass()

    assert await world.newest(payment) == completed
    assert _outcomes(world, 2) == ["applied", "nothing_new"]


async def test_two_reports_with_one_id_are_for_a_person(world: World) -> None:
    payment = await world.initiate()
    paid = _paid(world)
    await _accept(world, payment, id="evt_1", fact=paid)
    await _accept(world, payment, id="evt_1", fact=attrs.evolve(paid, received=1, confirmed=1))
    await world.intake_pass()

    after = await world.newest(payment)
    assert after.status is Status.COMPLETED
    assert after.confirmed == 14900
    assert after.attention == {Attention.CONFLICTING_EVIDENCE}
    assert await world.events() == ["payment.completed", "payment.attention"]


@pytest.mark.parametrize(
    "order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
)
async def test_reports_in_any_order_come_to_the_same(world: World, order: Sequence[int]) -> None:
    payment = await world.initiate()
    seen = []
    for status, received, confirmed in [
        (ProviderStatus.OPEN, 0, 0),
        (ProviderStatus.PROCESSING, 14900, 0),
        (ProviderStatus.PAID, 14900, 14900),
    ]:
        world.clock.move(seconds=1)
        seen.append(
            attrs.evolve(_paid(world), status=status, received=received, confirmed=confirmed)
        )

    for n in order:
        await _accept(world, payment, id=f"evt_{n}", fact=seen[n])
        await world.intake_pass()

    assert (await world.newest(payment)).status is Status.COMPLETED
    assert await world.events() == ["payment.completed"]


# -- no payment is known by that name --------------------------------------------------------


async def test_a_report_that_overtakes_its_payment_is_parked_and_then_settled(
    world: World,
) -> None:
    early = _observation(UUID(int=1), id="evt_1", fact=_paid(world))
    await world.intake.accept("mock", [early])
    assert await world.intake_pass() == 1
    assert _outcomes(world) == [None]

    assert await world.intake_pass() == 0, "parked for a moment"
    payment = await world.initiate()
    assert str(payment.id) == early.reference
    world.clock.move(seconds=1)
    await world.settle_and_publish()

    assert (await world.newest(payment)).status is Status.COMPLETED


async def test_a_parked_report_is_tried_again_ever_more_rarely(world: World) -> None:
    await _accept_unknown(world)

    for pause_s in (1, 2, 5, 15, 60, 300, 300, 300):
        assert await world.intake_pass() == 1
        world.clock.move(seconds=pause_s - 0.1)
        assert await world.intake_pass() == 0
        world.clock.move(seconds=0.1)


async def test_a_report_that_never_finds_its_payment_is_given_up_after_a_day(
    world: World,
) -> None:
    await _accept_unknown(world)
    await world.intake_pass()

    world.clock.time += PARKED_MAX
    await world.intake_pass()
    assert _outcomes(world) == [None], "not before"

    world.clock.move(minutes=5)
    await world.intake_pass()
    assert _outcomes(world) == ["never_matched"]
    assert await world.intake_pass() == 0


@pytest.mark.parametrize(
    "reference",
    [
        "cs_unknown",
        "00000000000000000000000000000001",
        "{00000000-0000-0000-0000-000000000001}",
    ],
)
async def test_a_report_about_something_else_is_not_ours(world: World, reference: str) -> None:
    observation = Observation(id="evt_1", reference=reference, fact=_paid(world))
    await world.intake.accept("mock", [observation])

    await world.intake_pass()
    assert _outcomes(world) == [None], "it may have overtaken the provider's answer"

    world.clock.time += UNKNOWN_MAX + timedelta(seconds=1)
    await world.intake_pass()

    assert _outcomes(world) == ["not_ours"]


async def test_a_report_waits_while_a_payment_does_not_know_its_object(world: World) -> None:
    """It may be about that object: a refund by hand is in no other report."""
    payment = await _without_an_object(world)
    world.clock.move(minutes=1)
    refund = RefundSnapshot(
        reference="re_1",
        state=RefundState.SUCCEEDED,
        asset="USD",
        amount=3000,
        time=world.clock.now(),
    )
    observation = Observation(id="evt_1", reference="obj_1", fact=refund)
    await world.intake.accept("mock", [observation])
    await world.intake_pass()
    world.clock.time += UNKNOWN_MAX + timedelta(seconds=1)
    await world.intake_pass()
    assert _outcomes(world) == [None], "the provider still has not answered"

    world.provider.object.pay()
    await world.recovery_pass()
    await world.recovery_pass()
    world.clock.time += UNKNOWN_MAX
    await world.intake_pass()

    assert (await world.newest(payment)).refunded == 3000
    assert _outcomes(world) == ["applied"]


@pytest.mark.parametrize(("days", "outcome"), [(0, "not_ours"), (2, None), (3, "not_ours")])
async def test_it_waits_for_three_days_and_for_no_payment_that_began_after_it(
    world: World, days: int, outcome: str | None
) -> None:
    first = Observation(id="evt_1", reference="cs_unknown", fact=_paid(world))
    second = attrs.evolve(first, id="evt_2", reference="cs_unknown_too")
    if days:
        await _without_an_object(world)
    world.clock.move(minutes=1)
    await world.intake.accept("mock", [first, second])
    world.clock.move(minutes=1)
    if not days:
        await _without_an_object(world)
    world.clock.time += UNKNOWN_MAX + timedelta(days=days)
    await world.intake_pass()

    assert _outcomes(world, rows=2) == [outcome, outcome]


async def test_it_waits_up_to_the_end_of_the_third_day_half_an_hour_at_a_time(
    world: World,
) -> None:
    await _without_an_object(world)
    world.clock.move(seconds=1)
    observation = Observation(id="evt_1", reference="cs_unknown", fact=_paid(world))
    await world.intake.accept("mock", [observation])
    world.clock.time += UNNAMED_MAX

    assert await world.reports.work(await world.reports.claim_batch()) == {1: "parked"}

    world.clock.move(seconds=1799.9)
    assert await world.intake_pass() == 0
    world.clock.move(seconds=0.1)
    assert await world.intake_pass() == 1
    assert _outcomes(world) == ["not_ours"]


async def test_it_waits_for_no_payment_of_the_same_moment(world: World) -> None:
    await _without_an_object(world)
    observation = Observation(id="evt_1", reference="cs_unknown", fact=_paid(world))
    await world.intake.accept("mock", [observation])
    world.clock.time += UNKNOWN_MAX + timedelta(seconds=1)
    await world.intake_pass()

    assert _outcomes(world) == ["not_ours"]


@pytest.mark.parametrize("spell", [str.upper, str.lower])
async def test_an_id_has_the_form_of_ours_in_capitals_too(
    world: World, spell: Callable[[str], str]
) -> None:
    reference = spell(str(UUID(int=0xABCDEF)))
    await world.intake.accept(
        "mock", [Observation(id="evt_1", reference=reference, fact=_paid(world))]
    )

    await world.intake_pass()
    world.clock.time += UNKNOWN_MAX + timedelta(seconds=1)
    await world.intake_pass()

    assert _outcomes(world) == [None], "it waits a day"


async def test_a_provider_cannot_report_about_the_payment_of_another(world: World) -> None:
    payment = await world.initiate()
    observation = _observation(payment.id, id="evt_1", fact=_paid(world))

    await world.intake.accept("stranger", [observation])
    await world.intake_pass()

    assert await world.newest(payment) == payment


# -- races -----------------------------------------------------------------------------------


async def test_money_reported_while_the_outcome_is_unknown_completes_the_payment(
    world: World,
) -> None:
    payment = await _without_an_object(world)

    await world.pay()
    await world.settle_and_publish()

    assert (await world.newest(payment)).status is Status.COMPLETED
    assert await world.events() == ["payment.completed"]


async def test_a_row_whose_worker_died_is_worked_on_when_its_lease_ends(world: World) -> None:
    payment = await world.initiate()
    await world.pay()
    assert len(await world.reports.claim_batch()) == 1
    assert await world.intake_pass() == 0

    world.clock.move(seconds=world.reports.lease_s)

    assert await world.intake_pass() == 1
    assert (await world.newest(payment)).status is Status.COMPLETED


async def test_a_row_that_two_workers_hold_has_one_effect(world: World) -> None:
    payment = await world.initiate()
    await world.pay()
    [row] = await world.reports.claim_batch()

    await world.reports.work([row])
    await world.reports.work([row])

    assert (await world.newest(payment)).version == payment.version + 1
    assert await world.events() == ["payment.completed"]


async def test_a_batch_is_no_larger_than_it_may_be(world: World) -> None:
    payment = await world.initiate()
    for n in range(world.reports.batch_size + 1):
        await _accept(world, payment, id=f"evt_{n}", fact=_paid(world))

    assert len(await world.reports.claim_batch()) == world.reports.batch_size
    assert len(await world.reports.claim_batch()) == 1


# -- words for the above ---------------------------------------------------------------------


def _paid(world: World) -> Snapshot:
    return Snapshot(
        status=ProviderStatus.PAID,
        asset="USD",
        received=14900,
        confirmed=14900,
        as_of=world.clock.now(),
    )


def _observation(payment_id: UUID, *, id: str, fact: Snapshot | tuple[Receipt, ...]) -> Observation:
    return Observation(id=id, reference=str(payment_id), fact=fact)


async def _accept(
    world: World, payment: Payment, *, id: str, fact: Snapshot | tuple[Receipt, ...]
) -> None:
    await world.intake.accept("mock", [_observation(payment.id, id=id, fact=fact)])


async def _without_an_object(world: World) -> Payment:
    """A payment whose object exists, and whose provider did not answer."""

    async def created_and_lost(_: Request) -> Answer:
        world.provider.make(world.provider.operations[-1])
        return OUTCOME_UNKNOWN

    world.provider.replies["create"] = [created_and_lost]
    return await world.initiate()


async def _accept_unknown(world: World) -> None:
    await world.intake.accept("mock", [_observation(UUID(int=404), id="evt_1", fact=_paid(world))])


def _outcomes(world: World, rows: int = 1) -> list[str | None]:
    return [world.inbox.outcome(row_id) for row_id in range(1, rows + 1)]
