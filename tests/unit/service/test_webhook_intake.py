"""A webhook is stored when it is authentic, and means something when it is worked on."""

from typing import Any
from uuid import UUID

import attrs
import pytest
from unit.service.world import World

from payd.domain.errors import WebhookRefused, WebhookUnknown
from payd.domain.evidence import Observation, ProviderStatus, Reversal, Snapshot
from payd.domain.payment import Attention, Payment, Status
from payd.plugins.interface import ProviderEvent, WebhookRequest

SIGNED = WebhookRequest(body=b"signed", headers={})


async def test_an_authentic_webhook_is_stored_and_then_believed(world: World) -> None:
    payment = await world.initiate()
    _tells(world, _paid(world, payment))

    assert await world.intake.accept_webhook("mock", SIGNED)
    assert (await world.newest(payment)).status is Status.PENDING, "stored, not yet believed"
    await world.settle_and_publish()

    assert (await world.newest(payment)).status is Status.COMPLETED
    assert world.inbox.outcome(1) == "applied"


async def test_a_repeated_webhook_is_stored_once(world: World) -> None:
    payment = await world.initiate()
    _tells(world, _paid(world, payment))

    assert await world.intake.accept_webhook("mock", SIGNED)
    assert not await world.intake.accept_webhook("mock", SIGNED)

    assert await world.intake_pass() == 1
    assert await world.events() == ["payment.completed"]


async def test_a_webhook_that_is_not_authentic_is_not_stored(world: World) -> None:
    with pytest.raises(WebhookRefused) as refused:
        await world.intake.accept_webhook("mock", WebhookRequest(body=b"forged", headers={}))

    assert refused.value.metadata == {"why": "signature"}
    assert await world.intake_pass() == 0


async def test_a_webhook_for_nobody_is_told_so(world: World) -> None:
    with pytest.raises(WebhookUnknown):
        await world.intake.accept_webhook("stranger", SIGNED)


async def test_a_webhook_that_says_nothing_of_payments_is_not_ours(world: World) -> None:
    _tells(world)
    await world.intake.accept_webhook("mock", SIGNED)

    [row] = await world.intake.claim_batch()

    assert await world.intake.work(row) == "not_ours"
    assert world.inbox.outcome(1) == "not_ours"


async def test_a_webhook_may_say_two_things(world: World) -> None:
    payment = await world.initiate()
    refund = Observation(
        id="evt_1:refund", reference=str(payment.id), fact=Reversal(asset="USD", refunded=100)
    )
    _tells(world, _paid(world, payment), refund)
    await world.intake.accept_webhook("mock", SIGNED)

    [row] = await world.intake.claim_batch()

    assert await world.intake.work(row) == "applied"
    after = await world.newest(payment)
    assert (after.status, after.refunded) == (Status.COMPLETED, 100)
    assert await world.intake.work(row) == "nothing_new"


async def test_what_is_known_is_believed_while_the_rest_waits_for_its_payment(
    world: World,
) -> None:
    payment = await world.initiate()
    stranger = attrs.evolve(_paid(world, payment), reference=str(UUID(int=2)))
    _tells(world, _paid(world, payment), stranger)
    await world.intake.accept_webhook("mock", SIGNED)
    [row] = await world.intake.claim_batch()

    assert await world.intake.work(row) == "parked"
    assert (await world.newest(payment)).status is Status.COMPLETED
    other = await world.initiate(idempotency_key="key-2")
    world.clock.move(seconds=1)
    await world.settle_and_publish()

    assert str(other.id) == stranger.reference
    assert (await world.newest(other)).status is Status.COMPLETED


async def test_a_webhook_that_nobody_can_read_waits_for_who_can(world: World) -> None:
    payment = await world.initiate()
    _tells(world, _paid(world, payment))
    meaning = world.provider.meanings.pop("evt_1")
    await world.intake.accept_webhook("mock", SIGNED)
    [row] = await world.intake.claim_batch()
    assert await world.intake.work(row) == "untranslatable"
    assert world.inbox.outcome(1) is None

    world.provider.meanings["evt_1"] = meaning
    world.clock.move(seconds=1)
    await world.settle_and_publish()

    assert (await world.newest(payment)).status is Status.COMPLETED


async def test_a_webhook_of_a_provider_that_was_disabled_waits_for_it(world: World) -> None:
    payment = await world.initiate()
    _tells(world, _paid(world, payment))
    await world.intake.accept_webhook("mock", SIGNED)
    [row] = await world.intake.claim_batch()
    world.providers.disabled = True

    assert await world.intake.work(row) == "untranslatable"


async def test_other_content_under_a_known_id_is_a_conflict(world: World) -> None:
    payment = await world.initiate()
    _tells(world, _paid(world, payment))
    await world.intake.accept_webhook("mock", SIGNED)
    world.provider.webhooks[b"signed"] = ProviderEvent(
        id="evt_1", type="paid", content={"amount": 1}
    )
    await world.intake.accept_webhook("mock", SIGNED)

    await world.settle_and_publish()

    after = await world.newest(payment)
    assert (after.status, after.confirmed) == (Status.COMPLETED, 14900)
    assert after.attention == {Attention.CONFLICTING_EVIDENCE}


# -- words for the above ---------------------------------------------------------------------


def _tells(world: World, *observations: Observation) -> None:
    """The signed webhook is evt_1, and says this."""
    world.provider.webhooks[b"signed"] = ProviderEvent(id="evt_1", type="paid", content={})
    world.provider.meanings["evt_1"] = observations


def _paid(world: World, payment: Payment) -> Observation:
    fields: dict[str, Any] = {
        "status": ProviderStatus.PAID,
        "asset": "USD",
        "received": payment.due,
        "confirmed": payment.due,
        "as_of": world.clock.now(),
        "due": payment.due,
    }
    return Observation(id="evt_1", reference=str(payment.id), fact=Snapshot(**fields))
