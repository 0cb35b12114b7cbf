"""Refund recovery: no refund is lost, none is made twice, none fails by age."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from stripe_provider import MANIFEST
from unit.service.fakes import Died
from unit.service.world import World, capable, refunding

from payd.domain.attention import PUBLISH_AFTER, Attention
from payd.domain.evidence import Absent, Declined, NotAttempted, OutcomeUnknown, Unanswered
from payd.domain.payment import Payment, Status
from payd.domain.refund import Refund, RefundSnapshot, RefundState, RefundStatus
from payd.domain.refunds import REFUND_STUCK_AFTER
from payd.plugins.capabilities import Lookup
from payd.ports import RefundReply

UNKNOWN = RefundReply(answer=OutcomeUnknown())
UNANSWERED = RefundReply(answer=Unanswered())
NOT_ATTEMPTED = RefundReply(answer=NotAttempted())


def forgetful() -> World:
    """A rail that remembers operations for a day, and cannot say what it never saw."""
    return World(capable(refunds=refunding(lookup=Lookup.AUTHORITATIVE)))


async def lost(world: World, *, arrived: bool) -> tuple[Payment, Refund]:
    """A refund whose answer was lost."""
    payment = await world.payment_in(Status.COMPLETED)

    async def answer() -> RefundReply:
        if arrived:
            world.provider.give_back(world.provider.refunds[-1])
        return UNKNOWN

    world.provider.refund_replies.append(answer)
    return payment, await world.refund(payment)


async def test_a_refund_whose_answer_was_lost_is_found() -> None:
    world = World()
    _, refund = await lost(world, arrived=True)
    assert (await world.check_refund(refund)).status is RefundStatus.PENDING
    assert len(world.provider.refunds) == 1


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("lookup", list(Lookup))
async def test_i18_a_lost_answer_ends_in_one_refund(lookup: Lookup, arrived: bool) -> None:
    world = World(capable(refunds=refunding(lookup=lookup)))
    _, refund = await lost(world, arrived=arrived)
    for _ in range(3):
        refund = await world.stored(refund)
        if refund.status is RefundStatus.CREATING:
            await world.check_refund(refund)
    assert (await world.stored(refund)).status is RefundStatus.PENDING
    assert len(world.provider.remote_refunds) == 1


async def test_what_is_sent_again_is_the_same() -> None:
    world = forgetful()
    _, refund = await lost(world, arrived=False)
    world.provider.refund_replies += [UNANSWERED, UNKNOWN]
    await world.check_refund(refund)
    await world.check_refund(refund)
    first, second, third = world.provider.refunds
    assert first == second == third


async def test_after_the_window_a_refund_that_may_exist_is_not_sent_again() -> None:
    world = forgetful()
    payment, refund = await lost(world, arrived=False)
    world.clock.move(hours=24)
    for _ in range(4):
        refund = await world.check_refund(refund)
    assert refund.status is RefundStatus.CREATING
    assert len(world.provider.refunds) == 1
    stored = await world.newest(payment)
    assert stored.attention == {Attention.STUCK}
    assert await world.events() == ["payment.completed", "payment.attention"]
    world.provider.give_back(world.provider.refunds[-1])
    refund = await world.check_refund(refund)
    assert refund.status is RefundStatus.PENDING
    assert (await world.newest(payment)).attention == frozenset()


# -- Stripe: it recognises a repetition for 23 hours, and its lists prove no absence -------------

WINDOW = timedelta(hours=23)
END = datetime.max.replace(tzinfo=UTC)


def at_stripe() -> World:
    return World(capable(refunds=MANIFEST.capabilities.refunds))


async def unanswered(world: World, refund: Refund) -> timedelta:
    """One check that finds nothing, and whose sending has no answer; the refund's age at it."""
    world.provider.refund_replies[:] = [UNANSWERED, UNKNOWN]
    after = await world.check_refund(refund)
    assert after.status is RefundStatus.CREATING
    world.provider.refund_replies.clear()
    return world.clock.now() - refund.create_time


async def test_within_stripes_window_every_check_sends_the_same_again() -> None:
    world = at_stripe()
    _, refund = await lost(world, arrived=False)
    checks = 0
    while ((await world.stored(refund)).next_check_time or END) < refund.create_time + WINDOW:
        await unanswered(world, refund)
        checks += 1
    assert checks > 5
    first, *others = world.provider.refunds
    assert others == [first] * checks
    assert first.operation_id == f"payd:{refund.id}:refund:v1"


async def test_after_stripes_window_a_check_only_looks() -> None:
    world = at_stripe()
    payment, refund = await lost(world, arrived=False)
    world.clock.time = refund.create_time + WINDOW
    sent, looked = len(world.provider.refunds), len(world.provider.fetched_refunds)
    for number in range(1, 6):
        await unanswered(world, refund)
        assert len(world.provider.refunds) == sent
        assert len(world.provider.fetched_refunds) == looked + number
    assert Attention.STUCK in (await world.newest(payment)).attention


async def test_a_refund_without_an_answer_is_stuck_after_an_hour_and_published_after_another() -> (
    None
):
    world = at_stripe()
    payment, refund = await lost(world, arrived=False)
    stuck = published = None
    for _ in range(8):
        age = await unanswered(world, refund)
        if stuck is None and Attention.STUCK in (await world.newest(payment)).attention:
            stuck = age
        if published is None and "payment.attention" in await world.events():
            published = age
    assert stuck is not None
    assert published is not None
    assert REFUND_STUCK_AFTER <= stuck < REFUND_STUCK_AFTER + timedelta(minutes=15)
    assert PUBLISH_AFTER <= published - stuck < PUBLISH_AFTER + timedelta(minutes=1)
    assert await world.events() == ["payment.completed", "payment.attention"]


async def test_where_absence_can_be_proven_nothing_is_sent_without_the_proof() -> None:
    world = World()
    _, refund = await lost(world, arrived=False)
    world.provider.refund_replies.append(UNANSWERED)
    assert (await world.check_refund(refund)).status is RefundStatus.CREATING
    assert len(world.provider.refunds) == 1
    assert (await world.check_refund(refund)).status is RefundStatus.PENDING


async def test_absence_that_is_not_proven_is_silence() -> None:
    world = World(capable(refunds=refunding(lookup=Lookup.INCLUDING_ABSENCE)))
    payment, refund = await lost(world, arrived=False)
    world.clock.move(hours=2)
    world.provider.refund_replies.append(RefundReply(answer=Absent(proven=False)))
    await world.check_refund(refund)
    assert (await world.newest(payment)).attention == {Attention.STUCK}


async def test_a_refund_that_was_never_sent_is_sent_whenever_the_provider_is_back() -> None:
    world = forgetful()
    payment = await world.payment_in(Status.COMPLETED)
    world.provider.refund_replies += [NOT_ATTEMPTED] * 4
    refund = await world.refund(payment)
    for _ in range(3):
        refund = await world.check_refund(refund)
    world.clock.move(days=3)
    assert (await world.check_refund(refund)).status is RefundStatus.PENDING


async def test_a_refund_on_its_way_is_looked_at_until_it_ends() -> None:
    world = World()
    refund = await world.refund_in(RefundStatus.PENDING)
    times = []
    for _ in range(5):
        before = world.clock.now()
        refund = await world.check_refund(refund)
        times.append(world.clock.now() - before)
    assert times == [
        *(timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6)),
        *(timedelta(days=1), timedelta(days=1)),
    ]
    world.provider.finish_refund(RefundState.FAILED)
    assert (await world.check_refund(refund)).status is RefundStatus.FAILED
    assert await world.recover_refunds.claim_batch() == []


async def test_a_refund_made_at_the_provider_is_looked_at_as_well() -> None:
    world = World()
    payment = await world.payment_in(Status.COMPLETED)
    report = RefundSnapshot(
        reference="re_x", state=RefundState.PENDING, asset="USD", amount=1, time=world.clock.now()
    )
    await world.report_refund(report)
    [refund] = (await world.newest(payment)).refunds
    ended = attrs.evolve(report, state=RefundState.SUCCEEDED)
    world.provider.refund_replies.append(RefundReply(answer=ended))
    assert (await world.check_refund(refund)).status is RefundStatus.SUCCEEDED
    assert [ref.reference for ref in world.provider.fetched_refunds] == ["re_x"]


async def test_a_provider_that_is_away_delays_and_decides_nothing() -> None:
    world = World()
    payment, refund = await lost(world, arrived=True)
    world.providers.disabled = True
    world.clock.move(hours=1)
    after = await world.check_refund(refund)
    assert (after.status, after.checks) == (RefundStatus.CREATING, 1)
    assert after.next_check_time is not None
    assert (await world.newest(payment)).attention == {Attention.STUCK}
    world.providers.disabled = False
    assert (await world.check_refund(refund)).status is RefundStatus.PENDING


async def test_a_provider_that_cannot_refund_any_more_is_not_asked_about_refunds() -> None:
    world = World()
    payment, refund = await lost(world, arrived=True)
    world.provider.capabilities = capable(refunds=None)
    world.clock.move(hours=1)
    assert (await world.check_refund(refund)).status is RefundStatus.CREATING
    assert world.provider.fetched_refunds == []
    assert (await world.newest(payment)).attention == {Attention.STUCK}


async def test_a_refund_that_another_daemon_is_sending_is_left_alone() -> None:
    world = World()
    payment = await world.payment_in(Status.COMPLETED)
    world.crash.die_at("refund.after_insert")
    with pytest.raises(Died):
        await world.refund(payment)
    [refund] = (await world.newest(payment)).refunds
    [(claimed, refund_id)] = await world.store.claim_refund_checks(
        world.clock.now() + timedelta(minutes=1), 1, 60.0
    )
    looked = await world.recover_refunds.recover(claimed, refund_id)
    assert world.provider.fetched_refunds == []
    assert looked.status is RefundStatus.CREATING
    assert (await world.stored(refund)).next_check_time == refund.ask_deadline


async def test_a_refund_that_ends_while_it_is_looked_at_needs_no_more_checks() -> None:
    world = World()
    refund = await world.refund_in(RefundStatus.PENDING)
    [claimed] = await world.store.claim_refund_checks(
        world.clock.now() + timedelta(minutes=10), 1, 60.0
    )
    await world.report_refund(world.provider.finish_refund())
    looked = await world.recover_refunds.recover(*claimed)
    assert (looked.status, looked.next_check_time) == (RefundStatus.SUCCEEDED, None)
    assert (await world.stored(refund)).next_check_time is None


async def test_a_resend_that_is_declined_fails_the_refund_and_is_for_a_person() -> None:
    world = forgetful()
    payment, refund = await lost(world, arrived=False)
    declined = Declined(code="charge_disputed", message="No.")
    world.provider.refund_replies += [UNANSWERED, RefundReply(answer=declined)]
    assert (await world.check_refund(refund)).status is RefundStatus.FAILED
    assert (await world.newest(payment)).attention == {Attention.REFUND_FAILED}


async def test_a_recovery_of_refunds_claims_no_more_than_a_batch() -> None:
    world = World()
    payment = await world.payment_in(Status.COMPLETED)
    for n in range(3):
        await world.refund(payment, idempotency_key=f"refund-{n}")
    world.clock.move(hours=1)
    recover = attrs.evolve(world.recover_refunds, batch_size=2)

    assert [len(await recover.claim_batch()) for _ in range(3)] == [2, 1, 0]


async def test_recovery_of_a_refund_is_recorded_as_recovery() -> None:
    world = World()
    payment, refund = await lost(world, arrived=True)
    await world.check_refund(refund)
    row = (await world.store.audit_trail(payment.id))[-1]
    assert (row.actor, row.request_id, row.event_type) == (
        "recovery",
        "req-1",
        "refund_pending",
    )
