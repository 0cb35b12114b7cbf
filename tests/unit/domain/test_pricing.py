"""The price list prices exactly, and a file with one mistake in it is refused by line and key."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.prices import one_currency

from payd.config import ConfigError, Problem, load_prices
from payd.domain.errors import InvalidField, UnknownProduct
from payd.domain.money import MINOR_UNITS_MAX, Money
from payd.domain.price_rows import (
    CurrencyRow,
    PriceProblem,
    PriceRow,
    PricesInvalid,
    parse_prices,
)
from payd.domain.pricing import (
    ITEMS_MAX,
    PRICE_MAX,
    PriceList,
    Product,
    wrong_currency,
    wrong_name,
    wrong_price,
)
from payd.domain.request import Item

USD = CurrencyRow(key="currency", line=1, code="USD")
SHIPPED = Path(__file__).parents[3] / "config" / "pricing.yaml"

NAMES = st.text("az09._-", min_size=1, max_size=64).filter(lambda name: name[0] in "az09")
PRICES = st.dictionaries(
    st.tuples(NAMES, NAMES, NAMES), st.integers(1, PRICE_MAX), min_size=1, max_size=6
)

WRONG_PRICES = {
    "a float": "149.00",
    "a float without a fraction": "1e3",
    "a negative": "-14900",
    "nothing to pay": "0",
    "a quoted number": '"14900"',
    "a word": "free",
    "a switch": "true",
    "a null": "~",
    "nothing": "",
    "a list": "[14900]",
    "an empty mapping": "{}",
    "more than a hundred of fit a bigint": str(PRICE_MAX + 1),
    "more digits than Python would read": "9" * 5000,
    "an octal": "0o17",
    "an old octal": "017",
    "a hexadecimal": "0xFF",
    "thousands with underscores": "14_900",
    "thousands with a comma": "14,900",
    "a base-60 number": "2:29",
    "infinity": ".inf",
    "a date": "2026-01-01",
    "a tag": "!!int 14900",
}


def an_item(name: str = "ethereum-mainnet/full/30d") -> Item:
    chain_profile_id, node_type, duration = name.split("/")
    return Item(chain_profile_id=chain_profile_id, node_type=node_type, duration=duration)


def a_price_list(**prices: int) -> PriceList:
    priced = prices or {"30d": 14_900}
    products = {("ethereum-mainnet", "full", d.lstrip("_")): p for d, p in priced.items()}
    return one_currency("USD", products)


def as_yaml(prices: dict[Product, int], wrong: Product | None = None, text: str = "") -> str:
    """A price file; `wrong` is written as `text` instead of its price."""
    tree: dict[str, dict[str, dict[str, str]]] = {}
    for product, price in prices.items():
        chain, node_type, duration = product
        written = text if product == wrong else str(price)
        tree.setdefault(chain, {}).setdefault(node_type, {})[duration] = written
    lines = ["currency: USD", "prices:"]
    for chain, node_types in tree.items():
        lines.append(f'  "{chain}":')
        for node_type, durations in node_types.items():
            lines.append(f'    "{node_type}":')
            lines += [f'      "{d}": {written}' for d, written in durations.items()]
    return "\n".join(lines) + "\n"


def line_of(yaml: str, product: Product) -> int:
    chain, node_type, duration = product
    lines = yaml.splitlines()
    at = lines.index(f'  "{chain}":')
    at = lines.index(f'    "{node_type}":', at)
    return (
        next(n for n, line in enumerate(lines[at:], at) if line.startswith(f'      "{duration}":'))
        + 1
    )


def load(text: str | bytes) -> PriceList:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pricing.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_prices(file)


def refusals(text: str | bytes) -> list[Problem]:
    with pytest.raises(ConfigError) as refused:
        load(text)
    return list(refused.value.problems)


def only_refusal(text: str | bytes) -> tuple[int, str, str]:
    """Line, key and reason of the one problem."""
    (problem,) = refusals(text)
    return int(problem.where.rsplit(":", 1)[1]), problem.key, problem.what


@given(prices=PRICES, chosen=st.data())
def test_a_quote_costs_exactly_what_the_file_says(
    prices: dict[Product, int], chosen: st.DataObject
) -> None:
    text = as_yaml(prices)
    price_list = load(text)
    products = chosen.draw(st.lists(st.sampled_from(sorted(prices)), min_size=1, max_size=20))

    quote = price_list.quote([an_item("/".join(product)) for product in products], "USD")

    assert [line.unit_price.minor_units for line in quote.items] == [prices[p] for p in products]
    assert quote.total == Money(
        currency_code="USD", minor_units=sum(prices[product] for product in products)
    )
    assert quote.pricing_version == hashlib.sha256(text.encode()).hexdigest()


@given(
    prices=PRICES,
    text=st.one_of(
        st.sampled_from(sorted(WRONG_PRICES.values())),
        st.integers(max_value=0).map(str),
        st.integers(min_value=PRICE_MAX + 1).map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
    ),
    chosen=st.data(),
)
def test_one_wrong_price_refuses_the_whole_file_by_line_and_key(
    prices: dict[Product, int], text: str, chosen: st.DataObject
) -> None:
    wrong = chosen.draw(st.sampled_from(sorted(prices)))
    yaml = as_yaml(prices, wrong, text)
    key = ".".join(("prices", *wrong))

    line, refused, _ = only_refusal(yaml)
    assert (line, refused) == (line_of(yaml, wrong), key)


@given(prices=PRICES, chosen=st.data())
def test_a_product_priced_twice_is_refused_by_line_and_key(
    prices: dict[Product, int], chosen: st.DataObject
) -> None:
    twice = chosen.draw(st.sampled_from(sorted(prices)))
    lines = as_yaml(prices).splitlines()
    first = line_of("\n".join(lines), twice)
    lines.insert(first, lines[first - 1])

    line, key, what = only_refusal("\n".join(lines))

    assert (line, key) == (first + 1, ".".join(("prices", *twice)))
    assert f"line {first}" in what


@pytest.mark.parametrize("text", WRONG_PRICES.values(), ids=WRONG_PRICES)
def test_a_price_is_a_plain_positive_whole_number(text: str) -> None:
    product = ("ethereum-mainnet", "full", "30d")
    yaml = as_yaml({product: 1}, product, text)
    _, key, _ = only_refusal(yaml)
    assert key == "prices.ethereum-mainnet.full.30d"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("", 1, "(top level)"),
        ("# nothing\n", 1, "(top level)"),
        ("- currency\n", 1, "(top level)"),
        ("currency: usd\nprices: {a: {b: {c: 1}}}", 1, "currency"),
        ("currency: USDC\nprices: {a: {b: {c: 1}}}", 1, "currency"),
        ("currency: UDS\nprices: {a: {b: {c: 1}}}", 1, "currency"),
        ("currency: 840\nprices: {a: {b: {c: 1}}}", 1, "currency"),
        ("prices: {a: {b: {c: 1}}}", 1, "currency"),
        ("currency: USD", 1, "prices"),
        ("currency: USD\nprices:", 2, "prices"),
        ("currency: USD\nprices: {}", 2, "prices"),
        ("currency: USD\nprices: []", 2, "prices"),
        ("currency: USD\nprices: 5", 2, "prices"),
        ("currency: USD\nprices:\n  a: {}", 3, "prices.a"),
        ("currency: USD\nprices:\n  a:\n    b: {}", 4, "prices.a.b"),
        ("currency: USD\nprices:\n  a:\n    b: 5", 4, "prices.a.b"),
        ("currency: USD\nprices:\n  a:\n    b: {c: 1}\n  a:\n    b: {d: 1}", 5, "prices.a"),
        ("currency: USD\ncurrency: USD\nprices: {a: {b: {c: 1}}}", 2, "currency"),
        ("currency: USD\nprices: {a: {b: {c: 1}}}\ndiscount: 5", 3, "discount"),
        ("currency: USD\nprices:\n  A: {b: {c: 1}}", 3, "prices.A"),
        ("currency: USD\nprices:\n  a:\n    b c: {d: 1}", 4, "prices.a.b c"),
        ("currency: USD\nprices:\n  a:\n    b: {30 days: 1}", 4, "prices.a.b.30 days"),
        ("currency: USD\nprices:\n  '': {b: {c: 1}}", 3, "prices."),
        (f"currency: USD\nprices:\n  {'a' * 65}: {{b: {{c: 1}}}}", 3, f"prices.{'a' * 65}"),
        ("currency: USD\nprices:\n  a:\n    b: {30: 1}", 4, "prices.a.b"),
        ("currency: USD\nprices:\n  a: &x {b: {c: 1}}", 3, "prices.a"),
        ("currency: USD\nprices:\n  a: {b: {c: 1}}\n  b: *a", 4, "prices.b"),
        ("currency: USD\nprices: {a: {b: {c: 1}}}\n---\na: 1", 3, "(top level)"),
        ("currency: USD\nprices: {a: {b: {c: 1}}", 3, "(syntax)"),
        ("currency: USD\nprices:\n\t- a", 3, "(syntax)"),
        (b"currency: USD\nprices: {\xff: 1}", 2, "(file)"),
        (b"currency: USD\nprices: {\x00: 1}", 1, "(syntax)"),
    ],
)
def test_a_broken_price_file_is_refused_with_its_line_and_key(
    text: str | bytes, line: int, key: str
) -> None:
    problem = refusals(text)[0]
    assert (int(problem.where.rsplit(":", 1)[1]), problem.key) == (line, key)


def test_every_mistake_is_shown_at_once() -> None:
    problems = refusals("currency: usd\nprices:\n  a:\n    b: {c: 1.5, d: 0, e: 5}\nmore: 1\n")
    assert {problem.key for problem in problems} == {
        "currency",
        "prices.a.b.c",
        "prices.a.b.d",
        "more",
    }


def test_an_alias_bomb_is_refused_at_once() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{name}: &{name} [*{before}, *{before}]\n"
        for before, name in zip("abcdefghijklmnopqrstuvw", "bcdefghijklmnopqrstuvwx", strict=True)
    )
    assert any("anchors" in problem.what for problem in refusals(bomb))


def test_a_deep_nest_is_refused_before_it_hurts() -> None:
    (problem,) = refusals("prices: " + "[" * 200_000)
    assert "nest" in problem.what


def test_a_file_above_one_mebibyte_is_refused() -> None:
    (problem,) = refusals("#" * (1024 * 1024 + 1))
    assert "larger than" in problem.what


def test_a_missing_price_file_is_refused_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pricing\.file: cannot read .*none\.yaml"):
        load_prices(tmp_path / "none.yaml")


def test_the_version_is_the_hash_of_the_files_bytes() -> None:
    text = as_yaml({("a", "b", "c"): 1})
    assert load(text).version == hashlib.sha256(text.encode()).hexdigest()
    assert load(text + "\n").version != load(text).version


@pytest.mark.parametrize("name", ["30", "1.5", "1e3", "true", "null"])
def test_a_name_that_yaml_reads_as_something_else_needs_quotes(name: str) -> None:
    quoted = f"currency: USD\nprices: {{a: {{b: {{'{name}': 1}}}}}}"
    assert set(load(quoted).prices) == {("a", "b", name)}
    line, key, what = only_refusal(quoted.replace("'", ""))
    assert (line, key) == (2, "prices.a.b")
    assert "quote it" in what


def test_an_unknown_product_is_named() -> None:
    with pytest.raises(UnknownProduct) as refused:
        a_price_list().quote([an_item(), an_item("ethereum-mainnet/full/31d")], "USD")
    assert refused.value.metadata == {
        "chain_profile_id": "ethereum-mainnet",
        "node_type": "full",
        "duration": "31d",
    }


@pytest.mark.parametrize("count", [0, ITEMS_MAX + 1])
def test_a_quote_has_one_to_a_hundred_items(count: int) -> None:
    with pytest.raises(InvalidField, match="items"):
        a_price_list().quote([an_item()] * count, "USD")


def test_the_dearest_full_request_fits_a_bigint() -> None:
    dearest = a_price_list(_30d=PRICE_MAX)
    assert dearest.quote([an_item()] * ITEMS_MAX, "USD").total.minor_units <= MINOR_UNITS_MAX


@pytest.mark.parametrize(
    ("currency", "prices"),
    [
        ("XXX", {("a", "b", "c"): 1}),
        ("USD", {}),
        ("USD", {("a", "b", "c"): 0}),
        ("USD", {("a", "b", "c"): True}),
        ("USD", {("a", "B", "c"): 1}),
    ],
)
def test_a_wrong_price_list_cannot_be_built(currency: str, prices: dict[Product, int]) -> None:
    with pytest.raises(ValueError, match=r"."):
        one_currency(currency, prices)


def test_a_price_list_does_not_change_with_what_it_was_built_from() -> None:
    prices = {("ethereum-mainnet", "full", "30d"): 1}
    price_list = one_currency("USD", prices)
    prices[("ethereum-mainnet", "full", "30d")] = 2
    assert price_list.quote([an_item()], "USD").total.minor_units == 1


def test_rows_without_a_price_are_no_price_list() -> None:
    with pytest.raises(PricesInvalid, match="prices: must not be empty"):
        parse_prices(currencies=[USD], rows=[], version="v1")


def test_a_row_that_repeats_a_product_is_refused() -> None:
    rows = [
        PriceRow(product=("a", "b", "c"), minor_units=1, lines=(2, 3, n), line=n) for n in (4, 5)
    ]
    with pytest.raises(
        PricesInvalid,
        match=r"line 5: prices\.a\.b\.c: is a duplicate: the product already has a price in USD",
    ):
        parse_prices(currencies=[USD], rows=rows, version="v1")


def test_the_shipped_prices_cover_the_example_and_reward_length() -> None:
    shipped = load_prices(SHIPPED)
    assert shipped.quote([an_item("ethereum-mainnet/full/30d")], "USD").total.minor_units > 0
    chains = {chain for chain, _, _ in shipped.prices}
    assert len(chains) >= 6
    for chain, node_type in {product[:2] for product in shipped.prices}:
        per_day = [
            shipped.price(chain, node_type, f"{days}d", "USD").minor_units / days
            for days in (1, 7, 30, 90, 365)
        ]
        assert per_day == sorted(per_day, reverse=True), f"{chain}/{node_type}"


# -- the words of a refusal --------------------------------------------------------------------


def test_an_unknown_product_is_refused_in_words() -> None:
    with pytest.raises(UnknownProduct) as refused:
        a_price_list().quote([an_item("ethereum-mainnet/full/31d")], "USD")
    assert str(refused.value) == "no price for ethereum-mainnet/full/31d"


@pytest.mark.parametrize("count", [0, ITEMS_MAX + 1])
def test_a_wrong_number_of_items_is_refused_in_words(count: int) -> None:
    with pytest.raises(InvalidField) as refused:
        a_price_list().quote([an_item()] * count, "USD")
    assert str(refused.value) == f"items: needs 1 to 100 items, has {count}"


@pytest.mark.parametrize("name", ["a", "0", "a.b_c-d", "z" * 64])
def test_a_name_of_a_product_is_right(name: str) -> None:
    assert wrong_name(name) is None


@pytest.mark.parametrize("name", ["", "-a", "A", "z" * 65, "a b", 7, None])
def test_another_name_of_a_product_is_wrong(name: object) -> None:
    assert wrong_name(name) == (
        "must be 1 to 64 of a-z 0-9 . _ -, beginning with a letter or a digit"
    )


@pytest.mark.parametrize("currency", ["usd", "XXX", 840, None, ["USD"]])
def test_what_is_no_currency_is_refused_in_words(currency: object) -> None:
    assert wrong_currency(currency) == (
        f"must be an ISO 4217 code in capitals, such as USD; is {currency!r}"
    )
    assert wrong_currency("USD") is None


@pytest.mark.parametrize("price", [1, 2, PRICE_MAX])
def test_a_price_is_from_one_unit_to_the_highest(price: int) -> None:
    assert wrong_price(price) is None


def test_another_price_is_refused_in_words() -> None:
    for price in (0, PRICE_MAX + 1):
        assert wrong_price(price) == f"must be 1 to {PRICE_MAX} minor units; is {price}"
    for other in (True, "14900", 1.5, None):
        assert wrong_price(other) == (
            f"must be a whole number of minor units, unquoted; is {other!r}"
        )


# -- rows of a file ----------------------------------------------------------------------------

EUR = CurrencyRow(key="currencies.1", line=2, code="EUR")


def a_row(
    product: Product = ("a", "b", "c"),
    currency: str | None = None,
    line: int = 5,
    price: object = 1,
) -> PriceRow:
    lines = (line - 2, line - 1, line)
    return PriceRow(product=product, currency=currency, minor_units=price, lines=lines, line=line)


def problems_of(
    currencies: list[CurrencyRow], *rows: PriceRow
) -> tuple[tuple[PriceProblem, ...], str]:
    with pytest.raises(PricesInvalid) as refused:
        parse_prices(currencies=currencies, rows=rows, version="v1")
    return refused.value.problems, str(refused.value)


def test_rows_become_a_price_list() -> None:
    rows = (a_row(price=3), a_row(currency="EUR", price=4), a_row(("a", "b", "d"), price=5))
    priced = parse_prices(currencies=[USD, EUR], rows=rows, version="v1")
    assert (priced.currencies, priced.version) == (("USD", "EUR"), "v1")
    assert priced.prices == {("a", "b", "c"): {"USD": 3, "EUR": 4}, ("a", "b", "d"): {"USD": 5}}


def test_no_row_at_all_is_one_problem() -> None:
    [problem], words = problems_of([USD])
    assert problem == PriceProblem(key="prices", line=1, what="must not be empty")
    assert words == "line 1: prices: must not be empty"


def test_a_currency_is_refused_where_it_is_unknown_or_repeated_or_without_a_price() -> None:
    wrong = CurrencyRow(key="currencies.2", line=3, code="UDS")
    again = CurrencyRow(key="currencies.3", line=4, code="USD")
    problems, words = problems_of([USD, EUR, wrong, again], a_row())
    assert problems == (
        PriceProblem(
            key="currencies.1",
            line=2,
            what="no product has a price in EUR: add one, or remove the currency",
        ),
        PriceProblem(
            key="currencies.2",
            line=3,
            what="must be an ISO 4217 code in capitals, such as USD; is 'UDS'",
        ),
        PriceProblem(key="currencies.3", line=4, what="is a duplicate: USD is listed already"),
    )
    assert words == "; ".join(f"line {p.line}: {p.key}: {p.what}" for p in problems)


@pytest.mark.parametrize("currency", [None, "EUR"])
def test_prices_are_not_blamed_for_a_currency_that_is_wrong(currency: str | None) -> None:
    wrong = CurrencyRow(key="currency", line=1, code="UDS")
    [problem], _ = problems_of([wrong], a_row(currency=currency))
    assert problem.key == "currency"


def test_a_repeated_product_is_named_also_where_no_currency_is_valid() -> None:
    wrong = CurrencyRow(key="currency", line=1, code="UDS")
    [_, problem], _ = problems_of([wrong], a_row(line=5), a_row(line=6))
    assert (problem.line, problem.what) == (
        6,
        "is a duplicate: the product already has a price",
    )


@pytest.mark.parametrize(
    ("product", "key", "line", "part"),
    [
        (("A", "b", "c"), "prices.A", 3, "chain_profile_id"),
        (("a", "B", "c"), "prices.a.B", 4, "node_type"),
        (("a", "b", "C"), "prices.a.b.C", 5, "duration"),
    ],
)
def test_a_wrong_part_of_a_name_is_refused_where_it_stands(
    product: Product, key: str, line: int, part: str
) -> None:
    [problem], _ = problems_of([USD], a_row(product))
    what = f"{part} must be 1 to 64 of a-z 0-9 . _ -, beginning with a letter or a digit"
    assert problem == PriceProblem(key=key, line=line, what=what)


def test_wrong_prices_are_refused_each_once_in_the_order_of_the_lines() -> None:
    rows = (
        a_row(("a", "b", "e"), line=9, price="1"),
        a_row(("a", "b", "d"), "CHF", line=8),
        a_row(line=5),
        a_row(line=6),
        a_row(line=7),
        a_row(currency="EUR", line=4),
    )
    problems, _ = problems_of([USD, EUR], *rows)
    assert problems == (
        PriceProblem(
            key="prices.a.b.c",
            line=6,
            what="is a duplicate: the product already has a price in USD",
        ),
        PriceProblem(
            key="prices.a.b.d.CHF",
            line=8,
            what="is not a currency of the list (USD, EUR): add it to `currencies`",
        ),
        PriceProblem(
            key="prices.a.b.e",
            line=9,
            what="must be a whole number of minor units, unquoted; is '1'",
        ),
    )


def test_every_currency_without_a_price_is_named() -> None:
    yen = CurrencyRow(key="currencies.2", line=3, code="JPY")
    problems, _ = problems_of([USD, EUR, yen], a_row())
    assert [(problem.key, problem.line) for problem in problems] == [
        ("currencies.1", 2),
        ("currencies.2", 3),
    ]


def test_a_quote_names_its_products_in_the_order_of_the_request() -> None:
    price_list = a_price_list(_30d=3, _1d=1)
    items = [an_item("ethereum-mainnet/full/30d"), an_item("ethereum-mainnet/full/1d")]
    quote = price_list.quote(items, "USD")
    named = [(line.chain_profile_id, line.node_type, line.duration) for line in quote.items]
    assert named == [("ethereum-mainnet", "full", "30d"), ("ethereum-mainnet", "full", "1d")]
