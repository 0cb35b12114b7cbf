"""A quote's currency: what the request names, else the list's first; never another one."""

from typing import Any

import attrs
import pytest
from unit.service.fakes import FakeProviders
from unit.service.world import FULL_30D, World

from payd.domain.errors import CurrencyNotSupported, IdempotencyKeyReused, QuoteMismatch
from payd.domain.money import Money
from payd.domain.pricing import PriceList
from payd.domain.request import Item, QuoteRequest

NODE = ("ethereum-mainnet", "full")
PRICES = PriceList(
    currencies=("USD", "EUR", "BRL", "JPY"),
    prices={
        (*NODE, "30d"): {"USD": 14900, "EUR": 13900, "BRL": 79900, "JPY": 22000},
        (*NODE, "90d"): {"USD": 40200, "EUR": 37500},
        (*NODE, "1d"): {"JPY": 1100},
    },
    version="prices-4",
)
TAKEN = ("JPY", "EUR", "USD", "CHF")


@pytest.fixture
def many(world: World) -> World:
    """A world with a price list of four currencies; its card takes three of them."""
    world.prices.prices = PRICES
    card, crypto = (world.query.method(key) for key in ("card", "crypto"))
    card = attrs.evolve(card, method=attrs.evolve(card.method, currencies=TAKEN))
    world.query = attrs.evolve(world.query, providers=FakeProviders(card, crypto))
    world.initiates = attrs.evolve(world.initiates, query=world.query)
    return world


def an_item(duration: str) -> Item:
    return attrs.evolve(FULL_30D, duration=duration)


def total(world: World, *items: Item, **fields: Any) -> Money:
    request = QuoteRequest(items=items or (FULL_30D,), **({"method": "card"} | fields))
    return world.query.quote(request).total


def refusal(world: World, *items: Item, **fields: Any) -> CurrencyNotSupported:
    with pytest.raises(CurrencyNotSupported) as refused:
        total(world, *items, **fields)
    return refused.value


@pytest.mark.parametrize(("currency", "units"), [("USD", 14900), ("EUR", 13900), ("JPY", 22000)])
async def test_a_quote_is_in_the_currency_that_the_request_names(
    many: World, currency: str, units: int
) -> None:
    quote = many.query.quote(
        QuoteRequest(items=(FULL_30D, FULL_30D), method="card", currency_code=currency)
    )
    assert quote.total == Money(currency_code=currency, minor_units=2 * units)
    assert [item.unit_price.minor_units for item in quote.items] == [units, units]


async def test_a_request_without_a_currency_gets_the_first_of_the_list(many: World) -> None:
    assert total(many).currency_code == "USD"


async def test_the_first_of_the_list_is_not_replaced_by_another_without_being_asked(
    many: World,
) -> None:
    no = refusal(many, an_item("1d"))
    assert no.metadata == {"method": "card", "currency": "USD", "known": "JPY"}


@pytest.mark.parametrize(
    ("items", "currency", "known"),
    [
        (["30d"], "BRL", "USD, EUR, JPY"),
        (["30d"], "CHF", "USD, EUR, JPY"),
        (["30d"], "GBP", "USD, EUR, JPY"),
        (["90d"], "JPY", "USD, EUR"),
        (["30d", "90d"], "JPY", "USD, EUR"),
        (["90d", "1d"], "EUR", ""),
    ],
)
async def test_a_refusal_names_the_currencies_that_items_and_method_share(
    many: World, items: list[str], currency: str, known: str
) -> None:
    no = refusal(many, *map(an_item, items), currency_code=currency)

    assert no.metadata == {"method": "card", "currency": currency, "known": known}
    assert str(no) == (
        f"'{currency}' is not supported for method 'card'; supported here: {known or 'none'}"
    )


async def test_a_method_paid_in_tokens_keeps_its_currency(many: World) -> None:
    crypto = {"method": "crypto", "crypto_currency": "USDC"}
    assert total(many, **crypto) == Money(currency_code="USD", minor_units=14900)
    assert refusal(many, **crypto, currency_code="EUR").metadata["known"] == "USD"


# -- the payment -------------------------------------------------------------------------------


async def test_a_payment_is_charged_in_the_currency_of_its_request(many: World) -> None:
    payment = await many.initiate(currency_code="JPY")
    assert payment.amount == Money(currency_code="JPY", minor_units=22000)
    assert payment.items[0].unit_price == payment.amount


async def test_a_wrong_currency_starts_no_payment(many: World) -> None:
    with pytest.raises(CurrencyNotSupported):
        await many.initiate(currency_code="BRL")
    assert await many.store.get_by_key("key-1") is None
    assert many.provider.calls == []


async def test_the_same_key_in_another_currency_is_another_request(many: World) -> None:
    first = await many.initiate(currency_code="EUR")

    assert await many.initiate(currency_code="EUR") == first
    for other in ("JPY", ""):
        with pytest.raises(IdempotencyKeyReused):
            await many.initiate(currency_code=other)


async def test_a_quote_token_binds_the_currency(many: World) -> None:
    quote = many.query.quote(QuoteRequest(items=(FULL_30D,), method="card", currency_code="EUR"))
    with pytest.raises(QuoteMismatch, match="the quote is in EUR, not in JPY"):
        await many.initiate(quote_token=quote.quote_token, currency_code="JPY")

    named = await many.initiate(quote_token=quote.quote_token, currency_code="EUR")
    unnamed = await many.initiate(quote_token=quote.quote_token, idempotency_key="key-2")

    assert named.amount == unnamed.amount == quote.total


async def test_a_token_is_refused_when_the_method_no_longer_takes_its_currency(
    many: World,
) -> None:
    quote = many.query.quote(QuoteRequest(items=(FULL_30D,), method="card", currency_code="EUR"))
    card = many.query.method("card")
    fewer = attrs.evolve(card, method=attrs.evolve(card.method, currencies=("USD",)))
    query = attrs.evolve(many.query, providers=FakeProviders(fewer))
    many.initiates = attrs.evolve(many.initiates, query=query)

    with pytest.raises(CurrencyNotSupported) as refused:
        await many.initiate(quote_token=quote.quote_token)
    assert refused.value.metadata == {"method": "card", "currency": "EUR", "known": "USD"}
