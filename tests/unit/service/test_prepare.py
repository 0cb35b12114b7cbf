"""A provider's parameters are stored before it is asked, and sent unchanged at every try."""

from typing import Any

import attrs
import pytest
from unit.service.fakes import OUTCOME_UNKNOWN, Died
from unit.service.world import World, capable

from payd.domain.errors import InvalidField, PaydError, PaymentNotFound, ProviderUnavailable
from payd.domain.payment import Payment, Status
from payd.plugins.capabilities import Lookup
from payd.plugins.interface import CreateOperation
from payd.ports import Answer

PREPARED = {"line_items": [{"quantity": 1}], "expires_at": 1795363730}


async def test_parameters_are_stored_with_the_payment_and_sent(world: World) -> None:
    world.provider.parameters = PREPARED

    payment = await world.initiate()

    assert payment.parameters == PREPARED
    [sent] = world.provider.operations
    assert sent.parameters == PREPARED


async def test_parameters_are_stored_before_the_provider_is_asked(world: World) -> None:
    world.provider.parameters = PREPARED
    stored: list[Payment] = []

    async def look_into_the_store(request: Any) -> Answer:
        assert isinstance(request, CreateOperation)
        payment, _receipts = await world.query.get(request.payment_id)
        stored.append(payment)
        return OUTCOME_UNKNOWN

    world.provider.replies["create"] = [look_into_the_store]
    await world.initiate()

    [payment] = stored
    assert (payment.status, payment.parameters) == (Status.CREATING, PREPARED)


@pytest.mark.parametrize("point", ["initiate.after_insert", "initiate.after_provider"])
async def test_a_daemon_that_died_is_succeeded_by_one_that_sends_the_same(point: str) -> None:
    world = World(capable(lookup=Lookup.NONE))
    world.provider.parameters = PREPARED
    world.crash.die_at(point)
    with pytest.raises(Died):
        await world.initiate()

    world.provider.parameters = {"expires_at": 1}
    payment = await world.check_again(await world.query.get_by_key("key-1"))

    assert payment.status is Status.PENDING
    assert {str(sent.parameters) for sent in world.provider.operations} == {str(PREPARED)}


async def test_what_was_never_sent_is_sent_with_what_was_stored(world: World) -> None:
    world.provider.parameters = PREPARED
    await world.never_sent()

    world.provider.parameters = {"expires_at": 1}
    payment = await world.initiate()

    assert payment.status is Status.PENDING
    assert [sent.parameters for sent in world.provider.operations] == [PREPARED, PREPARED]


async def test_what_is_prepared_is_all_that_is_known_of_the_payment(world: World) -> None:
    world.provider.parameters = PREPARED

    await world.initiate()

    [sent], [asked] = world.provider.operations, world.provider.prepared
    assert attrs.evolve(sent, parameters={}) == asked


async def test_a_provider_that_needs_no_parameters_is_sent_none(world: World) -> None:
    payment = await world.initiate()

    assert payment.parameters == {}
    assert world.provider.operations[0].parameters == {}


async def test_a_retry_sends_what_was_stored_whatever_would_be_prepared_now() -> None:
    world = World(capable(lookup=Lookup.NONE))
    world.provider.parameters = PREPARED
    world.provider.replies["create"] = [OUTCOME_UNKNOWN]
    payment = await world.initiate()

    world.provider.parameters = {"expires_at": 1}
    payment = await world.check_again(payment)

    assert payment.status is Status.PENDING
    first, second = world.provider.operations
    assert first == second


async def test_a_repeated_call_does_not_prepare_anew(world: World) -> None:
    world.provider.parameters = PREPARED
    await world.initiate()

    world.provider.parameters = {"expires_at": 1}

    assert (await world.initiate()).parameters == PREPARED


@pytest.mark.parametrize("word", [PREPARED, None], ids=["refuses", "is not running"])
async def test_a_key_that_is_taken_answers_whatever_could_be_prepared_now(
    world: World, word: object
) -> None:
    payment = await world.initiate()
    world.provider.refuses = InvalidField("return_url", "is needed")
    world.provider.stopped = word is None

    assert await world.initiate() == payment


@pytest.mark.parametrize(
    "why", [InvalidField("return_url", "is needed"), ProviderUnavailable("not running")]
)
async def test_what_cannot_be_prepared_is_not_stored(world: World, why: PaydError) -> None:
    world.provider.refuses = why

    with pytest.raises(type(why)):
        await world.initiate()

    with pytest.raises(PaymentNotFound):
        await world.query.get_by_key("key-1")
    assert world.provider.calls == []


async def test_a_provider_that_asks_for_tags_gets_another_one_for_each_payment() -> None:
    world = World(capable(tags=True))
    for number in range(3):
        await world.initiate(idempotency_key=f"key-{number}")

    tags = [asked.tag for asked in world.provider.prepared]
    assert len(set(tags)) == 3
    assert all(tag is not None and 0 <= tag < 2**48 for tag in tags)
    assert [sent.tag for sent in world.provider.operations] == [None] * 3


async def test_other_providers_get_no_tag(world: World) -> None:
    await world.initiate()

    assert [asked.tag for asked in world.provider.prepared] == [None]
