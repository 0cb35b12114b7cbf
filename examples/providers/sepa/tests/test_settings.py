"""Settings: the page's URL, and values that are refused because they would lose money."""

# ruff: noqa: S101 - asserts are what tests are made of

import pytest
from pydantic import ValidationError
from sepa_provider.config import SepaConfig, instructions_url
from sepa_provider.conformance import IBAN

SOUND = {
    "iban": "DE89 3704 0044 0532 0130 00",
    "instructions_url": "http://localhost:8000/?to={iban}&r={reference}&a={amount}&c={currency}",
    "ledger_file": "ledger.sqlite3",
    "statements_dir": "statements",
}


def test_the_page_url_names_what_to_transfer() -> None:
    url = instructions_url(SepaConfig.model_validate(SOUND), "RF12 &x", "EUR", 7)
    assert url == f"http://localhost:8000/?to={IBAN}&r=RF12%20%26x&a=0.07&c=EUR"


@pytest.mark.parametrize(
    "changed",
    [
        {"iban": "DE89370400440532013001"},
        {"instructions_url": "http://shop.example/?r={reference}&a={amount}"},
        {"instructions_url": "https://{reference}.example/{amount}"},
        {"instructions_url": "https://shop.example/?r={reference}"},
        {"instructions_url": "https://shop.example/?r={reference}&a={amount}&n={name}"},
        {"instructions_url": "https://shop.example/?r={reference!r}&a={amount}"},
        {"instructions_url": "https://shop.example/?r={reference}&a={amount"},
    ],
)
def test_a_setting_that_would_lose_money_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SepaConfig.model_validate({**SOUND, **changed})
