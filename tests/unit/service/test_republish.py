"""Publish events again: the same bytes with the same ids, in their order, page by page."""

from datetime import timedelta
from uuid import UUID

import pytest
from unit.service.fakes import DECLINED
from unit.service.world import World

from payd.domain.errors import EventNotFound, PaymentNotFound, StreamUnavailable
from payd.domain.payment import Payment
from payd.domain.published import EventSelection, PublishedPosition
from payd.service import republish


async def published(world: World, payments: int) -> list[Payment]:
    """Declined payments whose one event was published, a second apart."""
    done = []
    for number in range(payments):
        world.provider.replies["create"].append(DECLINED)
        payment = await world.initiate(idempotency_key=f"key-{number}")
        await world.publish.publish(await world.publish.claim_batch())
        world.clock.time += timedelta(seconds=1)
        done.append(payment)
    return done


async def test_the_events_of_a_payment_go_out_again_as_they_were(world: World) -> None:
    first, _ = await published(world, 2)
    before = list(world.publisher.published)
    world.publisher.published.clear()

    result = await world.republishes.republish(EventSelection(payment_id=first.id), None)

    assert (result.stored, result.duplicates, result.next) == (1, 0, None)
    assert world.publisher.published == before[:1]


async def test_what_the_stream_still_has_is_counted_apart(world: World) -> None:
    await published(world, 2)

    begin = world.clock.now() - timedelta(seconds=1)
    result = await world.republishes.republish(EventSelection(published_from=begin), None)

    assert (result.stored, result.duplicates) == (0, 1)


async def test_one_event_goes_out_by_its_id(world: World) -> None:
    await published(world, 2)
    row = world.publisher.published.pop()

    result = await world.republishes.republish(EventSelection(event_id=row.event_id), None)

    assert result.stored == 1
    assert world.publisher.published[-1] == row


async def test_many_events_take_several_calls_and_each_goes_out_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(republish, "PAGE", 2)
    await published(world, 5)
    before = list(world.publisher.published)
    world.publisher.published.clear()

    after: PublishedPosition | None = None
    stored = []
    wanted = EventSelection(published_from=world.clock.now() - timedelta(hours=1))
    while True:
        result = await world.republishes.republish(wanted, after)
        stored.append(result.stored)
        after = result.next
        if after is None:
            break

    assert stored == [2, 2, 1]
    assert world.publisher.published == before


async def test_a_payment_without_published_events_has_none_to_publish(world: World) -> None:
    payment = await world.initiate()

    result = await world.republishes.republish(EventSelection(payment_id=payment.id), None)

    assert (result.stored, result.duplicates, result.next) == (0, 0, None)


async def test_what_does_not_exist_is_named(world: World) -> None:
    nobody = UUID(int=99)
    with pytest.raises(PaymentNotFound) as no_payment:
        await world.republishes.republish(EventSelection(payment_id=nobody), None)
    with pytest.raises(EventNotFound) as no_event:
        await world.republishes.republish(EventSelection(event_id=nobody), None)
    assert no_payment.value.metadata == {"payment_id": str(nobody)}
    assert no_event.value.metadata == {"event_id": str(nobody)}


async def test_without_the_stream_the_call_may_be_repeated(world: World) -> None:
    [payment] = await published(world, 1)
    world.publisher.is_away = True

    with pytest.raises(StreamUnavailable, match="the stream is away; call again") as refused:
        await world.republishes.republish(EventSelection(payment_id=payment.id), None)
    assert refused.value.may_retry
