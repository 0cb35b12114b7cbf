"""Money between a currency and a token: exact on the way in, rounded down on the way back."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.builders import TERMS

from payd.domain.money import MINOR_UNITS_MAX, Money, base_units, currency_exponent, written
from payd.domain.text import BASE_UNITS_MAX


@pytest.mark.parametrize(("code", "exponent"), [("JPY", 0), ("USD", 2), ("KWD", 3), ("ZZZ", 2)])
def test_a_currency_has_hundredths_unless_iso_4217_says_otherwise(code: str, exponent: int) -> None:
    assert currency_exponent(code) == exponent


@pytest.mark.parametrize(
    ("minor_units", "currency", "text"),
    [(123450, "USD", "1,234.50 USD"), (7, "KWD", "0.007 KWD"), (1500, "JPY", "1,500 JPY")],
)
def test_amounts_are_written_in_units_of_the_currency(
    minor_units: int, currency: str, text: str
) -> None:
    assert written(Money(currency_code=currency, minor_units=minor_units)) == text


@pytest.mark.parametrize(
    ("code", "units", "decimals", "tokens"),
    [
        ("USD", 1, 6, 10_000),
        ("USD", 1, 2, 1),
        ("JPY", 7, 6, 7_000_000),
        ("KWD", 1_001, 6, 1_001_000),
        ("KWD", 1_010, 2, 101),
        ("KWD", 1_100, 1, 11),
    ],
)
def test_an_amount_has_one_exact_sum_in_tokens(
    code: str, units: int, decimals: int, tokens: int
) -> None:
    assert base_units(Money(currency_code=code, minor_units=units), decimals) == tokens


@given(st.integers(0, 10**30), st.integers(0, 18), st.sampled_from(["JPY", "USD", "KWD"]))
def test_tokens_in_money_are_never_more_than_arrived(tokens: int, decimals: int, code: str) -> None:
    terms = attrs.evolve(TERMS, decimals=decimals)
    minor = terms.minor_units(tokens, code)
    assert minor * 10**decimals <= tokens * 10 ** currency_exponent(code)
    assert (minor + 1) * 10**decimals > tokens * 10 ** currency_exponent(code)


def test_the_largest_amounts_of_the_database_are_amounts() -> None:
    assert Money(currency_code="USD", minor_units=MINOR_UNITS_MAX).minor_units == 2**63 - 1
    assert attrs.evolve(TERMS, due_base_units=BASE_UNITS_MAX).due_base_units == 2**256 - 1


def test_the_largest_bill_in_the_finest_token_is_not_rounded() -> None:
    largest = Money(currency_code="USD", minor_units=MINOR_UNITS_MAX)
    due = base_units(largest, 18)
    assert due == (2**63 - 1) * 10**16
    assert attrs.evolve(TERMS, decimals=18).minor_units(due, "USD") == 2**63 - 1


def test_terms_name_a_whole_address_and_nothing_after_it() -> None:
    with pytest.raises(ValueError, match="address"):
        attrs.evolve(TERMS, token_address=TERMS.token_address + "0")
    with pytest.raises(ValueError, match="address"):
        attrs.evolve(TERMS, token_address=TERMS.token_address + "\n")
