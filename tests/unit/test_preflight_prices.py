"""A price that no enabled method can charge stops the start, with each method's reason."""

from pathlib import Path

import pytest
from support.prices import one_currency

from payd.config import ConfigError
from payd.daemon.preflight import check_prices
from payd.domain.pricing import PriceList
from payd.plugins import AmountRule, Method

CARD = AmountRule(max_minor_units=10_000, step_minor_units=100)
WIRE = AmountRule(min_minor_units=5_000)


FILE = "/etc/payd/prices.yaml"


def check(prices: dict[str, int], *methods: Method) -> None:
    named = {(name, "full", "30d"): units for name, units in prices.items()}
    check_prices(Path(FILE), one_currency("USD", named, version="v"), methods)


def a_method(key: str, rule: AmountRule | None, currency: str = "USD") -> Method:
    amounts = {} if rule is None else {currency: rule}
    return Method(key=key, display_name=key, currencies=(currency,), amounts=amounts)


def test_every_price_that_cannot_be_charged_is_named_with_the_reason() -> None:
    with pytest.raises(ConfigError) as refused:
        check({"a": 100, "b": 150, "c": 20_000}, a_method("card", CARD))
    assert [str(problem).removeprefix(f"{FILE}: ") for problem in refused.value.problems] == [
        "prices.b.full.30d: method 'card': the price 1.50 USD is not a multiple of 1.00 USD",
        "prices.c.full.30d: method 'card': the price 200.00 USD is above the maximum of 100.00 USD",
    ]


def test_one_method_that_can_charge_it_is_enough() -> None:
    methods = (a_method("card", CARD), a_method("wire", WIRE))
    check({"b": 150, "c": 20_000}, *methods)
    check({"b": 150}, a_method("card", CARD), a_method("free", None))


def test_small_prices_can_be_sold_several_at_a_time() -> None:
    check({"a": 100}, a_method("wire", WIRE))


@pytest.mark.parametrize("methods", [(), (a_method("card", CARD, currency="EUR"),)])
def test_where_no_method_takes_the_currency_nothing_is_said_about_amounts(
    methods: tuple[Method, ...],
) -> None:
    check({"b": 150}, *methods)


def test_each_currency_is_checked_against_the_methods_that_take_it() -> None:
    """BRL is taken by no method, and EUR by one without a rule."""
    prices = PriceList(
        currencies=("USD", "EUR", "BRL"),
        prices={("a", "b", "c"): {"USD": 150, "EUR": 150, "BRL": 150}, ("a", "b", "d"): {"EUR": 1}},
        version="v",
    )
    free = a_method("free", None, currency="EUR")
    check_prices(Path(FILE), prices, [free])
    with pytest.raises(ConfigError) as refused:
        check_prices(Path(FILE), prices, iter([free, a_method("card", CARD)]))
    [problem] = refused.value.problems
    assert problem.key == "prices.a.b.c.USD"
