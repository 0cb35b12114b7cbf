"""Counts of money that waits for a person or for its outcome, for the gauges."""

from collections.abc import Iterable, Mapping

import attrs

from payd.adapters.columns import NEW_REASONS
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.rows import Row
from payd.domain.attention import Attention
from payd.domain.refund import RefundStatus


@attrs.frozen
class Waiting:
    """How many wait, and for how long the oldest has waited."""

    count: int = 0
    oldest_age_s: float = 0.0


class PostgresMoneyToWatch:
    """Counts over all payments. Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_attention(self) -> Mapping[Attention, Waiting]:
        """Payments with each reason open, for every reason."""
        rows = await self._database.fetch(
            "open_attention", new_reasons=sorted(NEW_REASONS), now=self._database.clock.now()
        )
        found = _by_name(rows)
        return {reason: found.get(reason.value, Waiting()) for reason in Attention}

    async def open_refunds(self) -> Mapping[RefundStatus, Waiting]:
        """Refunds in each status that is not the last one."""
        statuses = [status for status in RefundStatus if status.is_open]
        rows = await self._database.fetch(
            "open_refunds",
            statuses=[status.value for status in statuses],
            now=self._database.clock.now(),
        )
        found = _by_name(rows)
        return {status: found.get(status.value, Waiting()) for status in statuses}


def _by_name(rows: Iterable[Row]) -> Mapping[str, Waiting]:
    return {row["name"]: Waiting(row["count"], row["oldest_age_s"]) for row in rows}
