"""Port for accounting: movements of money along indexes, a bounded number at a time."""

from datetime import datetime
from typing import Protocol

from payd.domain.accounting import Movement, Sums
from payd.domain.page import Page, Position


class Accounts(Protocol):
    """Movements of money in order of their time and id. Every method raises StoreUnavailable."""

    async def movements(self, after: Position, before: datetime, limit: int) -> Page[Movement]:
        """At most `limit` movements after a position, and before a time."""

    async def sums(self, after: Position, before: datetime) -> Page[Sums]:
        """Sums of the movements after a position, one for each account, and before a time.

        Of so many movements as one short statement reads: `next` is the position of the last one
        if more may follow.
        """
