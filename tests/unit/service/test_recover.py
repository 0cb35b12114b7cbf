"""Recovery: whatever got lost, a payment comes to its end, and nobody pays for it twice."""

from datetime import timedelta

import attrs
import pytest
import trio
from unit.service.fakes import (
    DECLINED,
    OUTCOME_UNKNOWN,
    UNANSWERED,
    Died,
    Request,
    not_attempted,
)
from unit.service.world import CALLER, World, capable

from payd.domain.attention import Attention
from payd.domain.evidence import AskAgain, Declined
from payd.domain.outcome import Asking
from payd.domain.payment import Payment, Status
from payd.domain.request import ResolveRequest
from payd.plugins.capabilities import Capabilities, Lookup
from payd.plugins.interface import PaymentRef
from payd.ports import Answer

#: The operation is forgotten there before recovery looks for the first time.
SHORT_MEMORY = timedelta(seconds=20)
LOOKUPS = pytest.mark.parametrize("lookup", Lookup, ids=lambda lookup: lookup.value)


# -- the outcome of create is unknown: it was created ----------------------------------------


@LOOKUPS
async def test_an_object_whose_answer_was_lost_is_found(lookup: Lookup) -> None:
    world, payment = await _created_and_lost(capable(lookup=lookup))

    after = await world.check_again(payment)

    assert after.status is Status.PENDING
    assert after.provider_reference == world.provider.object.reference
    assert after.next_action is not None


async def test_an_object_that_can_be_looked_up_is_not_asked_for_again() -> None:
    for lookup in (Lookup.AUTHORITATIVE, Lookup.INCLUDING_ABSENCE):
        world, payment = await _created_and_lost(capable(lookup=lookup))
        await world.check_again(payment)
        assert world.provider.calls == ["create", "fetch", "fetch"]


async def test_an_object_that_was_paid_while_its_answer_was_lost_completes() -> None:
    world, payment = await _created_and_lost(capable())
    world.provider.object.pay()

    assert (await world.check_again(payment)).status is Status.COMPLETED
    assert await world.events() == ["payment.completed"]


async def test_an_object_that_is_found_when_it_is_overdue_is_closed_there() -> None:
    world, payment = await _created_and_lost(capable())
    world.clock.move(hours=1)

    assert (await world.check_again(payment)).status is Status.EXPIRED
    assert world.provider.payable == []


# -- the outcome of create is unknown: it was not created ------------------------------------


@LOOKUPS
async def test_what_was_never_created_is_sent_again_inside_the_window(lookup: Lookup) -> None:
    world = World(capable(lookup=lookup))
    payment = await world.payment_in(Status.CREATING)

    assert (await world.check_again(payment)).status is Status.PENDING

    first, again = world.provider.operations
    assert first == again
    assert len(world.provider.remote) == 1


@pytest.mark.parametrize(
    ("left", "sent"), [(timedelta(microseconds=1), 1), (timedelta(0), 0)], ids=["inside", "at_end"]
)
async def test_the_window_ends_with_its_last_moment(left: timedelta, sent: int) -> None:
    window = timedelta(minutes=10)
    world = World(capable(lookup=Lookup.NONE, idempotency_window=window))
    payment = await world.payment_in(Status.CREATING)
    # Nobody has looked for so long.
    world.clock.time = payment.create_time + window - left
    await world.recovery_pass()

    assert world.provider.calls.count("create") == sent


async def test_a_payment_that_fails_while_it_is_looked_for_is_not_sent_again() -> None:
    world = World(capable(lookup=Lookup.NONE))
    payment = await world.payment_in(Status.CREATING)

    async def declined_meanwhile(ref: Request) -> Answer:
        assert isinstance(ref, PaymentRef)
        answer = world.provider.show(ref)
        await world.settle.settle(payment, Declined(code="no", message="no"), CALLER)
        return answer

    world.provider.replies["fetch"] = [declined_meanwhile]

    assert (await world.check_again(payment)).status is Status.FAILED
    assert world.provider.calls == ["fetch"]
    assert "ask_again" not in await world.trail(payment)


async def test_while_a_daemon_sends_the_next_check_waits_for_the_end_of_its_claim() -> None:
    world = World(capable(lookup=Lookup.NONE))
    payment = await world.payment_in(Status.CREATING)
    claim = AskAgain(deadline=world.clock.now() + timedelta(minutes=7))
    claimed, _ = await world.settle.claim(payment, claim, CALLER)
    world.clock.move(minutes=1)
    await world.recovery_pass()

    assert (await world.newest(payment)).next_check_time == claimed.ask_deadline
    assert world.provider.calls == []


async def test_what_is_provably_absent_is_sent_again_after_the_window_too() -> None:
    world = World(capable(idempotency_window=SHORT_MEMORY))
    payment = await world.payment_in(Status.CREATING)

    assert (await world.check_again(payment)).status is Status.PENDING
    assert len(world.provider.remote) == 1


async def test_what_could_be_absent_is_not_sent_again_without_an_answer() -> None:
    world = World(capable(lookup=Lookup.INCLUDING_ABSENCE))
    payment = await world.payment_in(Status.CREATING)
    world.provider.always = UNANSWERED

    await world.check_again(payment)
    await world.check_again(payment)

    assert world.provider.calls == ["fetch", "fetch"]


@pytest.mark.parametrize("lookup", [Lookup.NONE, Lookup.AUTHORITATIVE], ids=lambda v: v.value)
async def test_what_is_not_provably_absent_is_never_sent_again_after_the_window(
    lookup: Lookup,
) -> None:
    world = World(capable(lookup=lookup, idempotency_window=SHORT_MEMORY))
    payment = await world.payment_in(Status.CREATING)

    for _ in range(3):
        payment = await world.check_again(payment)

    assert world.provider.calls == ["fetch"] * 3
    assert payment.asking is Asking.UNKNOWN


async def test_an_unknown_outcome_never_becomes_an_end_by_age() -> None:
    world = World(capable(lookup=Lookup.NONE, idempotency_window=SHORT_MEMORY))
    payment = await world.payment_in(Status.CREATING)

    for _ in range(30):
        payment = await world.check_again(payment)

    assert world.clock.now() - payment.create_time > timedelta(days=4)
    assert payment.status is Status.CREATING
    assert payment.attention == {Attention.OUTCOME_UNKNOWN}
    assert await world.events() == ["payment.attention"]


@pytest.mark.parametrize("is_canceling", [False, True])
async def test_an_unknown_outcome_that_a_person_resolved_still_takes_a_late_report(
    is_canceling: bool,
) -> None:
    looks_up_nothing = capable(lookup=Lookup.NONE, idempotency_window=SHORT_MEMORY)
    world, payment = await _created_and_lost(looks_up_nothing)
    world.clock.move(minutes=1)
    if is_canceling:
        await world.cancel(payment)
    world.clock.move(hours=1)
    payment = await world.check_again(payment)
    assert payment.attention == {Attention.OUTCOME_UNKNOWN}

    wanted = ResolveRequest(payment_id=payment.id, note="it is not in the dashboard")
    await world.resolves.resolve(wanted, CALLER)
    for _ in range(5):
        payment = await world.check_again(payment)
    assert payment.attention == set()
    assert world.provider.calls.count("create") == 1

    await world.pay()
    await world.intake_pass()
    assert (await world.newest(payment)).status is Status.COMPLETED


async def test_an_unknown_outcome_that_is_found_after_days_is_finished() -> None:
    world, payment = await _created_and_lost(capable())
    world.provider.always = UNANSWERED
    for _ in range(8):
        payment = await world.check_again(payment)
    assert payment.attention == {Attention.OUTCOME_UNKNOWN}

    world.provider.always = None
    world.provider.object.pay()
    # The customer got no answer, and paid all the same.
    after = await world.check_again(payment)

    assert after.status is Status.COMPLETED
    assert after.attention == set()


async def test_a_second_attempt_that_is_lost_too_is_looked_for_again() -> None:
    world = World(capable(lookup=Lookup.NONE))
    payment = await world.payment_in(Status.CREATING)
    world.provider.replies["create"] = [OUTCOME_UNKNOWN]

    assert (await world.check_again(payment)).status is Status.CREATING
    assert (await world.check_again(payment)).status is Status.PENDING
    assert len(world.provider.remote) == 1


async def test_a_second_attempt_that_is_declined_fails_the_payment() -> None:
    world = World(capable(lookup=Lookup.NONE))
    payment = await world.payment_in(Status.CREATING)
    world.provider.replies["create"] = [DECLINED]

    assert (await world.check_again(payment)).status is Status.FAILED
    assert await world.events() == ["payment.failed"]


@pytest.mark.parametrize("lookup", [Lookup.AUTHORITATIVE, Lookup.INCLUDING_ABSENCE])
async def test_what_is_not_there_when_it_is_overdue_has_expired(lookup: Lookup) -> None:
    world = World(capable(lookup=lookup, idempotency_window=SHORT_MEMORY))
    payment = await world.payment_in(Status.CREATING)
    world.clock.time = payment.expire_time

    after = await world.check_again(payment)

    assert after.status is Status.EXPIRED
    assert await world.events() == ["payment.canceled"]
    assert world.provider.calls == ["fetch"]


async def test_what_cannot_be_looked_up_does_not_expire_unseen() -> None:
    world = World(capable(lookup=Lookup.NONE))
    payment = await world.payment_in(Status.CREATING)
    world.clock.time = payment.expire_time

    after = await world.check_again(payment)

    assert after.status is Status.CREATING
    assert after.attention == {Attention.OUTCOME_UNKNOWN}
    assert world.provider.remote == []


# -- nothing was sent ------------------------------------------------------------------------


async def test_what_was_never_sent_is_sent_by_recovery(world: World) -> None:
    payment = await world.never_sent()

    assert (await world.check_again(payment)).status is Status.PENDING
    assert world.provider.calls == ["create", "create", "fetch"]


async def test_what_could_never_be_sent_fails_after_the_limit_and_not_before(
    world: World,
) -> None:
    payment = await world.never_sent()
    world.provider.always = not_attempted()

    while (payment := await world.check_again(payment)).status is Status.CREATING:
        assert world.clock.now() < payment.create_time + timedelta(minutes=10)

    assert payment.status is Status.FAILED
    assert payment.failure is not None
    assert payment.failure.code == "not_attempted"
    assert await world.events() == ["payment.failed"]
    assert world.provider.remote == []


async def test_what_was_never_sent_is_not_sent_when_it_is_overdue() -> None:
    world = World(expiry=timedelta(minutes=1))
    payment = await world.never_sent()
    world.clock.time = payment.expire_time

    after = await world.work_until_done(payment)

    assert after.status is Status.FAILED
    assert world.provider.remote == []
    assert after.close_time is not None
    assert after.close_time >= payment.create_time + timedelta(minutes=10)


async def test_a_claim_whose_daemon_died_is_looked_up_when_it_has_ended(world: World) -> None:
    payment = await world.never_sent()
    world.crash.die_at("settle.after_commit")
    with pytest.raises(Died):
        await world.initiate()
    claimed = await world.newest(payment)
    assert claimed.asking is Asking.ASKING

    assert (await world.check_again(claimed)).status is Status.PENDING
    assert len(world.provider.remote) == 1


# -- another daemon has the claim ------------------------------------------------------------


async def test_recovery_keeps_out_while_a_call_is_being_answered() -> None:
    """A slow provider: its deadline is later than the first look."""
    world = World(capable(operation_timeout=timedelta(seconds=60)))

    async def recovery_runs_meanwhile(_: Request) -> Answer:
        world.clock.move(seconds=45)
        assert await world.recovery_pass() == 1
        return world.provider.make(world.provider.operations[-1])

    world.provider.replies["create"] = [recovery_runs_meanwhile]
    payment = await world.initiate()

    assert payment.status is Status.PENDING
    assert world.provider.calls == ["create"]


@LOOKUPS
async def test_recovery_does_not_send_when_another_claimed_while_it_fetched(
    lookup: Lookup,
) -> None:
    world = World(capable(lookup=lookup))
    payment = await world.payment_in(Status.CREATING)
    deadline = world.clock.now() + timedelta(minutes=5)

    async def another_claims_first(ref: Request) -> Answer:
        assert isinstance(ref, PaymentRef)
        answer = world.provider.show(ref)
        await world.settle.settle(payment, AskAgain(deadline=deadline), CALLER)
        return answer

    world.provider.replies["fetch"] = [another_claims_first]
    after = await world.check_again(payment)

    assert after.ask_deadline == deadline, "the claim of the other one holds"
    assert world.provider.calls == ["fetch"]


async def test_a_payment_goes_to_one_of_several_recoveries(world: World) -> None:
    payment = await world.payment_in(Status.PENDING)
    assert payment.next_check_time is not None
    world.clock.time = payment.next_check_time

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(world.recovery_pass)

    assert world.provider.calls == ["fetch"]


async def test_a_recovery_claims_no_more_than_a_batch(world: World) -> None:
    for n in range(3):
        await world.initiate(idempotency_key=f"key-{n}")
    world.clock.move(minutes=5)
    recover = attrs.evolve(world.recover, batch_size=2)

    assert [len(await recover.claim_batch()) for _ in range(3)] == [2, 1, 0]


async def test_the_audit_trail_says_that_recovery_asked_and_for_which_request(
    world: World,
) -> None:
    payment = await world.initiate()
    world.provider.object.pay()
    await world.check_again(payment)

    *_, last = await world.store.audit_trail(payment.id)
    assert (last.event_type, last.actor, last.request_id) == (
        "payment_completed",
        "recovery",
        "req-1",
    )


async def test_a_payment_that_was_closed_since_it_was_claimed_is_left_alone(
    world: World,
) -> None:
    payment = await world.payment_in(Status.PENDING)
    assert payment.next_check_time is not None
    world.clock.time = payment.next_check_time
    [claimed] = await world.recover.claim_batch()
    await world.pay()
    await world.intake_pass()
    completed = await world.newest(payment)

    assert (await world.recover.recover(claimed)).status is Status.COMPLETED
    assert (await world.recover.recover(completed)) == completed
    assert (await world.newest(payment)).next_check_time is None


async def test_a_payment_whose_recovery_died_is_checked_again(world: World) -> None:
    payment = await world.payment_in(Status.PENDING)
    assert payment.next_check_time is not None
    world.clock.time = payment.next_check_time
    await world.recover.claim_batch()
    assert await world.recovery_pass() == 0

    world.clock.move(seconds=world.recover.lease_s)

    assert await world.recovery_pass() == 1


# -- the provider is not enabled any more ----------------------------------------------------


async def test_an_open_payment_of_a_provider_that_is_gone_becomes_stuck(world: World) -> None:
    payment = await world.initiate()
    world.providers.disabled = True

    for _ in range(20):
        payment = await world.check_again(payment)

    assert payment.status is Status.PENDING
    assert payment.attention == {Attention.STUCK}
    assert payment.next_check_time is not None

    world.providers.disabled = False
    assert (await world.check_again(payment)).status is Status.EXPIRED
    assert world.provider.payable == []


async def test_an_unknown_outcome_of_a_provider_that_is_gone_is_for_a_person(
    world: World,
) -> None:
    payment = await world.payment_in(Status.CREATING)
    world.providers.disabled = True
    world.clock.time = payment.expire_time

    after = await world.check_again(payment)

    assert after.status is Status.CREATING
    assert after.attention == {Attention.OUTCOME_UNKNOWN}


async def test_what_was_never_sent_to_a_provider_that_is_gone_fails_after_the_limit(
    world: World,
) -> None:
    payment = await world.never_sent()
    world.providers.disabled = True

    after = await world.work_until_done(payment)

    assert after.status is Status.FAILED
    assert await world.events() == ["payment.failed"]


async def test_a_cancel_request_what_was_never_sent_needs_no_provider(world: World) -> None:
    payment = await world.never_sent()
    world.providers.disabled = True
    await world.cancel(payment)

    assert (await world.check_again(payment)).status is Status.CANCELED


# -- words for the above ---------------------------------------------------------------------


async def _created_and_lost(capabilities: Capabilities) -> tuple[World, Payment]:
    world = World(capabilities)

    async def created_and_lost(_: Request) -> Answer:
        world.provider.make(world.provider.operations[-1])
        return OUTCOME_UNKNOWN

    world.provider.replies["create"] = [created_and_lost]
    return world, await world.initiate()
