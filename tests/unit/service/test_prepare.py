"""A provider's parameters are stored before it is asked, and sent unchanged at every try."""

import pytest
from unit.service.fakes import OUTCOME_UNKNOWN
from unit.service.world import World, capable

from payd.domain.errors import InvalidField, PaymentNotFound
from payd.domain.payment import Status
from payd.plugins.interface import Lookup

PREPARED = {"line_items": [{"quantity": 1}], "expires_at": 1795363730}


async def test_parameters_are_stored_with_the_payment_and_sent(world: World) -> None:
    world.provider.parameters = PREPARED

    payment = await world.initiate()

    assert payment.parameters == PREPARED
    [sent] = world.provider.operations
    assert sent.parameters == PREPARED


async def test_a_retry_sends_what_was_stored_whatever_would_be_prepared_now() -> None:
    world = World(capable(lookup=Lookup.NONE))
    world.provider.parameters = PREPARED
    world.provider.replies["create"] = [OUTCOME_UNKNOWN]
    payment = await world.initiate()

    world.provider.parameters = {"expires_at": 1}
    payment = await world.look_again(payment)

    assert payment.status is Status.PENDING
    first, second = world.provider.operations
    assert first == second


async def test_a_repeated_call_does_not_prepare_anew(world: World) -> None:
    world.provider.parameters = PREPARED
    await world.initiate()

    world.provider.parameters = {"expires_at": 1}

    assert (await world.initiate()).parameters == PREPARED


async def test_what_cannot_be_prepared_is_not_stored(world: World) -> None:
    world.provider.refuses = InvalidField("return_url", "is needed")

    with pytest.raises(InvalidField):
        await world.initiate()

    with pytest.raises(PaymentNotFound):
        await world.query.get_by_key("key-1")
    assert world.provider.calls == []
