"""The banner of `payd dev` has a command that works for every enabled method."""

import shlex

import pytest
from support.prices import one_currency

from payd.dev.example_commands import example_commands
from payd.domain.pricing import PriceList
from payd.plugins import CryptoCurrency, Method

USUAL = ("ethereum-mainnet", "full", "30d")
ANOTHER = ("base-mainnet", "full", "1d")
FOUR = PriceList(
    currencies=("USD", "EUR", "JPY"),
    prices={ANOTHER: {"JPY": 90}, USUAL: {"USD": 14900, "EUR": 13900}},
    version="v1",
)


def a_method(key: str, *currencies: str, tokens: tuple[str, ...] = ()) -> Method:
    return Method(
        key=key,
        display_name=key,
        currencies=currencies,
        crypto_currencies=tuple(
            CryptoCurrency(code=code, chain_id=1, token_address="0x" + "ab" * 20, decimals=6)
            for code in tokens
        ),
    )


def examples(*methods: Method, banner: tuple[str, ...] = (), prices: PriceList = FOUR) -> list[str]:
    return example_commands(banner, methods, prices, lambda arguments: f"payd {arguments} --here")


@pytest.mark.parametrize(
    ("method", "command"),
    [
        (a_method("card", "EUR", "USD"), "ethereum-mainnet/full/30d --method card"),
        (a_method("sepa", "EUR"), "ethereum-mainnet/full/30d --method sepa --currency EUR"),
        (a_method("konbini", "JPY"), "base-mainnet/full/1d --method konbini --currency JPY"),
        (
            a_method("crypto", "USD", tokens=("USDC", "USDT")),
            "ethereum-mainnet/full/30d --method crypto --crypto-currency USDC --no-wait",
        ),
    ],
)
def test_a_method_has_a_command_with_a_price_that_it_takes(method: Method, command: str) -> None:
    assert examples(method) == [f"payd pay --item {command} --here"]


def test_a_method_without_a_price_says_what_is_missing() -> None:
    [line] = examples(a_method("pix", "BRL"))
    assert line == "# pix: the price list has no price in BRL"
    assert shlex.split(line, comments=True) == []


def test_a_companion_s_own_command_comes_first_and_is_not_repeated() -> None:
    banner = ("payd pay --item a/b/c --method card-eu", "payd tempo pay PAYMENT_ID")
    lines = examples(a_method("card-eu", "USD"), a_method("card", "USD"), banner=banner)
    assert lines == [*banner, "payd pay --item ethereum-mainnet/full/30d --method card --here"]


def test_without_the_usual_product_another_is_bought() -> None:
    [line] = examples(a_method("card", "USD"), prices=one_currency("USD", {ANOTHER: 1}))
    assert "--item base-mainnet/full/1d" in line
