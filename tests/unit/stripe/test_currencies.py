"""Amounts between payd, in minor units of ISO 4217, and Stripe, in Stripe's own units."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from stripe_provider import currencies
from stripe_provider.companion import currencies as stand_in
from stripe_provider.config import StripeConfig, methods_of
from stripe_provider.disputes import dispute
from stripe_provider.parameters import session_parameters
from stripe_provider.refunds import refund_snapshot
from stripe_provider.sessions import snapshot
from unit.stripe.builders import a_dispute, a_refund, a_session, an_item, an_operation

from payd.plugins import InvalidRequest, Money, currency_exponent

#: What one whole unit of the currency is, at Stripe (docs.stripe.com/currencies).
ONE_AT_STRIPE = {"USD": 100, "JPY": 1, "ISK": 100, "MGA": 1, "KWD": 1000, "HUF": 100, "TWD": 100}


def one(currency: str, whole: int = 1) -> Money:
    return Money(currency_code=currency, minor_units=whole * 10 ** currency_exponent(currency))


def sent(minor_units: int, currency: str) -> int:
    operation = an_operation(items=[an_item(minor_units, currency=currency)])
    [line] = session_parameters(operation)["line_items"]
    units: int = line["price_data"]["unit_amount"]
    return units


def refusal(minor_units: int, currency: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        sent(minor_units, currency)
    assert refused.value.field == "items"
    return refused.value.message


@pytest.mark.parametrize(("currency", "units"), ONE_AT_STRIPE.items())
def test_a_price_leaves_in_stripes_units(currency: str, units: int) -> None:
    assert sent(one(currency, 500).minor_units, currency) == 500 * units


@pytest.mark.parametrize(("currency", "units"), ONE_AT_STRIPE.items())
def test_what_was_paid_comes_back_in_iso_units(currency: str, units: int) -> None:
    session = a_session(
        status="complete",
        payment_status="paid",
        amount_total=500 * units,
        currency=currency.lower(),
    )
    found = snapshot(session, datetime(2026, 11, 1, tzinfo=UTC))
    assert found.due == found.received == found.confirmed == one(currency, 500).minor_units


@pytest.mark.parametrize(("currency", "units"), ONE_AT_STRIPE.items())
def test_what_was_refunded_or_disputed_comes_back_in_iso_units(currency: str, units: int) -> None:
    changes: Any = {"amount": 3 * units, "currency": currency.lower()}
    refunded = refund_snapshot(a_refund(**changes))
    disputed = dispute(a_dispute(**changes), datetime(2026, 11, 1, tzinfo=UTC))
    assert refunded.amount == disputed.amount == one(currency, 3).minor_units


@given(data=st.data(), currency=st.sampled_from(sorted(currencies.KNOWN)))
def test_every_amount_that_is_sent_comes_back_as_it_was(data: st.DataObject, currency: str) -> None:
    rule = currencies.rule_of(currency)
    steps = st.integers(1, rule.max_minor_units // rule.step_minor_units)
    money = Money(currency_code=currency, minor_units=data.draw(steps) * rule.step_minor_units)
    units = currencies.to_stripe(money)
    assert currencies.to_iso(units, currency) == money.minor_units
    assert currencies.to_iso(units, currency, round_up=True) == money.minor_units
    assert currencies.MAX_UNITS >= units >= 1


def test_a_part_of_an_iso_unit_never_counts_for_the_merchant() -> None:
    # Half a krona: it cannot have been charged by payd, and is no whole unit anywhere.
    assert currencies.to_iso(150, "ISK") == 1
    assert currencies.to_iso(150, "ISK", round_up=True) == 2


@pytest.mark.parametrize(
    ("minor_units", "currency", "reason"),
    [
        (49, "USD", "below the minimum of 0.50 USD"),
        (29, "GBP", "below the minimum of 0.30 GBP"),
        (199, "AED", "below the minimum of 2.00 AED"),
        (1499, "CZK", "below the minimum of 15.00 CZK"),
        (199, "MYR", "below the minimum of 2.00 MYR"),
        (199, "PLN", "below the minimum of 2.00 PLN"),
        (199, "RON", "below the minimum of 2.00 RON"),
        (999, "THB", "below the minimum of 10.00 THB"),
        (17_499, "HUF", "below the minimum of 175.00 HUF"),
        (49, "JPY", "below the minimum of 50 JPY"),
        (10**12, "USD", "above the maximum of 9,999,999,999.99 USD"),
        (10**10, "ISK", "above the maximum of 9,999,999,999 ISK"),
        (1_235, "KWD", "a multiple of 0.010 KWD"),
        (150, "MGA", "a multiple of 1.00 MGA"),
    ],
)
def test_what_stripe_cannot_charge_is_refused_with_the_reason(
    minor_units: int, currency: str, reason: str
) -> None:
    assert reason in refusal(minor_units, currency)


@pytest.mark.parametrize("currency", ["IDR", "COP", "HUF"])
def test_more_than_eight_digits_can_be_charged(currency: str) -> None:
    assert sent(100_000_000, currency) == 100_000_000


@pytest.mark.parametrize("currency", sorted(currencies.REFUSED))
def test_a_currency_that_is_not_certain_is_refused_at_the_start(currency: str) -> None:
    with pytest.raises(ValidationError, match=currencies.REFUSED[currency][:20]):
        StripeConfig.model_validate({"currencies": ["USD", currency]})


@pytest.mark.parametrize("currency", ["XXX", "KPW", "USX"])
def test_a_currency_that_stripe_does_not_list_is_refused_at_the_start(currency: str) -> None:
    with pytest.raises(ValidationError, match=f"{currency}: not among the currencies"):
        StripeConfig.model_validate({"currencies": [currency]})


def test_the_method_declares_what_can_be_charged() -> None:
    [method] = methods_of(StripeConfig(currencies=("USD", "MGA")))
    assert set(method.amounts) == {"USD", "MGA"}
    assert method.amounts["MGA"].step_minor_units == 100


@pytest.mark.parametrize("currency", sorted(currencies.KNOWN))
def test_the_stand_in_and_the_plugin_agree(currency: str) -> None:
    """Two tables, written from the same page."""
    code = currency.lower()
    assert code in stand_in.KNOWN
    assert stand_in.decimals(code) == currencies.exponent(currency)
    assert stand_in.step(code) == currencies.step(currency)
    assert stand_in.least_charge(code) == currencies.min_units(currency)
    assert stand_in.LARGEST == currencies.MAX_UNITS


def test_neither_takes_what_is_not_certain() -> None:
    refused: Any = {code.lower() for code in currencies.REFUSED}
    assert not refused & stand_in.KNOWN
