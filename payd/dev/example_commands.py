"""Write an example command for each enabled payment method, for the banner of `payd dev`."""

import re
from collections.abc import Callable, Iterable, Sequence

from payd.dev.companion_context import EXAMPLE_ITEM
from payd.domain.pricing import PriceList
from payd.plugins import Method

_METHOD = re.compile(r"--method ([a-z0-9_-]+)")


def example_commands(
    banner: Sequence[str],
    methods: Iterable[Method],
    prices: PriceList,
    command: Callable[[str], str],
) -> list[str]:
    """Return the companions' lines and, for every method that they leave out, one more.

    A method that no companion plays has its remote side elsewhere: its command starts a payment
    there. `command` makes a command line of payd's arguments.
    """
    shown = set(_METHOD.findall("\n".join(banner)))
    missing = [method for method in methods if method.key not in shown]
    return [*banner, *(_example(method, prices, command) for method in missing)]


def _example(method: Method, prices: PriceList, command: Callable[[str], str]) -> str:
    priced = _priced(method, prices)
    if priced is None:
        return f"# {method.key}: the price list has no price in {', '.join(method.currencies)}"
    item, currency = priced
    arguments = f"pay --item {item} --method {method.key}"
    if currency != prices.default_currency:
        arguments += f" --currency {currency}"
    tokens = [token.code for token in method.crypto_currencies if token.pays(currency)]
    if tokens:
        arguments += f" --crypto-currency {tokens[0]} --no-wait"
    return command(arguments)


def _priced(method: Method, prices: PriceList) -> tuple[str, str] | None:
    """A product, the usual one if possible, and a currency in which the method can charge it."""
    products = {"/".join(product): units for product, units in prices.prices.items()}
    usual = {EXAMPLE_ITEM: products[EXAMPLE_ITEM]} if EXAMPLE_ITEM in products else {}
    for item, units in (usual | products).items():
        for currency in prices.currencies:
            if currency in units and currency in method.currencies:
                return item, currency
    return None
