"""A daemon that dies, anywhere, any number of times, changes nothing in the end.

After each death the caller does the same call again, and another daemon works on what is
stored. The payment ends as it would have, with one object at the provider, and one event is
published.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import TypeVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.service.fakes import OUTCOME_UNKNOWN, Died, Request, not_attempted
from unit.service.world import LEASES_S, World, capable

from payd.adapters.system import CRASH_POINTS
from payd.domain.errors import PaymentNotCancelable, ProviderUnavailable
from payd.domain.payment import Payment, Status
from payd.domain.refund import RefundStatus
from payd.plugins.capabilities import Cancel as Closing
from payd.plugins.capabilities import Capabilities, Lookup
from payd.ports import Answer

T = TypeVar("T")

RAILS = [capable(lookup=lookup, cancel=cancel) for lookup in Lookup for cancel in Closing]


# -- what happens to a payment ---------------------------------------------------------------


async def paid(world: World) -> Payment:
    """The customer pays, and the provider reports it again when nobody took it."""
    payment = await _initiate(world)
    payment = await _what_the_customer_sees(world, payment)
    world.provider.object.pay()
    await _again(lambda: world.report(world.provider.object))
    return payment


async def paid_and_the_report_dies_with_the_daemon(world: World) -> Payment:
    """The provider reports it once."""
    payment = await _initiate(world)
    payment = await _what_the_customer_sees(world, payment)
    world.provider.object.pay()
    try:
        await world.report(world.provider.object)
    except Died:
        return payment
    return payment


async def paid_at_the_second_attempt(world: World) -> Payment:
    """The provider is away at first, and the caller tries the same key again."""
    world.provider.replies["create"] = [not_attempted()]
    try:
        await _initiate(world)
    except ProviderUnavailable as refusal:
        assert refusal.may_retry  # noqa: PT017 - a death may spare the caller this answer
    return await paid(world)


async def paid_before_it_is_canceled(world: World) -> Payment:
    """The customer pays before the caller cancels; the caller gets an error."""
    payment = await _initiate(world)
    payment = await _what_the_customer_sees(world, payment)
    world.provider.object.pay()
    with pytest.raises(PaymentNotCancelable):
        await _again(lambda: world.cancel(payment))
    return payment


async def abandoned(world: World) -> Payment:
    """Nobody pays."""
    return await _initiate(world)


async def declined(world: World) -> Payment:
    """The provider does not want it."""
    world.provider.declines = True
    return await _initiate(world)


async def canceled(world: World) -> Payment:
    """The caller thinks better of it."""
    payment = await _initiate(world)
    await _again(lambda: world.cancel(payment))
    return payment


async def canceled_after_a_lost_answer(world: World) -> Payment:
    """The object exists, the caller does not know it, and cancels."""

    async def created_and_lost(_: Request) -> Answer:
        world.provider.make(world.provider.operations[-1])
        return OUTCOME_UNKNOWN

    world.provider.replies["create"] = [created_and_lost]
    return await canceled(world)


async def refunded(world: World) -> Payment:
    """The customer pays, and gets a part back."""
    payment = await _again(partial(world.work_until_done, await paid(world)))
    refund = await _again(partial(world.refund, payment))
    while refund.status is RefundStatus.CREATING:
        world.clock.move(seconds=LEASES_S)
        await _again(world.refund_pass)
        refund = await _again(partial(world.refund, payment))
    ended = world.provider.finish_refund()
    await _again(partial(world.report_refund, ended))
    world.clock.move(seconds=LEASES_S)
    await _again(world.settle_and_publish)
    assert len(world.provider.remote_refunds) == 1
    return payment


@attrs.frozen
class Story:
    """What happens, and how it has to end."""

    happen: Callable[[World], Awaitable[Payment]]
    status: Status
    events: tuple[str, ...]


STORIES = [
    Story(paid, Status.COMPLETED, ("payment.completed",)),
    Story(paid_and_the_report_dies_with_the_daemon, Status.COMPLETED, ("payment.completed",)),
    Story(paid_at_the_second_attempt, Status.COMPLETED, ("payment.completed",)),
    Story(paid_before_it_is_canceled, Status.COMPLETED, ("payment.completed",)),
    Story(refunded, Status.COMPLETED, ("payment.completed", "payment.refunded")),
    Story(abandoned, Status.EXPIRED, ("payment.canceled",)),
    Story(declined, Status.FAILED, ("payment.failed",)),
    Story(canceled, Status.CANCELED, ("payment.canceled",)),
    Story(canceled_after_a_lost_answer, Status.CANCELED, ("payment.canceled",)),
]
stories = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.happen.__name__)
rails = pytest.mark.parametrize(
    "rail", RAILS, ids=lambda rail: f"{rail.lookup.value}-{rail.cancel.value}"
)


# -- the promise -----------------------------------------------------------------------------


@stories
@rails
async def test_without_a_death_the_story_ends_as_it_should(
    story: Story, rail: Capabilities
) -> None:
    await _check(story, World(rail))


async def test_the_stories_come_by_every_place_where_a_daemon_may_die() -> None:
    reached: set[str] = set()
    for story in STORIES:
        world = World()
        await _check(story, world)
        reached |= set(world.crash.reached)

    assert reached == CRASH_POINTS


@stories
@rails
async def test_one_death_anywhere_changes_nothing(story: Story, rail: Capabilities) -> None:
    deaths = 0
    for name in sorted(CRASH_POINTS):
        for nth in count(1):
            world = World(rail)
            world.crash.die_at(name, nth)
            await _check(story, world, f"died at {name}, time {nth}")
            if not world.crash.deaths:
                break
            deaths += 1

    assert deaths >= 9, "four in initiate, two in settle, three in publish"


@given(
    st.sampled_from(STORIES),
    st.sampled_from(RAILS),
    st.lists(
        st.tuples(st.sampled_from(sorted(CRASH_POINTS)), st.integers(1, 3)),
        min_size=2,
        max_size=6,
    ),
)
async def test_many_deaths_change_nothing(
    story: Story, rail: Capabilities, plans: list[tuple[str, int]]
) -> None:
    world = World(rail)
    for name, nth in plans:
        world.crash.die_at(name, nth)
    await _check(story, world, f"died as planned: {plans}")


# -- words for the above ---------------------------------------------------------------------


async def _check(story: Story, world: World, note: str = "nobody died") -> None:
    payment = await story.happen(world)
    after = await _again(lambda: world.work_until_done(payment))

    assert after.status is story.status, note
    assert after.id == payment.id, note
    assert (after.attention, after.late) == (frozenset(), False), note
    assert len(world.provider.remote) <= 1, note
    if world.provider.capabilities.cancel is Closing.CLOSES:
        assert not world.provider.payable, note
    assert tuple(await world.events()) == story.events, note
    versions = [row.version for row in await world.store.audit_trail(after.id)]
    assert versions == list(range(1, after.version + 1)), note


async def _initiate(world: World) -> Payment:
    return await _again(lambda: world.initiate(wait_s=0))


async def _what_the_customer_sees(world: World, payment: Payment) -> Payment:
    """The caller repeats GetPayment until it knows where the customer pays."""
    for _ in range(20):
        payment = await world.newest(payment)
        if payment.next_action is not None:
            return payment
        world.clock.move(seconds=30)
        await _again(world.recovery_pass)
    raise AssertionError(f"nobody can pay {payment}")


async def _again(step: Callable[[], Awaitable[T]]) -> T:
    """Do it; when the daemon dies, do the same at the next one."""
    while True:
        try:
            return await step()
        except Died:
            continue
