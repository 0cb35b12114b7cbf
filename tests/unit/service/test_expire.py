"""Recovery of open payments: a lost report costs minutes, and an unpaid payment ends."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
from unit.service.fakes import (
    OUTCOME_UNKNOWN,
    UNANSWERED,
    Request,
    created,
)
from unit.service.world import CALLER, World, capable

from payd.domain.attention import Attention
from payd.domain.evidence import Observation, ProviderStatus, Receipt, ReceiptState
from payd.domain.payment import Payment, Status
from payd.plugins.capabilities import Cancel as Closing
from payd.plugins.capabilities import Capabilities, Lookup
from payd.plugins.interface import PaymentRef
from payd.ports import Answer
from payd.service.status_check import StatusCheck

CHAIN = capable(cancel=Closing.NOT_CLOSABLE)


# -- a report got lost -----------------------------------------------------------------------


async def test_a_payment_whose_report_got_lost_completes_within_minutes(world: World) -> None:
    payment = await world.initiate()
    world.provider.object.pay()

    after = await world.check_again(payment)

    assert after.status is Status.COMPLETED
    assert world.clock.now() - payment.create_time <= timedelta(minutes=2)
    assert await world.events() == ["payment.completed"]


async def test_money_that_was_seen_and_then_undone_is_waited_for_again(world: World) -> None:
    payment = await world.payment_in(Status.PROCESSING)
    world.provider.object.status = ProviderStatus.OPEN
    world.provider.object.received = 0

    assert (await world.check_again(payment)).status is Status.PENDING


async def test_another_object_for_the_same_operation_is_for_a_person(world: World) -> None:
    payment = await world.payment_in(Status.PENDING)
    other = world.provider.object
    other.reference = "obj_other"
    world.provider.replies["fetch"] = [Answer(evidence=(created(other),))]

    after = await world.check_again(payment)

    assert after.attention == {Attention.CONFLICTING_EVIDENCE}
    assert after.provider_reference == "obj_1"


# -- expiry ----------------------------------------------------------------------------------


async def test_an_unpaid_payment_is_closed_at_the_provider_before_it_expires(
    world: World,
) -> None:
    payment = await world.initiate()

    async def still_open_here(ref: Request) -> Answer:
        assert isinstance(ref, PaymentRef)
        assert (await world.newest(payment)).status is Status.PENDING
        return world.provider.shut(ref)

    world.provider.replies["close"] = [still_open_here]
    after = await world.work_until_done(payment)

    assert after.status is Status.EXPIRED
    assert after.close_time == payment.expire_time
    assert world.provider.payable == []
    assert await world.events() == ["payment.canceled"]


async def test_a_payment_that_expires_while_its_provider_is_asked_is_closed_there(
    world: World,
) -> None:
    payment = await world.initiate()

    async def slow(ref: Request) -> Answer:
        assert isinstance(ref, PaymentRef)
        world.clock.time = payment.expire_time
        return world.provider.show(ref)

    world.provider.replies["fetch"] = [slow]
    after = await world.check_again(payment)

    assert after.status is Status.EXPIRED
    assert world.provider.payable == []


async def test_a_payment_that_expires_while_its_answer_is_settled_stays_until_it_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remote side's clock is ahead of ours: it has reached the expiry, and ours has not."""
    payment = await world.initiate()
    world.provider.behind = timedelta(seconds=-2)
    world.clock.time = payment.expire_time - timedelta(seconds=1)
    apply = StatusCheck.apply

    async def slow(*request: Any) -> Payment:
        world.clock.time = payment.expire_time
        return await apply(*request)

    monkeypatch.setattr(StatusCheck, "apply", slow)
    waiting = await world.recover.recover(payment)

    assert waiting.status is Status.PENDING
    look = (await world.newest(payment)).next_check_time
    assert look == world.clock.now() + timedelta(seconds=10)
    assert (await world.check_again(waiting)).status is Status.EXPIRED
    assert world.provider.payable == []


async def test_a_report_of_an_open_object_does_not_expire_what_can_be_closed(world: World) -> None:
    payment = await world.initiate()
    world.clock.time = payment.expire_time
    await world.report(world.provider.object)
    await world.intake_pass()
    assert (await world.newest(payment)).status is Status.PENDING

    assert (await world.check_again(payment)).status is Status.EXPIRED
    assert world.provider.payable == []


async def test_a_clock_that_is_hours_ahead_closes_nothing_that_is_live(world: World) -> None:
    """The remote side's time, which comes with the look, has not come."""
    payment = await world.initiate()
    ahead = timedelta(hours=3)
    world.provider.behind = ahead
    world.clock.time += ahead

    after = await world.check_again(payment)

    assert "close" not in world.provider.calls
    assert (after.status, after.next_check_time) == (
        Status.PENDING,
        world.clock.now() + (payment.expire_time - payment.create_time),
    )
    world.provider.object.pay()
    assert (await world.check_again(after)).status is Status.COMPLETED


async def test_it_ends_when_the_remote_sides_time_has_come(world: World) -> None:
    payment = await world.initiate()
    world.provider.behind = timedelta(hours=3)
    world.clock.time += timedelta(hours=3)

    after = await world.work_until_done(payment)

    assert after.status is Status.EXPIRED
    assert world.provider.calls.count("close") == 1
    assert world.provider.payable == []
    lived = world.clock.now() - timedelta(hours=3) - payment.create_time
    assert lived >= payment.expire_time - payment.create_time


@pytest.mark.parametrize(
    ("behind", "pause"),
    [
        (timedelta(milliseconds=700), timedelta(seconds=10)),
        (timedelta(minutes=5), timedelta(minutes=5)),
        (timedelta(days=2), timedelta(hours=1)),
    ],
)
async def test_the_next_status_check_is_when_that_time_comes_but_neither_at_once_nor_in_days(
    world: World, behind: timedelta, pause: timedelta
) -> None:
    payment = await world.initiate()
    world.clock.time = payment.expire_time
    world.provider.behind = behind

    after = await world.check_again(payment)

    assert after.next_check_time == world.clock.now() + pause


async def test_what_has_ended_there_is_not_closed_again(world: World) -> None:
    payment = await world.initiate()
    world.clock.time = payment.expire_time
    world.provider.object.status = ProviderStatus.EXPIRED

    assert (await world.check_again(payment)).status is Status.EXPIRED
    assert "close" not in world.provider.calls


async def test_an_unpaid_payment_on_a_rail_that_cannot_close_expires_after_a_status_check() -> None:
    world = World(CHAIN)
    payment = await world.initiate()

    after = await world.work_until_done(payment)

    assert after.status is Status.EXPIRED
    assert world.provider.calls[-1] == "fetch"
    assert "close" not in world.provider.calls


async def test_a_payment_is_not_expired_before_its_time(world: World) -> None:
    payment = await world.initiate()
    world.clock.time = payment.expire_time - timedelta(seconds=1)
    await world.recovery_pass()

    assert (await world.newest(payment)).status is Status.PENDING
    assert "close" not in world.provider.calls


@pytest.mark.parametrize("capabilities", [capable(), CHAIN], ids=["closes", "cannot close"])
async def test_a_payment_that_was_paid_at_the_last_moment_completes(
    capabilities: Capabilities,
) -> None:
    world = World(capabilities)
    payment = await world.initiate()
    world.clock.time = payment.expire_time
    world.provider.object.pay()

    assert (await world.check_again(payment)).status is Status.COMPLETED
    assert await world.events() == ["payment.completed"]


# -- what the remote side decides ------------------------------------------------------------


@pytest.mark.parametrize("capabilities", [capable(), CHAIN], ids=["closes", "cannot close"])
async def test_a_payment_expires_when_the_remote_side_closes_its_object(
    capabilities: Capabilities,
) -> None:
    world = World(capabilities)
    world.provider.expires_after = timedelta(minutes=7)
    payment = await world.initiate()
    assert payment.expire_time == payment.create_time + timedelta(minutes=7), "as its caller sees"

    world.clock.time = payment.expire_time - timedelta(seconds=1)
    await world.recovery_pass()
    assert (await world.newest(payment)).status is Status.PENDING
    after = await world.work_until_done(payment)

    assert after.status is Status.EXPIRED
    assert after.close_time is not None
    assert after.close_time - payment.expire_time <= timedelta(minutes=1)


async def test_a_payment_never_lives_longer_than_its_caller_expects(world: World) -> None:
    world.provider.expires_after = timedelta(days=7)

    payment = await world.initiate()

    assert payment.expire_time == payment.create_time + timedelta(minutes=30)


async def test_an_expiry_that_has_passed_expires_nothing_by_itself(world: World) -> None:
    world.provider.expires_after = timedelta(minutes=-5)
    payment = await world.initiate()
    assert payment.status is Status.PENDING
    assert payment.expire_time == payment.create_time
    world.provider.object.pay()

    assert (await world.check_again(payment)).status is Status.COMPLETED


async def test_an_earlier_expiry_that_a_check_finds_is_stored_and_audited(world: World) -> None:
    payment = await world.initiate()
    world.provider.object.expire_time = earlier = payment.create_time + timedelta(minutes=9)

    await world.check_again(payment)

    assert (await world.newest(payment)).expire_time == earlier
    trail = [row.event_type for row in await world.store.audit_trail(payment.id)]
    assert "expiry_changed" in trail


async def test_money_after_an_earlier_expiry_is_late_also_if_it_was_seen_before(
    world: World,
) -> None:
    """A part arrives; then a check finds that the object had closed earlier than that."""
    payment = await world.initiate()
    world.clock.move(minutes=8)
    part, rest = (
        _a_receipt(world, name, amount) for name, amount in (("a", payment.due - 1), ("b", 1))
    )
    await _put(world, payment, part)
    earlier = payment.create_time + timedelta(minutes=7)
    found = attrs.evolve(created(world.provider.object), expire_time=earlier)
    await world.settle.settle(await world.newest(payment), found, CALLER)
    await _put(world, payment, rest)

    after = await world.newest(payment)

    assert (after.status, after.late) == (Status.COMPLETED, True)


async def test_money_on_its_way_never_expires(world: World) -> None:
    payment = await world.payment_in(Status.PROCESSING)
    for _ in range(20):
        payment = await world.check_again(payment)
    assert world.clock.now() > payment.expire_time + timedelta(hours=12)
    assert payment.status is Status.PROCESSING

    world.provider.object.pay()

    assert (await world.check_again(payment)).status is Status.COMPLETED


async def test_a_payment_that_is_paid_in_part_expires_for_a_person_to_see() -> None:
    world = World(CHAIN)
    payment = await world.initiate()
    world.provider.object.pay(1000)
    world.provider.object.status = ProviderStatus.OPEN

    after = await world.work_until_done(payment)

    assert (after.status, after.confirmed) == (Status.EXPIRED, 1000)
    assert after.attention == {Attention.UNDERPAID}
    assert await world.events() == ["payment.canceled", "payment.attention"]


async def test_a_payment_that_the_provider_failed_has_failed(world: World) -> None:
    payment = await world.initiate()
    world.provider.object.status = ProviderStatus.DECLINED

    assert (await world.check_again(payment)).status is Status.FAILED


async def test_late_money_counts_though_no_status_check_is_due(world: World) -> None:
    payment = await world.initiate()
    expired = await world.work_until_done(payment)
    assert expired.next_check_time is None

    world.clock.move(hours=2)
    await world.pay()
    await world.settle_and_publish()

    after = await world.newest(payment)
    assert (after.status, after.late) == (Status.COMPLETED, True)
    assert await world.events() == ["payment.canceled", "payment.completed"]


# -- nobody answers --------------------------------------------------------------------------


async def test_a_provider_that_never_answers_leaves_its_payment_stuck_and_checked(
    world: World,
) -> None:
    payment = await world.initiate()
    world.provider.always = UNANSWERED

    for _ in range(20):
        payment = await world.check_again(payment)

    assert payment.status is Status.PENDING
    assert payment.attention == {Attention.STUCK}
    assert await world.events() == ["payment.attention"]

    world.provider.always = None
    world.provider.object.pay()
    after = await world.check_again(payment)
    assert after.status is Status.COMPLETED
    assert after.attention == set()


async def test_an_outcome_that_stays_unknown_is_published_an_hour_after_the_expiry() -> None:
    world = World(expiry=timedelta(days=7))
    payment = await world.payment_in(Status.CREATING)
    world.provider.always = UNANSWERED

    while await world.events() != ["payment.attention"]:
        payment = await world.check_again(payment)

    assert payment.attention == {Attention.OUTCOME_UNKNOWN}
    late = world.clock.now() - payment.expire_time
    assert timedelta(hours=1) <= late < timedelta(hours=1, minutes=1)


async def test_status_checks_of_an_open_payment_become_rarer(world: World) -> None:
    world = World(expiry=timedelta(days=7))
    payment = await world.initiate()
    world.provider.always = UNANSWERED

    assert await _pauses(world, payment, 7) == [120, 300, 600, 1800, 3600, 3600, 3600]


async def test_status_checks_for_an_unknown_outcome_become_rarer() -> None:
    world = World(expiry=timedelta(days=7))
    payment = await world.payment_in(Status.CREATING)
    world.provider.always = UNANSWERED

    assert await _pauses(world, payment, 7) == [30, 120, 600, 3600, 21600, 21600, 21600]


async def test_attempts_that_stay_unknown_become_rarer_too() -> None:
    world = World(capable(lookup=Lookup.NONE), expiry=timedelta(days=7))
    payment = await world.payment_in(Status.CREATING)
    world.provider.always = OUTCOME_UNKNOWN

    assert await _pauses(world, payment, 5) == [30, 120, 600, 3600, 21600]


async def test_news_bring_the_next_status_check_nearer_again(world: World) -> None:
    world = World(expiry=timedelta(days=7))
    payment = await world.initiate()
    world.provider.always = UNANSWERED
    assert (await _pauses(world, payment, 4))[-1] == 1800

    world.provider.always = None
    world.provider.object.pay_pending()
    await world.check_again(payment)

    assert await _pauses(world, payment, 1) == [120]


async def test_a_status_check_never_passes_over_the_expiry(world: World) -> None:
    payment = await world.initiate()
    world.provider.always = UNANSWERED
    while world.clock.now() < payment.expire_time:
        await world.check_again(payment)

    assert world.clock.now() == payment.expire_time


# -- words for the above ---------------------------------------------------------------------


def _a_receipt(world: World, name: str, amount: int) -> Receipt:
    fields: dict[str, Any] = {"asset": "USD", "state": ReceiptState.CONFIRMED}
    return Receipt(id=name, amount=amount, time=world.clock.now(), **fields)


async def _put(world: World, payment: Payment, receipt: Receipt) -> None:
    """Let a watch report a receipt, and payd settle it."""
    report = Observation(id=receipt.id, reference=str(payment.id), fact=(receipt,))
    await world.intake.accept("mock", [report])
    await world.intake_pass()


async def _pauses(world: World, payment: Payment, looks: int) -> list[float]:
    """How long recovery waits before each of its next looks."""
    pauses = []
    for _ in range(looks):
        before = world.clock.now()
        payment = await world.check_again(payment)
        pauses.append((world.clock.now() - before).total_seconds())
    return pauses
