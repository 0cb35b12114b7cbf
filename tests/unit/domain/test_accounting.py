"""Days of a time zone, and sums of amounts."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import attrs
import pytest

from payd.domain.accounting import Account, Amounts, Period, Sums, Unit

EURO = Account(provider="stripe", method="card", unit=Unit(currency="EUR", decimals=2))


def a_period(first: str, last: str, zone: str = "UTC") -> Period:
    return Period(
        first=date.fromisoformat(first), last=date.fromisoformat(last), zone=ZoneInfo(zone)
    )


def test_a_period_is_its_days_with_the_last_one() -> None:
    period = Period(first=date(2026, 1, 31), last=date(2026, 2, 1))
    assert period.begin == datetime(2026, 1, 31, tzinfo=UTC)
    assert period.end == datetime(2026, 2, 2, tzinfo=UTC)
    assert a_period("2026-01-31", "2026-01-31", "Europe/Berlin").begin.tzinfo is UTC
    assert [str(day.date) for day in period.days(period.begin)] == ["2026-01-31", "2026-02-01"]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("UTC", "2026-03-29", 24),
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        # The clocks skip midnight here.
        ("Africa/Cairo", "2026-04-24", 23),
    ],
)
def test_a_day_is_as_long_as_its_time_zone_says(zone: str, day: str, hours: int) -> None:
    period = a_period(day, day, zone)
    [only] = period.days(period.begin)
    assert only.end - only.begin == timedelta(hours=hours)
    assert (only.begin, only.end) == (period.begin, period.end)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Africa/Cairo", "Pacific/Apia"])
def test_days_follow_each_other_and_a_moment_is_on_its_day(zone: str) -> None:
    period = a_period("2026-01-01", "2026-12-31", zone)
    days = list(period.days(period.begin))
    assert len(days) == 365
    assert [one.end for one in days[:-1]] == [one.begin for one in days[1:]]
    for one in days:
        assert period.day_of(one.begin) == period.day_of(one.end - timedelta.resolution) == one.date


def test_days_go_on_from_a_moment() -> None:
    period = a_period("2026-01-01", "2026-01-03", "Europe/Berlin")
    second, third = list(period.days(period.begin))[1:]
    assert list(period.days(second.begin)) == [second, third]
    assert list(period.days(third.begin)) == [third]
    assert list(period.days(third.end)) == []


def test_net_is_what_is_left() -> None:
    amounts = Amounts(gross=1000, refunded=300, disputed=-100, fee=29)
    assert amounts.net == 771
    assert Amounts(gross=1000).net == 1000


def test_a_fee_is_the_sum_of_those_that_are_known() -> None:
    unknown, known = Amounts(gross=1), Amounts(gross=2, fee=0)
    assert (unknown + unknown).fee is None
    assert (unknown + known).fee == 0
    assert (known + Amounts(fee=7)).fee == 7


def test_sums_add_each_number() -> None:
    one = Sums(
        account=EURO,
        payments=1,
        refunds=2,
        disputes=3,
        dispute_returns=4,
        payments_with_fee=1,
        amounts=Amounts(gross=10**77, refunded=1, disputed=2, fee=3),
    )
    both = one + one
    assert both.movements == 2 * one.movements == 20
    assert both.payments_with_fee == 2
    assert both.amounts == Amounts(gross=2 * 10**77, refunded=2, disputed=4, fee=6)
    assert both.account == EURO


def test_accounts_have_an_order() -> None:
    token = Unit(currency="USDC", decimals=6, chain_id=1, token_address="0x" + "a" * 40)
    crypto = Account(provider="tempo", method="crypto", unit=token)
    other = attrs.evolve(crypto, unit=attrs.evolve(token, chain_id=2))
    assert sorted([other, crypto, EURO], key=Account.order) == [EURO, crypto, other]
