"""Use case: say how payments and this daemon stand, from sums that are kept."""

from datetime import UTC, timedelta

import attrs

from payd.domain.overview import Overview
from payd.ports import Clock, DaemonState, Sums


@attrs.frozen(kw_only=True)
class GetOverview:
    """Use case: the operator's first look."""

    sums: Sums
    daemon: DaemonState
    clock: Clock

    async def overview(self, days: int) -> Overview:
        """The last `days` days, today included, and how everything stands now."""
        now = self.clock.now()
        first = now.astimezone(UTC).date() - timedelta(days=days - 1)
        return Overview(
            time=now,
            sums=await self.sums.daily(first),
            attention=await self.sums.attention(),
            health=await self.daemon.health(),
            backlog=await self.sums.backlog(),
            trail=await self.sums.trail(),
        )
