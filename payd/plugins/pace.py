"""An outgoing rate limit for providers: at most so many calls a second, none waits for long."""

from collections.abc import Callable

import trio

from payd.plugins.errors import RateLimited

__all__ = ["Pace"]


class Pace:
    """A leaky bucket. A call that would wait too long fails at once, before anything is sent."""

    def __init__(
        self,
        per_second: float,
        *,
        burst: int = 1,
        wait_max_s: float = 2.0,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self._interval_s = 1 / per_second
        #: How much earlier than its place a call may leave.
        self._slack_s = (burst - 1) * self._interval_s
        self._wait_max_s = wait_max_s
        self._now = now
        #: The next place; places are an interval apart.
        self._place = now()

    async def turn(self) -> None:
        """Return when the caller may send; raises RateLimited when that is too far away.

        A place that was given and then cancelled is not given again.
        """
        now = self._now()
        place = max(self._place, now)
        wait_s = place - self._slack_s - now
        if wait_s > self._wait_max_s:
            raise RateLimited(wait_s)
        self._place = place + self._interval_s
        if wait_s > 0:
            await trio.sleep(wait_s)

    def hold(self, seconds: float) -> None:
        """Send nothing for so long, because the remote side asked for it."""
        self._place = max(self._place, self._now() + seconds + self._slack_s)
