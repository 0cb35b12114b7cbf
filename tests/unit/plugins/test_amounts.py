"""What a method says about its amounts is what a price list and a quote are held against."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payd.plugins import AmountRule, Money

RULE = AmountRule(min_minor_units=50, max_minor_units=1000, step_minor_units=10)


def usd(minor_units: int) -> Money:
    return Money(currency_code="USD", minor_units=minor_units)


@given(price=st.integers(1, 2000), quantity=st.integers(1, 5))
def test_a_total_is_taken_exactly_where_price_and_total_fit(price: int, quantity: int) -> None:
    total = price * quantity
    fits = price % 10 == 0 and price <= 1000 and 50 <= total <= 1000
    wrong = RULE.wrong_with([usd(price)] * quantity, usd(total))
    assert (wrong is None) == fits


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        (15, "the price 0.15 USD is not a multiple of 0.10 USD"),
        (1010, "the price 10.10 USD is above the maximum of 10.00 USD"),
        # Five of them can be sold.
        (10, None),
    ],
)
def test_a_price_is_refused_when_no_quantity_of_it_can_be_sold(
    price: int, reason: str | None
) -> None:
    assert RULE.wrong_with_price(usd(price)) == reason


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        ([40], "the total 0.40 USD is below the minimum of 0.50 USD"),
        ([600, 600], "the total 12.00 USD is above the maximum of 10.00 USD"),
        ([25, 25], "the price 0.25 USD is not a multiple of 0.10 USD"),
    ],
)
def test_the_reason_names_the_amount_and_the_bound(prices: list[int], reason: str) -> None:
    assert RULE.wrong_with(map(usd, prices), usd(sum(prices))) == reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_minor_units": 2, "max_minor_units": 1},
        {"step_minor_units": 0},
        {"min_minor_units": -1},
        {"max_minor_units": 2**63},
    ],
)
def test_a_rule_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"larger than the largest|must be [<>]="):
        AmountRule(**wrong)
