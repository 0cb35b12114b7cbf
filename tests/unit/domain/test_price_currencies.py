"""A price list in several currencies: one look-up, exact in each, and no price for a wrong pair."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payd.config import ConfigError, load_prices
from payd.domain.errors import CurrencyNotSupported, UnknownProduct
from payd.domain.money import Money
from payd.domain.price_rows import CurrencyRow, PriceRow, PricesInvalid, parse_prices
from payd.domain.pricing import PRICE_MAX, PriceList, Product
from payd.domain.request import Item

CODES = ("USD", "EUR", "BRL", "JPY", "KWD")
PRODUCTS = st.tuples(*3 * [st.sampled_from(["a", "b", "c"])])
LISTS = st.dictionaries(
    PRODUCTS,
    st.dictionaries(st.sampled_from(CODES), st.integers(1, PRICE_MAX), min_size=1),
    min_size=1,
)

FOUR = """\
currencies: [USD, EUR, BRL, JPY]
prices:
  eth:
    full:
      1d: 740
      30d: {USD: 14900, EUR: 13900, BRL: 79900, JPY: 22000}
      90d: {EUR: 37500}
"""


def a_list(prices: dict[Product, dict[str, int]]) -> PriceList:
    used = tuple(code for code in CODES if any(code in units for units in prices.values()))
    return PriceList(currencies=used, prices=prices, version="v1")


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    return file


# -- the look-up -------------------------------------------------------------------------------


@given(prices=LISTS, product=PRODUCTS, currency=st.sampled_from(CODES))
def test_a_price_is_what_the_list_says_or_a_named_refusal(
    prices: dict[Product, dict[str, int]], product: Product, currency: str
) -> None:
    price_list = a_list(prices)
    units = prices.get(product)
    if units is None:
        with pytest.raises(UnknownProduct):
            price_list.price(*product, currency)
    elif currency in units:
        expected = Money(currency_code=currency, minor_units=units[currency])
        assert price_list.price(*product, currency) == expected
    else:
        with pytest.raises(CurrencyNotSupported) as refused:
            price_list.price(*product, currency)
        known = [code for code in CODES if code in units]
        assert refused.value.metadata == {"currency": currency, "known": ", ".join(known)}
        assert ", ".join(known) in str(refused.value)


@given(prices=LISTS, data=st.data(), currency=st.sampled_from(CODES))
def test_items_have_a_quote_in_exactly_the_currencies_that_all_of_them_have(
    prices: dict[Product, dict[str, int]], data: st.DataObject, currency: str
) -> None:
    price_list = a_list(prices)
    products = data.draw(st.lists(st.sampled_from(sorted(prices)), min_size=1, max_size=5))
    items = [Item(chain_profile_id=c, node_type=n, duration=d) for c, n, d in products]

    shared = price_list.currencies_of(items)

    assert list(shared) == [c for c in CODES if all(c in prices[p] for p in products)]
    if currency in shared:
        quote = price_list.quote(items, currency)
        assert [line.unit_price.minor_units for line in quote.items] == [
            prices[product][currency] for product in products
        ]
        assert quote.total == Money(
            currency_code=currency, minor_units=sum(prices[p][currency] for p in products)
        )
        assert {line.unit_price.currency_code for line in quote.items} == {currency}
    else:
        with pytest.raises(CurrencyNotSupported):
            price_list.quote(items, currency)


@pytest.mark.parametrize(
    ("currencies", "units"),
    [
        ((), {"USD": 1}),
        (("USD", "USD"), {"USD": 1}),
        (("USD", "usd"), {"USD": 1}),
        (("USD",), {}),
        (("USD",), {"EUR": 1}),
        (("USD", "EUR"), {"USD": 1, "EUR": 0}),
    ],
)
def test_a_wrong_list_of_currencies_cannot_be_built(
    currencies: tuple[str, ...], units: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match=r"currencies|a/b/c"):
        PriceList(currencies=currencies, prices={("a", "b", "c"): units}, version="v1")


# -- the file ----------------------------------------------------------------------------------


def test_a_file_has_prices_in_several_currencies(tmp_path: Path) -> None:
    prices = load_prices(written(tmp_path, FOUR))

    assert prices.currencies == ("USD", "EUR", "BRL", "JPY")
    assert prices.default_currency == "USD"
    assert prices.prices[("eth", "full", "30d")] == {
        "USD": 14900,
        "EUR": 13900,
        "BRL": 79900,
        "JPY": 22000,
    }
    assert prices.prices[("eth", "full", "1d")] == {"USD": 740}


def test_a_file_in_one_currency_may_name_it_with_either_key(tmp_path: Path) -> None:
    one = load_prices(written(tmp_path, "currency: JPY\nprices: {a: {b: {c: 5}}}"))
    same = load_prices(written(tmp_path, "currencies: [JPY]\nprices: {a: {b: {c: {JPY: 5}}}}"))
    assert (one.currencies, one.prices) == (same.currencies, same.prices)


@pytest.mark.parametrize(
    ("text", "line", "key", "what"),
    [
        ("currencies: [USD]\ncurrency: USD\nprices: {a: {b: {c: 1}}}", 2, "currency", "remove it"),
        ("currencies: USD\nprices: {a: {b: {c: 1}}}", 1, "currencies", "must be a list"),
        ("currencies: []\nprices: {a: {b: {c: 1}}}", 1, "currencies", "must be a list"),
        ("currencies:\n- USD\n- Eur\nprices: {a: {b: {c: 1}}}", 3, "currencies.1", "is 'Eur'"),
        ("currencies:\n- USD\n- USD\nprices: {a: {b: {c: 1}}}", 3, "currencies.1", "duplicate"),
        (
            "currencies:\n- USD\n- EUR\nprices: {a: {b: {c: 1}}}",
            3,
            "currencies.1",
            "no product has a price in EUR: add one, or remove the currency",
        ),
        (
            "currencies: [USD]\nprices:\n  a:\n    b:\n      c: {USD: 1, EUR: 2}",
            5,
            "prices.a.b.c.EUR",
            "is not a currency of the list (USD): add it to `currencies`",
        ),
        (
            "currency: USD\nprices:\n  a:\n    b:\n      c: {USD: 1, amount: 2}",
            5,
            "prices.a.b.c.amount",
            "is not a currency of the list",
        ),
        (
            "currencies: [USD]\nprices:\n  a:\n    b:\n      c:\n        USD: 1.5",
            6,
            "prices.a.b.c.USD",
            "whole number of minor units",
        ),
        (
            "currencies: [USD]\nprices:\n  a:\n    b:\n      c:\n        USD: 1\n        USD: 2",
            7,
            "prices.a.b.c.USD",
            "duplicate key",
        ),
        (
            "currencies: [USD]\nprices:\n  a:\n    b:\n      c: {USD: {EUR: 1}}",
            5,
            "prices.a.b.c.USD",
            "whole number of minor units",
        ),
    ],
)
def test_a_mistake_is_refused_by_line_and_key(
    tmp_path: Path, text: str, line: int, key: str, what: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_prices(written(tmp_path, text))
    [problem] = refused.value.problems
    assert (int(problem.where.rpartition(":")[2]), problem.key) == (line, key)
    assert what in problem.what


def test_every_mistake_is_shown_at_once(tmp_path: Path) -> None:
    text = "currencies: [USD, UDS, EUR]\nprices:\n  a: {b: {c: {USD: 0, CHF: 1}, d: x}}\n"
    with pytest.raises(ConfigError) as refused:
        load_prices(written(tmp_path, text))
    assert {problem.key for problem in refused.value.problems} == {
        "currencies.1",
        "currencies.2",
        "prices.a.b.c.USD",
        "prices.a.b.c.CHF",
        "prices.a.b.d",
    }


def test_a_second_price_in_the_same_currency_is_refused() -> None:
    rows = [
        PriceRow(product=("a", "b", "c"), currency=code, minor_units=1, lines=(2, 3, 4), line=4)
        for code in (None, "USD")
    ]
    with pytest.raises(PricesInvalid, match=r"prices\.a\.b\.c\.USD: is a duplicate"):
        parse_prices(
            currencies=[CurrencyRow(key="currency", line=1, code="USD")], rows=rows, version="v"
        )


def test_a_product_without_a_price_in_a_currency_names_those_that_it_has() -> None:
    prices = a_list({("a", "b", "c"): {"USD": 1, "JPY": 2}, ("a", "b", "d"): {"EUR": 3}})
    with pytest.raises(CurrencyNotSupported) as refused:
        prices.price("a", "b", "c", "EUR")
    assert str(refused.value) == "a/b/c has no price in 'EUR'; it has one in: USD, JPY"
    assert refused.value.metadata == {"currency": "EUR", "known": "USD, JPY"}
    item = Item(chain_profile_id="a", node_type="b", duration="e")
    with pytest.raises(UnknownProduct) as unknown:
        prices.currencies_of([item])
    assert unknown.value.metadata == {"chain_profile_id": "a", "node_type": "b", "duration": "e"}
