"""CancelPayment: CANCELING is stored, the provider decides, and earlier money wins."""

import attrs
import pytest
import trio
from unit.service.fakes import DECLINED, OUTCOME_UNKNOWN, UNANSWERED, Died, Request
from unit.service.world import World, capable

from payd.domain.attention import Attention
from payd.domain.errors import PaymentNotCancelable, PaymentNotFound
from payd.domain.evidence import ProviderStatus
from payd.domain.payment import Payment, Status
from payd.plugins.capabilities import Cancel as Closing
from payd.plugins.capabilities import Lookup
from payd.ports import Answer

CHAIN = capable(cancel=Closing.NOT_CLOSABLE)


async def test_an_open_payment_is_closed_at_the_provider_and_then_here(world: World) -> None:
    payment = await world.initiate()

    after = await world.cancel(payment, "changed my mind")

    assert after.status is Status.CANCELED
    assert world.provider.payable == []
    assert await world.events() == ["payment.canceled"]
    trail = await world.store.audit_trail(payment.id)
    assert [row.event_type for row in trail][-2:] == ["payment_canceling", "payment_canceled"]
    assert trail[-2].details["reason"] == "changed my mind"


@pytest.mark.parametrize(
    ("status", "after"),
    [
        (Status.CREATING, Status.CANCELING),
        (Status.PENDING, Status.CANCELED),
        (Status.CANCELING, Status.CANCELED),
        (Status.CANCELED, Status.CANCELED),
    ],
    ids=lambda status: status.value,
)
async def test_what_is_not_paid_can_be_canceled(
    world: World, status: Status, after: Status
) -> None:
    payment = await world.payment_in(status)

    assert (await world.cancel(payment)).status is after
    assert (await world.work_until_done(payment)).status is Status.CANCELED
    assert world.provider.payable == []
    assert await world.events() == ["payment.canceled"]


@pytest.mark.parametrize(
    "status",
    [Status.PROCESSING, Status.COMPLETED, Status.EXPIRED, Status.FAILED],
    ids=lambda status: status.value,
)
async def test_what_is_paid_or_closed_cannot_be_canceled(world: World, status: Status) -> None:
    payment = await world.payment_in(status)

    with pytest.raises(PaymentNotCancelable) as refusal:
        await world.cancel(payment)

    assert str(refusal.value) == (f"the payment is {status.value} and can no longer be canceled")
    assert refusal.value.metadata == {"payment_id": str(payment.id), "status": status.value}
    assert await world.newest(payment) == payment
    assert world.provider.calls == []


async def test_what_does_not_exist_cannot_be_canceled(world: World) -> None:
    payment = await world.initiate()

    with pytest.raises(PaymentNotFound):
        await World().cancel(payment)


async def test_canceling_twice_closes_once(world: World) -> None:
    payment = await world.initiate()
    first = await world.cancel(payment)

    assert await world.cancel(payment) == first
    assert world.provider.calls == ["create", "close"]


async def test_twenty_cancels_at_once_agree_and_publish_one_event(world: World) -> None:
    payment = await world.initiate()
    answers: list[Payment] = []

    async def call() -> None:
        answers.append(await world.cancel(payment))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(call)

    assert {answer.status for answer in answers} == {Status.CANCELED}
    assert await world.events() == ["payment.canceled"]


# -- money was first -------------------------------------------------------------------------


async def test_a_payment_that_was_paid_meanwhile_is_completed_not_canceled(world: World) -> None:
    payment = await world.initiate()
    world.provider.object.pay()

    with pytest.raises(PaymentNotCancelable) as refusal:
        await world.cancel(payment)

    assert refusal.value.metadata["status"] == "COMPLETED"
    assert await world.events() == ["payment.completed"]


async def test_money_that_arrives_between_the_request_and_the_close_completes(world: World) -> None:
    payment = await world.initiate()

    async def paid_first(_: Request) -> Answer:
        await world.pay()
        await world.intake_pass()
        return UNANSWERED

    world.provider.replies["close"] = [paid_first]

    with pytest.raises(PaymentNotCancelable):
        await world.cancel(payment)

    assert (await world.newest(payment)).status is Status.COMPLETED
    assert await world.events() == ["payment.completed"]


async def test_an_object_of_another_amount_is_closed_and_ends_the_payment(world: World) -> None:
    payment = await world.initiate()

    async def closed(_: Request) -> Answer:
        world.provider.object.status = ProviderStatus.CANCELED
        shown = world.provider.snapshot(world.provider.object)
        return Answer(evidence=(attrs.evolve(shown, due=1),))

    world.provider.replies["close"] = [closed]

    after = await world.cancel(payment)

    assert (after.status, after.attention) == (Status.CANCELED, {Attention.AMOUNT_MISMATCH})
    assert await world.events() == ["payment.canceled", "payment.attention"]


async def test_money_on_its_way_stops_the_cancel(world: World) -> None:
    payment = await world.initiate()
    world.provider.object.pay_pending()

    with pytest.raises(PaymentNotCancelable) as refusal:
        await world.cancel(payment)

    assert refusal.value.metadata["status"] == "PROCESSING"
    world.provider.object.pay()
    assert (await world.check_again(payment)).status is Status.COMPLETED


async def test_money_that_comes_after_the_cancel_is_for_a_person(world: World) -> None:
    payment = await world.initiate()
    await world.cancel(payment)

    await world.pay()
    await world.settle_and_publish()

    after = await world.newest(payment)
    assert after.status is Status.CANCELED
    assert after.attention == {Attention.PAID_AFTER_CLOSE}
    assert await world.events() == ["payment.canceled", "payment.attention"]


@pytest.mark.parametrize("first", ["cancel", "money"])
async def test_a_cancel_and_the_money_at_once_leave_one_end(world: World, first: str) -> None:
    payment = await world.initiate()
    world.provider.object.pay()
    await world.report(world.provider.object)

    async with trio.open_nursery() as nursery:
        if first == "cancel":
            nursery.start_soon(_fail_to_cancel, world, payment)
        nursery.start_soon(world.intake_pass)
        nursery.start_soon(_fail_to_cancel, world, payment)

    assert (await world.newest(payment)).status is Status.COMPLETED
    assert await world.events() == ["payment.completed"]


# -- the provider does not know, or cannot close ---------------------------------------------


async def test_a_close_without_an_answer_is_finished_by_recovery(world: World) -> None:
    payment = await world.initiate()
    world.provider.replies["close"] = [UNANSWERED]

    assert (await world.cancel(payment)).status is Status.CANCELING
    assert await world.events() == []

    assert (await world.check_again(payment)).status is Status.CANCELED
    assert world.provider.payable == []


async def test_a_cancellation_whose_provider_is_gone_is_kept_until_it_is_back(world: World) -> None:
    payment = await world.initiate()
    world.providers.disabled = True
    assert (await world.cancel(payment)).status is Status.CANCELING
    assert (await world.check_again(payment)).status is Status.CANCELING

    world.providers.disabled = False
    assert (await world.check_again(payment)).status is Status.CANCELED


async def test_a_rail_that_cannot_close_is_checked_instead() -> None:
    world = World(CHAIN)
    payment = await world.initiate(method="crypto", crypto_currency="USDC")

    assert (await world.cancel(payment)).status is Status.CANCELED

    # Nothing was closed: the money can still come.
    [known] = world.provider.payable
    known.pay()
    await world.report(known)
    await world.settle_and_publish()
    after = await world.newest(payment)
    assert (after.status, after.confirmed) == (Status.CANCELED, after.due)
    assert after.attention == {Attention.PAID_AFTER_CLOSE}


async def test_a_rail_that_cannot_close_and_has_seen_money_does_not_cancel() -> None:
    world = World(CHAIN)
    payment = await world.initiate(method="crypto", crypto_currency="USDC")
    world.provider.object.pay(1)

    with pytest.raises(PaymentNotCancelable):
        await world.cancel(payment)

    assert (await world.newest(payment)).status is Status.PROCESSING


# -- before the reference is known -----------------------------------------------------------


async def test_a_cancellation_is_carried_out_once_the_reference_is_known(world: World) -> None:
    async def cancel_meanwhile(_: Request) -> Answer:
        canceling = await world.cancel(await world.query.get_by_key("key-1"))
        assert canceling.status is Status.CANCELING
        return world.provider.make(world.provider.operations[-1])

    world.provider.replies["create"] = [cancel_meanwhile]
    payment = await world.initiate()
    assert payment.status is Status.CANCELING

    assert (await world.check_again(payment)).status is Status.CANCELED
    assert world.provider.payable == []


async def test_a_cancellation_for_a_payment_that_is_declined_is_fulfilled(world: World) -> None:
    async def cancel_meanwhile(_: Request) -> Answer:
        await world.cancel(await world.query.get_by_key("key-1"))
        return DECLINED

    world.provider.replies["create"] = [cancel_meanwhile]

    assert (await world.initiate()).status is Status.CANCELED


@pytest.mark.parametrize("lookup", Lookup, ids=lambda lookup: lookup.value)
async def test_a_cancellation_after_a_lost_answer_finds_what_there_is_to_close(
    lookup: Lookup,
) -> None:
    world = World(capable(lookup=lookup))

    async def created_and_lost(_: Request) -> Answer:
        world.provider.make(world.provider.operations[-1])
        return OUTCOME_UNKNOWN

    world.provider.replies["create"] = [created_and_lost]
    payment = await world.initiate()
    assert (await world.cancel(payment)).status is Status.CANCELING

    assert (await world.work_until_done(payment)).status is Status.CANCELED
    assert len(world.provider.remote) == 1
    assert world.provider.payable == []


@pytest.mark.parametrize("lookup", Lookup, ids=lambda lookup: lookup.value)
async def test_a_cancellation_after_a_death_before_the_provider_was_asked_is_fulfilled(
    lookup: Lookup,
) -> None:
    world = World(capable(lookup=lookup))
    world.crash.die_at("initiate.after_insert")
    with pytest.raises(Died):
        await world.initiate()
    payment = await world.query.get_by_key("key-1")
    assert (await world.cancel(payment)).status is Status.CANCELING

    assert (await world.work_until_done(payment)).status is Status.CANCELED
    assert world.provider.payable == []
    assert await world.events() == ["payment.canceled"]


async def test_a_cancellation_that_can_never_be_confirmed_is_for_a_person() -> None:
    """The provider cannot look it up and has forgotten the operation: asking might double it."""
    world = World(capable(lookup=Lookup.NONE, idempotency_window=capable().operation_timeout))
    world.provider.replies["create"] = [OUTCOME_UNKNOWN]
    payment = await world.initiate()
    await world.cancel(payment)

    world.clock.move(hours=2)
    after = await world.check_again(payment)

    assert after.status is Status.CANCELING
    assert after.attention == {Attention.OUTCOME_UNKNOWN}
    assert world.provider.calls == ["create", "fetch"]
    assert after.next_check_time is not None


async def _fail_to_cancel(world: World, payment: Payment) -> None:
    with pytest.raises(PaymentNotCancelable, match="COMPLETED"):
        await world.cancel(payment)
