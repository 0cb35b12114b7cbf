"""Reads without effects: a payment, a quote, what one can pay with."""

from datetime import timedelta
from uuid import UUID

import attrs
import pytest
from support.prices import one_currency
from unit.service.fakes import FakeProviders
from unit.service.situations import in_tokens, on_a_chain, receipt, received
from unit.service.world import FULL_30D, USDC, World

from payd.domain.errors import (
    CurrencyNotSupported,
    InvalidField,
    PaymentNotFound,
    RefundNotFound,
    UnknownMethod,
    UnknownProduct,
)
from payd.domain.money import Money, TokenTerms
from payd.domain.page import Position
from payd.domain.payment import LineItem, Status
from payd.domain.pricing import Quote
from payd.domain.refund import RefundStatus
from payd.domain.request import Item, QuoteRequest, RefundFilter
from payd.plugins.amounts import AmountRule
from payd.plugins.interface import Method
from payd.ports import Registered
from payd.service import query
from payd.service.query import check_amounts, token_terms


async def test_a_payment_is_found_by_its_id_and_by_its_key(world: World) -> None:
    payment = await world.initiate()

    assert await world.query.get(payment.id) == (payment, [])
    assert await world.query.get_by_key("key-1") == payment


async def test_what_does_not_exist_is_not_found(world: World) -> None:
    unknown = UUID(int=7)
    with pytest.raises(PaymentNotFound, match=r"^no payment has this id$") as refusal:
        await world.query.get(unknown)
    assert refusal.value.metadata == {"payment_id": str(unknown)}
    with pytest.raises(RefundNotFound, match=r"^no refund has this id$") as no_refund:
        await world.query.get_refund(unknown)
    assert no_refund.value.metadata == {"refund_id": str(unknown)}

    with pytest.raises(PaymentNotFound, match=r"^no payment has this idempotency key$"):
        await world.query.get_by_key("key-1")
    with pytest.raises(RefundNotFound, match=r"^no refund has this idempotency key$"):
        await world.query.get_refund_by_key("refund-1")


async def test_a_payment_comes_with_its_newest_receipts_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(query, "RECEIPTS_MAX", 1)
    chain = on_a_chain()
    payment = await in_tokens(chain)
    for name in ("0xaa:1", "0xbb:1"):
        await received(chain, payment, receipt(chain, name, 1))
    _, receipts = await chain.query.get(payment.id)
    assert [one.id for one in receipts] == ["0xbb:1"]


async def test_a_refund_is_found_with_its_payment_by_its_id_and_by_its_key(world: World) -> None:
    refund = await world.refund_in(RefundStatus.SUCCEEDED)
    payment, found = await world.query.get_refund(refund.id)

    assert (payment.refunds, found) == ((refund,), refund)
    assert await world.query.get_refund_by_key("refund-1") == (payment, refund)


async def test_refunds_are_listed_newest_first_page_after_page(world: World) -> None:
    payment = await world.payment_in(Status.COMPLETED)
    made = []
    for number in range(3):
        world.clock.move(minutes=1)
        made.append((await world.refund(payment, idempotency_key=f"refund-{number}")).id)

    every = RefundFilter()
    first = [one for _, one in await world.query.list_refunds(every, None, 2)]
    after = Position(first[-1].create_time, first[-1].id)
    [(of, last)] = await world.query.list_refunds(every, after, 2)

    assert [one.id for one in first] == made[:0:-1]
    assert (of.id, last.id) == (payment.id, made[0])
    nothing = RefundFilter(payment_id=UUID(int=7))
    assert await world.query.list_refunds(nothing, None, 2) == []


async def test_a_quote_prices_every_item_and_keeps_nothing(world: World) -> None:
    base = Item(chain_profile_id="base-mainnet", node_type="full", duration="1d")

    quote = world.query.quote(QuoteRequest(items=(FULL_30D, base, base), method="card"))

    assert [item.unit_price.minor_units for item in quote.items] == [14900, 640, 640]
    assert quote.total == Money(currency_code="USD", minor_units=16180)
    assert (quote.method, quote.crypto, quote.pricing_version) == ("card", None, "prices-1")
    assert quote.expire_time == world.clock.now() + timedelta(minutes=15)
    assert world.provider.calls == []


async def test_a_quote_in_tokens_names_the_exact_base_units(world: World) -> None:
    quote = world.query.quote(
        QuoteRequest(items=(FULL_30D,), method="crypto", crypto_currency="USDC")
    )

    assert quote.crypto == TokenTerms(
        currency="USDC",
        chain_id=USDC.chain_id,
        token_address=USDC.token_address,
        decimals=6,
        due_base_units=149_000_000,
    )


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (QuoteRequest(items=(FULL_30D,), method="cheque"), UnknownMethod),
        (
            QuoteRequest(items=(attrs.evolve(FULL_30D, node_type="?"),), method="card"),
            UnknownProduct,
        ),
        (QuoteRequest(items=(FULL_30D,), method="crypto"), CurrencyNotSupported),
        (
            QuoteRequest(items=(FULL_30D,), method="crypto", crypto_currency="DOGE"),
            CurrencyNotSupported,
        ),
    ],
    ids=["method", "product", "token missing", "token unknown"],
)
async def test_what_has_no_price_is_refused(
    world: World, request_: QuoteRequest, error: type[Exception]
) -> None:
    with pytest.raises(error):
        world.query.quote(request_)


async def test_a_refusal_names_what_would_be_taken(world: World) -> None:
    with pytest.raises(
        UnknownMethod,
        match=r"^no enabled provider takes the method 'cheque'; known are: card, crypto$",
    ) as method:
        world.query.method("cheque")
    assert method.value.metadata == {"method": "cheque", "known": "card, crypto"}

    with pytest.raises(
        CurrencyNotSupported,
        match=r"^a crypto_currency is required for method 'crypto'; supported here: USDC$",
    ) as token:
        world.query.quote(QuoteRequest(items=(FULL_30D,), method="crypto"))
    assert token.value.metadata == {"method": "crypto", "currency": "", "known": "USDC"}

    world.providers.disabled = True
    with pytest.raises(UnknownMethod, match=r"known are: none$"):
        world.query.method("card")


async def test_a_method_without_tokens_is_not_charged_in_one(world: World) -> None:
    request = QuoteRequest(items=(FULL_30D,), method="card", crypto_currency="USDC")
    with pytest.raises(CurrencyNotSupported, match=r"^'USDC' is not supported .*: none$"):
        world.query.quote(request)


async def test_a_refusal_says_why_where_the_method_knows() -> None:
    method = Method(
        key="crypto",
        display_name="Crypto",
        currencies=("USD",),
        crypto_currencies=(USDC,),
        refused_currencies={"ETH": "this chain has none"},
    )

    with pytest.raises(
        CurrencyNotSupported, match=r"'ETH' is not supported.*: this chain has none"
    ):
        token_terms(method, Money(currency_code="USD", minor_units=100), "ETH")
    with pytest.raises(CurrencyNotSupported, match=r"for method 'crypto'; supported here: USDC$"):
        token_terms(method, Money(currency_code="USD", minor_units=100), "DOGE")


async def test_a_method_is_refused_for_a_currency_that_it_does_not_take(world: World) -> None:
    prices = {("ethereum-mainnet", "full", "30d"): 14900}
    world.prices.prices = one_currency("JPY", prices, version="prices-yen")

    with pytest.raises(CurrencyNotSupported) as refusal:
        world.query.quote(QuoteRequest(items=(FULL_30D,), method="card"))
    assert refusal.value.metadata["known"] == ""
    assert "'JPY' is not supported for method 'card'; supported here: none" in str(refusal.value)


async def test_a_token_pays_prices_in_the_currency_that_it_stands_for() -> None:
    euro = attrs.evolve(USDC, code="EURC", currency="EUR")
    method = Method(
        key="crypto",
        display_name="Crypto",
        currencies=("USD", "EUR"),
        crypto_currencies=(attrs.evolve(USDC, currency="USD"), euro),
    )
    euros = Money(currency_code="EUR", minor_units=100)

    terms = token_terms(method, euros, "EURC")
    assert terms is not None
    assert (terms.currency, terms.due_base_units) == ("EURC", 1_000_000)
    with pytest.raises(
        CurrencyNotSupported, match=r"'USDC' .*: it pays prices in USD; supported here: EURC$"
    ):
        token_terms(method, euros, "USDC")


async def test_a_token_that_is_too_coarse_for_the_amount_is_refused() -> None:
    coarse = attrs.evolve(USDC, code="COARSE", decimals=0)
    method = Method(
        key="crypto", display_name="Crypto", currencies=("USD",), crypto_currencies=(coarse,)
    )

    assert token_terms(method, Money(currency_code="USD", minor_units=100), "COARSE")
    with pytest.raises(CurrencyNotSupported, match="decimals") as refused:
        token_terms(method, Money(currency_code="USD", minor_units=101), "COARSE")
    assert refused.value.metadata == {"method": "crypto", "currency": "COARSE", "known": ""}


async def test_the_payment_methods_are_those_of_the_enabled_providers(world: World) -> None:
    methods = world.query.methods()

    assert [registered.method.key for registered in methods] == ["card", "crypto"]
    assert all(isinstance(registered, Registered) for registered in methods)

    world.providers.disabled = True
    assert list(world.query.methods()) == []


async def test_a_quote_that_the_method_cannot_charge_is_refused_with_the_reason(
    world: World,
) -> None:
    """Nothing is stored, and nobody is asked."""
    rule = AmountRule(min_minor_units=50, max_minor_units=10_000)
    card = world.query.method("card")
    limited = attrs.evolve(card, method=attrs.evolve(card.method, amounts={"USD": rule}))
    limited_query = attrs.evolve(world.query, providers=FakeProviders(limited))

    with pytest.raises(
        InvalidField, match=r"method 'card' cannot charge this: the price 149\.00 USD is above"
    ) as no:
        limited_query.quote(QuoteRequest(items=(FULL_30D,), method="card"))
    assert no.value.field == "items"


async def test_a_quote_within_the_methods_amounts_is_given() -> None:
    price = Money(currency_code="USD", minor_units=100)
    item = LineItem(chain_profile_id="eth", node_type="full", duration="30d", unit_price=price)
    quote = Quote(items=(item,), total=price, pricing_version="v")
    method = Method(
        key="card",
        display_name="Card",
        currencies=("USD", "EUR"),
        amounts={"USD": AmountRule(min_minor_units=100), "EUR": AmountRule(min_minor_units=1000)},
    )

    check_amounts(method, quote)
    stricter = attrs.evolve(method, amounts={"USD": AmountRule(min_minor_units=101)})
    with pytest.raises(InvalidField, match=r"below the minimum of 1\.01 USD"):
        check_amounts(stricter, quote)
