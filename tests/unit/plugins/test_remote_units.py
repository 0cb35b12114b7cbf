"""A remote side's own units: what it writes is payd's amount, or is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payd.plugins import AmountRule, Money, RemoteUnits, currency_exponent

#: It writes yen with two decimals, and forints without any.
UNITS = RemoteUnits(decimals={"JPY": 2, "HUF": 0})
CURRENCIES = st.sampled_from(("USD", "JPY", "HUF", "KWD", "EUR"))


@given(currency=CURRENCIES, minor_units=st.integers(0, 2**63 - 1))
def test_an_amount_comes_back_as_it_left_or_cannot_leave(currency: str, minor_units: int) -> None:
    money = Money(currency_code=currency, minor_units=minor_units)
    rule = AmountRule(min_minor_units=0, step_minor_units=UNITS.step(currency))
    if rule.wrong_with_price(money) is not None:
        with pytest.raises(ValueError, match="decimals"):
            UNITS.to_remote(money)
        with pytest.raises(ValueError, match="decimals"):
            UNITS.format(money)
        return
    assert UNITS.from_remote(UNITS.to_remote(money), currency) == minor_units
    assert UNITS.parse(UNITS.format(money), currency) == minor_units


@pytest.mark.parametrize(
    ("currency", "minor_units", "text", "units"),
    [
        ("USD", 14900, "149.00", 14900),
        ("JPY", 1490, "1490.00", 149000),
        ("HUF", 149000, "1490", 1490),
        ("KWD", 1490, "1.490", 1490),
    ],
)
def test_each_currency_has_the_decimals_of_the_remote_side(
    currency: str, minor_units: int, text: str, units: int
) -> None:
    money = Money(currency_code=currency, minor_units=minor_units)
    assert UNITS.format(money) == text
    assert UNITS.to_remote(money) == units
    assert RemoteUnits().decimals_of(currency) == currency_exponent(currency)


@pytest.mark.parametrize("amount", ["1490.50", "1490.001"])
def test_a_part_of_a_minor_unit_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="more than 0 decimals"):
        UNITS.parse(amount, "JPY")
    with pytest.raises(ValueError, match="more than 0 decimals"):
        UNITS.from_remote(149050, "JPY")


@pytest.mark.parametrize("units", [149.0, True, "149"])
def test_units_are_integers(units: Any) -> None:
    with pytest.raises(TypeError, match="an integer"):
        UNITS.from_remote(units, "USD")
