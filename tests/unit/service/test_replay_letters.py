"""Put dead letters back: as payd published them, and the trail of their payments says who did."""

from typing import Any
from uuid import UUID

import pytest
from unit.service.fakes import DECLINED
from unit.service.test_forget_customer import ADA as CUSTOMER
from unit.service.test_forget_customer import PLANTED, forget, pay
from unit.service.world import World

from payd.domain.errors import StreamUnavailable
from payd.domain.payment import Origin, Payment
from payd.domain.published import DeadLetter
from payd.domain.republication import REPUBLISHED
from payd.ports import OutboxRow

ADA = Origin(actor="operator:ops/ada", certificate="ops", request_id="req-9")


async def published(world: World, key: str = "key-1") -> tuple[Payment, OutboxRow]:
    """A declined payment, and its event."""
    world.provider.replies["create"].append(DECLINED)
    payment = await world.initiate(idempotency_key=key)
    await world.publish.publish(await world.publish.claim_batch())
    return payment, world.publisher.published[-1]


def bury(world: World, sequence: int, event: OutboxRow, **overrides: Any) -> DeadLetter:
    """A dead letter of this event, as a consumer copies it."""
    fields: dict[str, Any] = {
        "sequence": sequence,
        "subject": event.subject,
        "reason": "no such user",
        "time": world.clock.now(),
        "deliveries": 5,
        "headers": event.headers,
        "data": event.body,
    }
    letter = DeadLetter(**(fields | overrides))
    world.dead_letters.letters[sequence] = letter
    return letter


def bury_forgeries(world: World, event: OutboxRow, other: Payment) -> int:
    """Letters about no event that payd has published; returns their number."""
    ids, source = {"ce-id": str(event.event_id)}, event.headers["ce-source"]
    another = source.replace(str(event.payment_id), str(other.id))
    unknown = source.replace(str(event.payment_id), str(UUID(int=99)))
    all_headers = [
        ids,
        {"ce-source": source},
        {"ce-id": "no id", "ce-source": source},
        {"ce-id": str(UUID(int=5)), "ce-source": source},
        ids | {"ce-source": another},
        ids | {"ce-source": unknown},
        ids | {"ce-source": "//payd/test/payments/no id"},
        ids | {"ce-source": f"x/{event.payment_id}"},
    ]
    for sequence, headers in enumerate(all_headers, 1):
        bury(world, sequence, event, headers=headers)
    bury(world, len(all_headers) + 1, event, subject="payment.completed")
    return len(all_headers) + 1


async def test_the_trail_of_the_payment_says_who_put_its_event_back(world: World) -> None:
    payment, event = await published(world)
    letter = bury(world, 3, event)

    assert await world.replays.replay([2, 3, 4], ADA) == [3]

    assert world.dead_letters.replayed == [letter]
    *_, last = await world.store.audit_trail(payment.id)
    assert (last.event_type, last.actor, last.certificate) == (REPUBLISHED, ADA.actor, "ops")
    named = {"id": str(event.event_id), "subject": "payment.failed"}
    assert last.details["republished"] == [named]


async def test_an_event_goes_back_as_payd_published_it(world: World) -> None:
    _, event = await published(world)
    bury(world, 1, event, data=b'{"status":"PAYMENT_STATUS_COMPLETED"}')

    assert await world.replays.replay([1], ADA) == [1]

    [back] = world.dead_letters.replayed
    assert back.data == event.body


async def test_a_letter_is_about_a_payment_if_payd_has_published_its_event(world: World) -> None:
    payment, event = await published(world)
    other, _ = await published(world, "key-2")
    forged = bury_forgeries(world, event, other)
    bury(world, 20, event)

    page = await world.letters.read(0, 50)
    found = {letter.sequence: letter.payment_id for letter in page.letters}

    assert found == dict.fromkeys(range(1, forged + 1)) | {20: payment.id}
    one, none = await world.letters.get(20), await world.letters.get(21)
    assert one is not None
    assert (one.payment_id, none) == (payment.id, None)


async def test_letters_are_read_in_pages_after_a_position(world: World) -> None:
    _, event = await published(world)
    for sequence in (1, 2, 3, 4):
        bury(world, sequence, event)
    page = await world.letters.read(1, 2)
    assert [letter.sequence for letter in page.letters] == [2, 3]
    assert (page.next, page.total) == (3, 4)


async def test_what_nothing_proves_goes_back_without_a_row_in_any_trail(world: World) -> None:
    payment, event = await published(world)
    other, _ = await published(world, "key-2")
    before = [await world.trail(one) for one in (payment, other)]
    forged = range(1, bury_forgeries(world, event, other) + 1)

    assert await world.replays.replay(forged, ADA) == list(forged)

    assert [await world.trail(one) for one in (payment, other)] == before
    assert {letter.data for letter in world.dead_letters.replayed} == {event.body}


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_forgotten_customers_data_does_not_come_back(is_kept: bool) -> None:
    """Also of an event that is so old that payd keeps it no longer."""
    world = World()
    await pay(world)
    event = world.publisher.published[-1]
    assert PLANTED in event.body.decode()
    bury(world, 1, event)
    await forget(world, customer_id=CUSTOMER.id)
    if not is_kept:
        world.outbox.rows.clear()

    assert await world.replays.replay([1], ADA) == [1]

    [back] = world.dead_letters.replayed
    assert PLANTED not in back.data.decode()
    assert str(event.event_id) in back.data.decode()


async def test_an_event_that_is_not_put_back_after_all_stands_in_the_trail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(bodies: object) -> object:
        raise StreamUnavailable("the stream is away", retry_after_s=1.0)

    payment, event = await published(world)
    bury(world, 3, event)
    monkeypatch.setattr(world.dead_letters, "replay", away)
    with pytest.raises(StreamUnavailable):
        await world.replays.replay([3], ADA)
    assert (await world.trail(payment))[-1] == REPUBLISHED
