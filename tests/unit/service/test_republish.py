"""Publish events again: the same bytes with the same ids, in their order, page by page."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import attrs
import pytest
from unit.service.fakes import DECLINED
from unit.service.world import World

from payd.domain.errors import (
    EventNotFound,
    PaymentNotFound,
    StoreUnavailable,
    StreamUnavailable,
)
from payd.domain.evidence import Conflict
from payd.domain.payment import Origin, Payment
from payd.domain.published import EventSelection, PublishedPosition
from payd.domain.republication import REPUBLISHED
from payd.ports import Commit, OutboxRow
from payd.service import republish

ADA = Origin(actor="operator:ops/ada", certificate="ops", request_id="req-9")


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

    result = await world.republishes.republish(EventSelection(payment_id=first.id), None, ADA)

    assert (result.stored, result.duplicates, result.next) == (1, 0, None)
    assert world.publisher.published == before[:1]


async def test_what_the_stream_still_has_is_counted_apart(world: World) -> None:
    await published(world, 2)

    begin = world.clock.now() - timedelta(seconds=1)
    result = await world.republishes.republish(EventSelection(published_from=begin), None, ADA)

    assert (result.stored, result.duplicates) == (0, 1)


async def test_one_event_goes_out_by_its_id(world: World) -> None:
    await published(world, 2)
    row = world.publisher.published.pop()

    result = await world.republishes.republish(EventSelection(event_id=row.event_id), None, ADA)

    assert result.stored == 1
    assert world.publisher.published[-1] == row


@pytest.mark.parametrize("pages", [[3, 3, 1], [3, 3]], ids=["a rest", "whole pages"])
async def test_many_events_take_several_calls_and_each_goes_out_once(
    world: World, monkeypatch: pytest.MonkeyPatch, pages: list[int]
) -> None:
    monkeypatch.setattr(republish, "PAGE", 3)
    read, limits = world.outbox.published, list[int]()

    async def noting(
        wanted: EventSelection, after: PublishedPosition | None, limit: int
    ) -> Sequence[tuple[PublishedPosition, OutboxRow]]:
        limits.append(limit)
        return await read(wanted, after, limit)

    monkeypatch.setattr(world.outbox, "published", noting)
    await published(world, sum(pages))
    before = list(world.publisher.published)
    world.publisher.published.clear()

    after: PublishedPosition | None = None
    stored = []
    wanted = EventSelection(published_from=world.clock.now() - timedelta(hours=1))
    while True:
        result = await world.republishes.republish(wanted, after, ADA)
        stored.append(result.stored)
        after = result.next
        if after is None:
            break

    assert stored == pages
    assert limits == [4] * len(pages), "one more tells whether there is another page"
    assert world.publisher.published == before


async def test_a_payment_without_published_events_has_none_to_publish(world: World) -> None:
    payment = await world.initiate()

    result = await world.republishes.republish(EventSelection(payment_id=payment.id), None, ADA)

    assert (result.stored, result.duplicates, result.next) == (0, 0, None)


async def test_a_span_without_published_events_has_none_to_publish(world: World) -> None:
    await published(world, 1)
    wanted = EventSelection(published_from=world.clock.now() + timedelta(hours=1))

    result = await world.republishes.republish(wanted, None, ADA)

    assert (result.stored, result.duplicates, result.next) == (0, 0, None)


async def test_what_does_not_exist_is_named(world: World) -> None:
    nobody = UUID(int=99)
    with pytest.raises(PaymentNotFound) as no_payment:
        await world.republishes.republish(EventSelection(payment_id=nobody), None, ADA)
    with pytest.raises(EventNotFound) as no_event:
        await world.republishes.republish(EventSelection(event_id=nobody), None, ADA)
    assert no_payment.value.metadata == {"payment_id": str(nobody)}
    assert no_event.value.metadata == {"event_id": str(nobody)}
    assert str(no_event.value) == (
        "no published event has this id: it is not published yet, or no longer kept"
    )


async def test_without_the_stream_the_call_may_be_repeated(world: World) -> None:
    [payment] = await published(world, 1)
    world.publisher.is_away = True

    with pytest.raises(StreamUnavailable, match="the stream is away; call again") as refused:
        await world.republishes.republish(EventSelection(payment_id=payment.id), None, ADA)
    assert (refused.value.may_retry, refused.value.retry_after_s) == (True, 1.0)


async def test_the_trail_says_who_published_which_events_again(world: World) -> None:
    payments = await published(world, 2)
    events = {row.payment_id: row.event_id for row in world.publisher.published}

    begin = world.clock.now() - timedelta(hours=1)
    await world.republishes.republish(EventSelection(published_from=begin), None, ADA)

    for payment in payments:
        *_, last = await world.store.audit_trail(payment.id)
        assert (last.event_type, last.actor, last.certificate) == (REPUBLISHED, ADA.actor, "ops")
        assert last.details["republished"] == [
            {"id": str(events[payment.id]), "subject": "payment.failed"}
        ]
        after = await world.settle.newest(payment.id)
        unchanged = attrs.evolve(after, version=payment.version, update_time=payment.update_time)
        assert unchanged == payment


async def test_the_explanation_says_who_published_which_events_again(world: World) -> None:
    [payment] = await published(world, 1)
    [event] = world.publisher.published

    await world.republishes.republish(EventSelection(payment_id=payment.id), None, ADA)

    *_, step = (await world.explains.explain(payment.id, None)).steps
    assert step.what == (
        "At the request of operator:ops/ada payd published again:"
        f" payment.failed ({event.event_id})."
    )
    assert step.source == "call of operator:ops/ada with the certificate ops, request req-9"
    assert step.changes == ()


async def test_nothing_is_published_that_the_trail_does_not_have(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [payment] = await published(world, 1)
    before, commits = list(world.publisher.published), list[Commit]()

    async def lose(given: Sequence[Commit]) -> Sequence[bool]:
        commits.extend(given)
        return [False] * len(given)

    monkeypatch.setattr(world.store, "commit_all", lose)
    with pytest.raises(StoreUnavailable) as refused:
        await world.republishes.republish(EventSelection(payment_id=payment.id), None, ADA)

    assert (str(refused.value), refused.value.retry_after_s) == (
        "the payments keep changing: call again",
        1.0,
    )
    assert world.publisher.published == before
    assert (len(commits), world.turns.rests) == (50, 49), "each further round begins with a rest"


async def test_nothing_is_published_while_the_store_does_not_say_that_the_trail_has_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [payment] = await published(world, 1)
    before = list(world.publisher.published)

    async def answer_nothing(_: Sequence[Commit]) -> Sequence[bool]:
        return []

    monkeypatch.setattr(world.store, "commit_all", answer_nothing)
    with pytest.raises(ValueError, match="shorter"):
        await world.republishes.republish(EventSelection(payment_id=payment.id), None, ADA)

    assert world.publisher.published == before


async def test_a_payment_that_changes_meanwhile_gets_its_row_on_the_newest_version(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [payment] = await published(world, 1)
    commit_all, calls = world.store.commit_all, list[int]()

    async def change_first(given: Sequence[Commit]) -> Sequence[bool]:
        calls.append(given[0].before.version)
        if len(calls) == 1:
            await world.settle.apply(payment, Conflict(detail="another report"), Origin(actor="x"))
        return await commit_all(given)

    monkeypatch.setattr(world.store, "commit_all", change_first)
    await world.republishes.republish(EventSelection(payment_id=payment.id), None, ADA)

    assert calls == [payment.version, payment.version + 1]
    assert (await world.trail(payment))[-2:] == ["attention_changed", REPUBLISHED]
