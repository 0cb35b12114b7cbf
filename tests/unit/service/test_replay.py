"""Put dead letters back: the trail of their payments says who did, before it happens."""

from typing import Any
from uuid import UUID

import pytest
from unit.service.fakes import DECLINED
from unit.service.world import World

from payd.domain.errors import StreamUnavailable
from payd.domain.payment import Origin
from payd.domain.published import DeadLetter
from payd.domain.republication import REPUBLISHED

ADA = Origin(actor="operator:ops/ada", certificate="ops", request_id="req-9")
EVENT = UUID(int=5)


def buried(world: World, sequence: int, payment: object, **overrides: Any) -> DeadLetter:
    """A dead letter in the stream, about this payment."""
    fields: dict[str, Any] = {
        "sequence": sequence,
        "subject": "payment.failed",
        "reason": "no such user",
        "time": world.clock.now(),
        "deliveries": 5,
        "headers": {"ce-id": str(EVENT), "ce-source": f"//payd/test/payments/{payment}"},
        "data": b"{}",
    }
    letter = DeadLetter(**(fields | overrides))
    world.dead_letters.letters[sequence] = letter
    return letter


async def test_the_trail_of_the_payment_says_who_put_its_event_back(world: World) -> None:
    world.provider.replies["create"].append(DECLINED)
    payment = await world.initiate()
    letter = buried(world, 3, payment.id)

    assert await world.replays.replay([3, 4], ADA) == [3]

    assert world.dead_letters.replayed == [letter]
    *_, last = await world.store.audit_trail(payment.id)
    assert (last.event_type, last.actor, last.certificate) == (REPUBLISHED, ADA.actor, "ops")
    assert last.details["republished"] == [{"id": str(EVENT), "subject": "payment.failed"}]


async def test_what_no_trail_can_keep_goes_back_too(world: World) -> None:
    payment = await world.initiate()
    before = await world.trail(payment)
    buried(world, 1, UUID(int=99))
    buried(world, 2, "no id")
    buried(world, 3, payment.id, headers={"ce-id": str(EVENT)})
    buried(world, 4, payment.id, subject="payment.\x00")
    buried(world, 5, payment.id, headers={"ce-source": f"//payd/test/payments/{payment.id}"})
    buried(world, 6, payment.id, headers={"ce-id": str(EVENT), "ce-source": f"x/{payment.id}"})

    assert await world.replays.replay([1, 2, 3, 4, 5, 6], ADA) == [1, 2, 3, 4, 5, 6]
    assert await world.trail(payment) == before


async def test_an_event_that_is_not_put_back_after_all_stands_in_the_trail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(sequences: object) -> object:
        raise StreamUnavailable("the stream is away", retry_after_s=1.0)

    payment = await world.initiate()
    buried(world, 3, payment.id)
    monkeypatch.setattr(world.dead_letters, "replay", away)
    with pytest.raises(StreamUnavailable):
        await world.replays.replay([3], ADA)
    assert (await world.trail(payment))[-1] == REPUBLISHED
