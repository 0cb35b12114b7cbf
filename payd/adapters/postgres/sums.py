"""Sums on PostgreSQL: what an overview shows, from rows that are few however many payments."""

from collections.abc import Sequence
from datetime import date, timedelta

from payd.adapters.postgres.audit_chain import PostgresAuditChain
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.inbox import PostgresInbox
from payd.adapters.postgres.money_to_watch import PostgresMoneyToWatch
from payd.adapters.postgres.outbox import PostgresOutbox
from payd.adapters.postgres.receipts import PostgresReceipts
from payd.domain.money import MINOR_UNITS_MAX, Money
from payd.domain.overview import (
    ROWS_COUNTED_MAX,
    Backlog,
    DailySum,
    OpenAttention,
    TrailState,
)
from payd.domain.payment import Status


class PostgresSums:
    """Implements the port Sums, and the folding of changes into the sums."""

    def __init__(
        self,
        database: Database,
        outbox: PostgresOutbox,
        inbox: PostgresInbox,
        receipts: PostgresReceipts,
        money_to_watch: PostgresMoneyToWatch,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._inbox = inbox
        self._receipts = receipts
        self._money_to_watch = money_to_watch

    async def daily(self, first: date) -> Sequence[DailySum]:
        rows = await self._database.fetch("daily_sums", first_day=first)
        return [
            DailySum(
                day=row["day"],
                method=row["method"],
                status=Status(row["status"]),
                payments=row["payments"],
                amount=Money(
                    currency_code=row["currency_code"],
                    # A sum may exceed int64, which is the most that a message can say.
                    minor_units=min(int(row["minor_units"]), MINOR_UNITS_MAX),
                ),
            )
            for row in rows
        ]

    async def attention(self) -> Sequence[OpenAttention]:
        waiting = await self._money_to_watch.open_attention()
        found = [
            OpenAttention(
                reason=reason, payments=one.count, oldest_age=timedelta(seconds=one.oldest_age_s)
            )
            for reason, one in waiting.items()
            if one.count
        ]
        return sorted(found, key=lambda one: one.oldest_age, reverse=True)

    async def backlog(self) -> Backlog:
        events, oldest_s = await self._outbox.depth()
        return Backlog(
            events=events,
            oldest_event_age=timedelta(seconds=oldest_s),
            reports=await self._inbox.depth(),
            unmatched_receipts=await self._receipts.count_unmatched(),
        )

    async def trail(self) -> TrailState:
        newest = await PostgresAuditChain(self._database).newest_checkpoint()
        [counted] = await self._database.fetch(
            "count_unsigned_rows", since=newest.horizon if newest else 0, limit=ROWS_COUNTED_MAX
        )
        return TrailState(
            checkpoint=newest.number if newest else None,
            checkpoint_time=newest.time if newest else None,
            unsigned_rows=counted["rows"],
            unsigned_payments=counted["payments"],
            unchained_rows=counted["unchained"],
        )

    async def fold(self, limit: int) -> int:
        """Add at most `limit` changes of payments to the sums; return how many."""
        row = await self._database.fetch_one("fold_payment_sums", limit=limit)
        return row["rows"] if row else 0
