"""I20: the total of a quote is charged, or the payment is refused and nothing is written."""

from typing import Any

import attrs
import pytest
from support.prices import one_currency
from unit.service.fakes import FakeProviders
from unit.service.world import FULL_30D, USDC, World

from payd.domain.errors import (
    IdempotencyKeyReused,
    InvalidField,
    PaydError,
    PriceChanged,
    QuoteExpired,
    QuoteInvalid,
    QuoteMismatch,
)
from payd.domain.money import Money
from payd.domain.pricing import PriceList
from payd.domain.request import QuoteRequest
from payd.plugins.amounts import AmountRule

SHOWN = Money(currency_code="USD", minor_units=14900)
DEARER = one_currency("USD", {("ethereum-mainnet", "full", "30d"): 19900}, version="prices-2")
WITHOUT = one_currency("USD", {("x", "y", "z"): 1}, version="prices-3")


def a_token(world: World, **overrides: Any) -> str:
    fields: dict[str, Any] = {"items": (FULL_30D,), "method": "card"}
    return world.query.quote(QuoteRequest(**(fields | overrides))).quote_token


async def refused(world: World, error: type[PaydError], **fields: Any) -> PaydError:
    """Try to start a payment; return the refusal. Nothing must have been written."""
    with pytest.raises(error) as refusal:
        await world.initiate(**fields)
    assert await world.store.get_by_key("key-1") is None
    assert world.provider.calls == []
    return refusal.value


# -- by token ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prices", [DEARER, WITHOUT], ids=["dearer", "sold no more"])
async def test_a_payment_by_token_costs_what_the_quote_said(
    world: World, prices: PriceList
) -> None:
    token = a_token(world)
    world.prices.prices = prices

    payment = await world.initiate(quote_token=token)

    assert payment.amount == SHOWN
    assert [item.unit_price for item in payment.items] == [SHOWN]
    assert payment.pricing_version == "prices-1"


async def test_a_price_by_token_holds_as_long_as_the_quote_said(world: World) -> None:
    request = QuoteRequest(items=(FULL_30D,), method="card")
    quote = world.query.quote(request)
    world.clock.move(minutes=5)
    assert world.query.price(request, quote.quote_token).expire_time == quote.expire_time


async def test_a_payment_in_tokens_is_due_as_the_quote_said(world: World) -> None:
    crypto: dict[str, Any] = {"method": "crypto", "crypto_currency": "USDC"}
    token = a_token(world, **crypto)
    world.prices.prices = DEARER

    payment = await world.initiate(quote_token=token, **crypto)

    assert payment.due == 149_000_000


async def test_a_token_is_good_for_several_payments_until_it_expires(world: World) -> None:
    token = a_token(world)
    first = await world.initiate(quote_token=token)
    second = await world.initiate(quote_token=token, idempotency_key="key-2")

    assert first.id != second.id
    assert first.amount == second.amount == SHOWN


async def test_without_a_key_a_quote_has_no_token(world: World) -> None:
    token = a_token(world)
    world.quote_keys = []

    assert a_token(world) == ""
    await refused(world, QuoteInvalid, quote_token=token)


async def test_the_newest_key_signs_and_the_one_before_still_verifies(world: World) -> None:
    old = a_token(world)
    world.quote_keys = ["n" * 32, *world.quote_keys]
    new = a_token(world)
    world.quote_keys = world.quote_keys[:1]

    assert (await world.initiate(quote_token=new)).amount == SHOWN
    with pytest.raises(QuoteInvalid):
        await world.initiate(quote_token=old, idempotency_key="key-2")


async def test_an_expired_token_is_refused(world: World) -> None:
    token = a_token(world)
    world.clock.move(minutes=15)
    await refused(world, QuoteExpired, quote_token=token)


@pytest.mark.parametrize(
    "difference",
    [
        {"items": (FULL_30D, FULL_30D)},
        {"method": "crypto", "crypto_currency": "USDC"},
    ],
    ids=["items", "method"],
)
async def test_a_token_for_something_else_is_refused(
    world: World, difference: dict[str, Any]
) -> None:
    await refused(world, QuoteMismatch, quote_token=a_token(world), **difference)


async def test_a_token_is_refused_when_the_method_takes_another_token_by_now(
    world: World,
) -> None:
    crypto: dict[str, Any] = {"method": "crypto", "crypto_currency": "USDC"}
    token = a_token(world, **crypto)
    method = world.query.method("crypto")
    moved = attrs.evolve(USDC, token_address="0x" + "cd" * 20)
    offers = attrs.evolve(method.method, crypto_currencies=(moved,))
    query = attrs.evolve(world.query, providers=FakeProviders(attrs.evolve(method, method=offers)))
    world.initiates = attrs.evolve(world.initiates, query=query)

    await refused(world, QuoteMismatch, quote_token=token, **crypto)


async def test_a_token_does_not_lift_the_limits_of_the_method(world: World) -> None:
    token = a_token(world)
    method = world.query.method("card")
    strict = attrs.evolve(method.method, amounts={"USD": AmountRule(max_minor_units=10_000)})
    query = attrs.evolve(world.query, providers=FakeProviders(attrs.evolve(method, method=strict)))
    world.initiates = attrs.evolve(world.initiates, query=query)

    await refused(world, InvalidField, quote_token=token)


# -- the same key ------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["the same", "a fresh one", "none", "nonsense"])
async def test_a_known_key_replays_whatever_became_of_its_quote(world: World, token: str) -> None:
    said = a_token(world)
    first = await world.initiate(quote_token=said)
    world.clock.move(minutes=16)
    world.prices.prices = DEARER
    again = {
        "the same": said,
        "a fresh one": a_token(world),
        "none": "",
        "nonsense": "nonsense",
    }[token]

    assert (await world.initiate(quote_token=again)).id == first.id
    assert world.provider.calls == ["create"]


async def test_a_known_key_with_other_items_is_reused_whatever_the_token(world: World) -> None:
    token = a_token(world)
    await world.initiate(quote_token=token)

    with pytest.raises(IdempotencyKeyReused):
        await world.initiate(quote_token=token, items=(FULL_30D, FULL_30D))


# -- by expected total -------------------------------------------------------------------------


async def test_the_total_that_the_caller_expects_is_charged(world: World) -> None:
    assert (await world.initiate(expected_total=SHOWN)).amount == SHOWN


async def test_another_total_than_the_caller_expects_is_refused_with_both(world: World) -> None:
    world.prices.prices = DEARER

    refusal = await refused(world, PriceChanged, expected_total=SHOWN)

    assert str(refusal) == "the price has changed: show the new total to the customer first"
    assert refusal.metadata == {
        "expected_currency_code": "USD",
        "expected_minor_units": "14900",
        "currency_code": "USD",
        "minor_units": "19900",
    }


async def test_the_same_number_in_another_currency_is_another_total(world: World) -> None:
    await refused(world, PriceChanged, expected_total=attrs.evolve(SHOWN, currency_code="EUR"))


async def test_a_token_for_another_total_than_expected_is_refused(world: World) -> None:
    token = a_token(world)
    await refused(
        world,
        PriceChanged,
        quote_token=token,
        expected_total=attrs.evolve(SHOWN, minor_units=14899),
    )


async def test_a_known_key_replays_although_the_price_has_changed(world: World) -> None:
    first = await world.initiate(expected_total=SHOWN)
    world.prices.prices = DEARER

    for total in (SHOWN, attrs.evolve(SHOWN, minor_units=1), None):
        assert (await world.initiate(expected_total=total)).id == first.id
