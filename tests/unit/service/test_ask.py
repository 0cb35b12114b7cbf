"""Sending to a provider: only the daemon with the claim sends, and never after its end."""

from datetime import timedelta
from functools import partial

import pytest
import trio
import trio.testing
from unit.service.fakes import OUTCOME_UNKNOWN, Request, not_attempted
from unit.service.world import CALLER, World, capable

from payd.domain.errors import PaydError, ProviderUnavailable
from payd.domain.evidence import Absent, AskAgain, CancelRequested, ProviderStatus, Snapshot
from payd.domain.outcome import Asking
from payd.domain.payment import Status
from payd.plugins.capabilities import Lookup
from payd.ports import Answer
from payd.service.operation import claim_deadline


async def test_the_answer_comes_back_with_the_payment(world: World) -> None:
    payment = await world.never_sent()
    world.provider.replies["create"] = [not_attempted()]

    after, error = await world.ask.send_again(payment, CALLER)

    assert after.asking is Asking.NOT_ATTEMPTED
    assert isinstance(error, ProviderUnavailable)


async def test_of_twenty_calls_that_want_to_send_again_one_does(world: World) -> None:
    payment = await world.never_sent()

    async def wait_for_the_others(_: Request) -> Answer:
        await trio.testing.wait_all_tasks_blocked()
        return world.provider.make(world.provider.operations[-1])

    world.provider.replies["create"] = [wait_for_the_others]
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(world.ask.send_again, payment, CALLER)

    assert world.provider.calls == ["create", "create"]
    assert len(world.provider.remote) == 1
    # Sent by the winner, answered, and no trace of the nineteen.
    assert (await world.newest(payment)).version == payment.version + 2


async def test_nobody_sends_again_for_a_payment_that_was_answered_meanwhile(
    world: World,
) -> None:
    payment = await world.never_sent()
    paid = Snapshot(
        status=ProviderStatus.PAID,
        asset="USD",
        received=14900,
        confirmed=14900,
        as_of=world.clock.now(),
    )
    completed = await world.settle.settle(payment, paid, CALLER)

    assert await world.ask.send_again(payment, CALLER) == (completed, None)
    assert world.provider.calls == ["create"]


async def test_nobody_sends_again_for_a_payment_that_was_canceled_meanwhile(
    world: World,
) -> None:
    payment = await world.never_sent()
    canceling = await world.settle.settle(payment, CancelRequested(), CALLER)

    assert await world.ask.send_again(payment, CALLER) == (canceling, None)

    assert (await world.newest(payment)).asking is Asking.NOT_ATTEMPTED
    assert (await world.work_until_done(payment)).status is Status.CANCELED
    assert world.provider.calls == ["create"]


async def test_nobody_sends_while_another_holds_the_claim(world: World) -> None:
    payment = await world.never_sent()
    asked, mine = await world.settle.claim(payment, _ask_until(world, 12), CALLER)
    assert mine

    assert await world.ask.send_again(asked, CALLER) == (asked, None)
    assert world.provider.calls == ["create"]


async def test_at_the_end_of_a_claim_its_daemon_stops_and_another_one_may_send(
    world: World,
) -> None:
    payment = await world.never_sent()
    asked, _ = await world.settle.claim(payment, _ask_until(world, 12), CALLER)
    world.clock.move(seconds=12)

    assert await world.ask.send(asked, CALLER) == (asked, None)
    assert world.provider.calls == ["create"]

    after, _ = await world.ask.send_again(asked, CALLER)
    assert after.status is Status.PENDING


async def test_a_daemon_that_slept_through_its_claim_sends_nothing(world: World) -> None:
    """A machine that was suspended between the claim and the call: recovery has asked since."""
    world.crash.act_at("initiate.after_insert", partial(world.clock.move, seconds=60))

    payment = await world.initiate()

    assert (payment.status, payment.asking) == (Status.CREATING, Asking.ASKING)
    assert world.provider.calls == []
    assert (await world.check_again(payment)).status is Status.PENDING
    assert len(world.provider.remote) == 1


async def test_a_claim_outlives_the_providers_own_deadline(world: World) -> None:
    left = claim_deadline(world.provider, world.clock.now()) - world.clock.now()

    assert left > capable().operation_timeout


async def test_a_late_absence_does_not_disprove_an_attempt_that_is_under_way() -> None:
    """Two recoveries: the first one looked before the second one asked."""
    world = World(capable(lookup=Lookup.INCLUDING_ABSENCE))
    world.provider.replies["create"] = [OUTCOME_UNKNOWN]
    payment = await world.initiate()
    absent, _ = await world.settle.claim(payment, Absent(), CALLER)
    asked, _ = await world.settle.claim(absent, _ask_until(world, 12), CALLER)

    assert await world.settle.claim(payment, Absent(), CALLER) == (asked, False)


async def test_a_provider_that_is_not_enabled_cannot_be_asked(world: World) -> None:
    payment = await world.never_sent()
    world.providers.disabled = True

    with pytest.raises(PaydError) as refusal:
        await world.ask.send_again(payment, CALLER)

    assert refusal.value.reason == "PROVIDER_UNAVAILABLE"
    assert await world.newest(payment) == payment


def _ask_until(world: World, seconds: int) -> AskAgain:
    return AskAgain(deadline=world.clock.now() + timedelta(seconds=seconds))
