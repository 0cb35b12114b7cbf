"""Use case: export the movements of money in a period, one by one or as sums by day."""

from uuid import UUID

import attrs

from payd.domain.accounting import Account, Day, DaySums, Movement, Period, Sums
from payd.domain.page import Page, Position
from payd.ports import Accounts

#: Most days of a page, and movements after which it ends with the day. Memory is bounded by the
#: number of accounts, statements by the port.
DAYS_MAX = 31
MOVEMENTS_MAX = 20_000
#: Sorts before every id.
_FIRST_ID = UUID(int=0)


@attrs.frozen(kw_only=True)
class ExportPayments:
    """Use case: accounting for a period."""

    accounts: Accounts

    async def movements(self, period: Period, after: Position | None, limit: int) -> Page[Movement]:
        """A page of movements, oldest first."""
        return await self.accounts.movements(after or _begin(period), period.end, limit)

    async def days(self, period: Period, after: Position | None) -> Page[DaySums]:
        """Sums of whole days, oldest first; a day without movements has none."""
        found: list[DaySums] = []
        movements = 0
        begin = after or _begin(period)
        for number, day in enumerate(period.days(begin.time), 1):
            sums = await self._sums_of(day)
            found += [DaySums(day.date, one) for one in sums]
            movements += sum(one.movements for one in sums)
            is_full = number == DAYS_MAX or movements >= MOVEMENTS_MAX
            if is_full and day.date < period.last:
                return Page(tuple(found), Position(day.end, _FIRST_ID))
        return Page(tuple(found))

    async def _sums_of(self, day: Day) -> list[Sums]:
        """Add up one day, a short statement after the other."""
        by_account: dict[Account, Sums] = {}
        after: Position | None = Position(day.begin, _FIRST_ID)
        while after is not None:
            page = await self.accounts.sums(after, day.end)
            for part in page.items:
                known = by_account.get(part.account)
                by_account[part.account] = part if known is None else known + part
            after = page.next
        return sorted(by_account.values(), key=lambda one: one.account.order())


def _begin(period: Period) -> Position:
    return Position(period.begin, _FIRST_ID)
