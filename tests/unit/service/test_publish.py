"""Publishing: every event at least once, in order per payment, whatever the stream does."""

from collections.abc import Awaitable, Callable, Sequence

import attrs
import pytest
from support.memory import MemoryPublisher
from unit.service.world import World

from payd.adapters.postgres.outbox import RETRY_IN
from payd.domain.payment import Status
from payd.ports import OutboxRow, PublishError
from payd.service.publish import Publish


async def test_an_event_is_published_once_and_the_row_is_done(world: World) -> None:
    await world.payment_in(Status.COMPLETED)

    assert await world.publish_pass() == 1
    assert await world.publish_pass() == 0

    assert [row.subject for row in world.publisher.published] == ["payment.completed"]
    assert await world.outbox.depth() == (0, 0.0)


async def test_an_event_that_the_stream_did_not_take_waits_and_is_tried_again(
    world: World,
) -> None:
    await world.payment_in(Status.COMPLETED)
    world.publisher.is_away = True
    [row] = await world.publish.claim_batch()

    errors = await world.publish.publish([row])

    assert isinstance(errors[row.id], PublishError)
    assert world.outbox.rows[row.id].error == "the stream is away"
    assert (await world.outbox.depth())[0] == 1
    world.publisher.is_away = False
    assert await world.publish_pass() == 0, "it is not tried again at once"
    a_moment_later(world)
    assert await world.events() == ["payment.completed"]
    assert await world.outbox.depth() == (0, 0.0)


async def test_events_pile_up_while_the_stream_is_away_and_none_is_lost(world: World) -> None:
    world.publisher.is_away = True
    for n in range(5):
        payment = await world.initiate(idempotency_key=f"key-{n}")
        await world.cancel(payment)
    for _ in range(3):
        assert await world.publish_pass() == 5
        a_moment_later(world)

    world.publisher.is_away = False

    assert await world.events() == ["payment.canceled"] * 5
    assert len({row.payment_id for row in world.publisher.published}) == 5


async def test_what_a_publisher_gives_no_answer_for_is_not_taken_for_published(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(2):
        await world.cancel(await world.initiate(idempotency_key=f"key-{n}"))
    rows = await world.publish.claim_batch()

    async def forget_one(_: Sequence[OutboxRow]) -> Sequence[PublishError | None]:
        return [None]

    monkeypatch.setattr(world.publisher, "publish_all", forget_one)
    with pytest.raises(ValueError, match="shorter"):
        await world.publish.publish(rows)

    assert (await world.outbox.depth())[0] == 2


async def test_a_batch_of_events_is_no_larger_than_it_may_be(world: World) -> None:
    for n in range(3):
        await world.cancel(await world.initiate(idempotency_key=f"key-{n}"))
    publish = attrs.evolve(world.publish, batch_size=2)

    assert [len(await publish.claim_batch()) for _ in range(3)] == [2, 1, 0]


async def test_the_second_event_of_a_payment_waits_for_the_first(world: World) -> None:
    await _paid_after_cancel(world)

    [first] = await world.publish.claim_batch()
    assert (first.subject, await world.publish.claim_batch()) == ("payment.canceled", [])
    assert await world.publish.publish([first]) == {}
    [second] = await world.publish.claim_batch()

    assert second.subject == "payment.attention"


async def test_a_failure_of_the_first_event_does_not_let_the_second_pass(world: World) -> None:
    await _paid_after_cancel(world)
    world.publisher.is_away = True
    await world.publish_pass()
    world.publisher.is_away = False
    a_moment_later(world)

    assert await world.events() == ["payment.canceled", "payment.attention"]


async def test_the_trouble_of_one_payment_does_not_hold_up_another(world: World) -> None:
    bad = await world.initiate(idempotency_key="bad")
    good = await world.initiate(idempotency_key="good")

    async def refuse_one(row: OutboxRow) -> None:
        if row.payment_id == bad.id:
            raise PublishError("the stream refuses it")
        await world.publisher.publish(row)

    world.publish = _publish_through(world, refuse_one)
    await world.cancel(bad)
    await world.cancel(good)

    assert await world.publish_pass() == 2

    assert [row.payment_id for row in world.publisher.published] == [good.id]
    assert (await world.outbox.depth())[0] == 1


async def test_an_acknowledgement_that_got_lost_sends_the_same_event_again(world: World) -> None:
    await world.payment_in(Status.COMPLETED)

    async def take_it_and_lose_the_ack(row: OutboxRow) -> None:
        await world.publisher.publish(row)
        if len(world.publisher.published) == 1:
            raise PublishError("no acknowledgement in time")

    world.publish = _publish_through(world, take_it_and_lose_the_ack)
    await world.publish_pass()
    a_moment_later(world)
    await world.publish_pass()

    first, again = world.publisher.published
    assert first == again, "the same id, headers and bytes"


async def test_an_event_whose_daemon_died_is_published_when_its_lease_ends(world: World) -> None:
    await world.payment_in(Status.COMPLETED)
    assert len(await world.publish.claim_batch()) == 1
    assert await world.publish_pass() == 0

    world.clock.move(seconds=world.publish.lease_s)

    assert await world.events() == ["payment.completed"]


# -- words for the above ---------------------------------------------------------------------


def a_moment_later(world: World) -> None:
    """When an event that the stream did not take is due again."""
    world.clock.move(seconds=RETRY_IN.total_seconds())


async def _paid_after_cancel(world: World) -> None:
    await world.cancel(await world.initiate())
    await world.pay()
    await world.intake_pass()


class _Through(MemoryPublisher):
    """A stream with a will of its own."""

    def __init__(self, publish: Callable[[OutboxRow], Awaitable[None]]) -> None:
        super().__init__()
        self._publish = publish

    async def publish(self, row: OutboxRow) -> bool:
        await self._publish(row)
        return True


def _publish_through(world: World, publish: Callable[[OutboxRow], Awaitable[None]]) -> Publish:
    return attrs.evolve(world.publish, publisher=_Through(publish))
