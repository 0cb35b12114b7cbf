"""The export of a period reads in bounded steps, and misses nothing between them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from payd.domain.accounting import Account, Amounts, DaySums, Movement, Period, Sums, Unit
from payd.domain.page import Page, Position
from payd.service import export_payments
from payd.service.export_payments import ExportPayments

HOUR = timedelta(hours=1)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
EURO = Account(provider="stripe", method="card", unit=Unit(currency="EUR", decimals=2))
DOLLAR = Account(provider="stripe", method="card", unit=Unit(currency="USD", decimals=2))
JANUARY = Period(first=date(2026, 1, 1), last=date(2026, 1, 31))


class ScriptedAccounts:
    """Payments at given times; each statement sums at most `step` of them."""

    def __init__(self, payments: Sequence[tuple[datetime, Account]], step: int) -> None:
        self._payments = sorted(payments, key=lambda each: each[0])
        self._step = step
        self.asked: list[Position] = []

    async def sums(self, after: Position, before: datetime) -> Page[Sums]:
        self.asked.append(after)
        found = [each for each in self._payments if after.time < each[0] < before][: self._step]
        items = tuple(
            Sums(account=account, payments=1, amounts=Amounts(gross=100)) for _, account in found
        )
        is_full = len(found) == self._step
        return Page(items, Position(found[-1][0], UUID(int=1)) if is_full else None)

    async def movements(self, after: Position, before: datetime, limit: int) -> Page[Movement]:
        self.asked.append(after)
        assert (before, limit) == (JANUARY.end, 7)
        return Page()


def counts(page: Page[DaySums]) -> list[tuple[int, str, int]]:
    return [(one.day.day, one.sums.account.unit.currency, one.sums.payments) for one in page.items]


@pytest.mark.parametrize("step", [1, 2, 3, 100])
async def test_a_day_is_summed_in_as_many_steps_as_it_needs(step: int) -> None:
    payments = [(BEGIN + n * HOUR, (DOLLAR, EURO)[n % 2]) for n in range(1, 48)]
    accounts = ScriptedAccounts(payments, step)

    page = await ExportPayments(accounts=accounts).days(JANUARY, None)

    assert accounts.asked[0] == Position(BEGIN, UUID(int=0))
    assert counts(page) == [(1, "EUR", 12), (1, "USD", 11), (2, "EUR", 12), (2, "USD", 11)]
    assert page.next is None
    assert {one.sums.amounts.gross for one in page.items} == {1200, 1100}


async def test_a_page_ends_with_the_day_that_makes_it_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export_payments, "MOVEMENTS_MAX", 30)
    payments = [(BEGIN + n * HOUR, EURO) for n in range(1, 72, 2)]
    use_case = ExportPayments(accounts=ScriptedAccounts(payments, 5))

    first = await use_case.days(JANUARY, None)
    assert counts(first) == [(1, "EUR", 12), (2, "EUR", 12), (3, "EUR", 12)]
    assert first.next == Position(datetime(2026, 1, 4, tzinfo=UTC), UUID(int=0))
    rest = await use_case.days(JANUARY, first.next)
    assert (counts(rest), rest.next) == ([], None)


@pytest.mark.parametrize(("most", "days"), [(24, 2), (25, 3)])
async def test_a_page_is_full_with_as_many_movements_as_it_may_have(
    monkeypatch: pytest.MonkeyPatch, most: int, days: int
) -> None:
    monkeypatch.setattr(export_payments, "MOVEMENTS_MAX", most)
    payments = [(BEGIN + n * HOUR, EURO) for n in range(1, 120, 2)]
    page = await ExportPayments(accounts=ScriptedAccounts(payments, 5)).days(JANUARY, None)
    assert [day for day, _, _ in counts(page)] == [1, 2, 3][:days]


async def test_a_page_has_a_month_at_most() -> None:
    year = Period(first=date(2026, 1, 1), last=date(2026, 12, 31))
    accounts = ScriptedAccounts([(BEGIN + HOUR, EURO), (year.end - HOUR, EURO)], 5)
    use_case = ExportPayments(accounts=accounts)
    january = await use_case.days(year, None)
    assert january.next == Position(datetime(2026, 2, 1, tzinfo=UTC), UUID(int=0))
    accounts.asked.clear()
    found, after, pages = [], None, 0
    while True:
        page = await use_case.days(year, after)
        found += counts(page)
        pages += 1
        if (after := page.next) is None:
            break
    assert found == [(1, "EUR", 1), (31, "EUR", 1)]
    assert pages == 12
    assert len(accounts.asked) == 365


async def test_the_last_day_ends_the_last_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_payments, "MOVEMENTS_MAX", 1)
    only = Period(first=date(2026, 1, 1), last=date(2026, 1, 1))
    use_case = ExportPayments(accounts=ScriptedAccounts([(BEGIN + HOUR, EURO)], 5))
    assert (await use_case.days(only, None)).next is None


async def test_movements_begin_with_the_period_or_after_a_position() -> None:
    accounts = ScriptedAccounts([], 5)
    use_case = ExportPayments(accounts=accounts)
    after = Position(BEGIN + HOUR, UUID(int=3))
    assert await use_case.movements(JANUARY, None, 7) == Page()
    assert await use_case.movements(JANUARY, after, 7) == Page()
    assert accounts.asked == [Position(BEGIN, UUID(int=0)), after]
