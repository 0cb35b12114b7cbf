"""Circuit breaker for calls, back-off for long tasks.

Pure: the time is an argument, in seconds of any clock that never goes back.
"""

import enum
import math
from collections.abc import Callable

#: Returns a number in [0, 1).
Random = Callable[[], float]

#: Failures in a row that open it: fewer would open on a short network fault.
FAILURES_MAX = 5
#: The first pause; each failed probe doubles it.
PAUSE_FIRST_S = 1.0
#: The longest pause: a provider that recovers is used again within this time.
PAUSE_MAX_S = 60.0
#: The retry delay for callers while another call is the probe.
PROBE_WAIT_S = 1.0
#: A long task that ends is started again after a random part of this, doubling.
RESTART_PAUSE_FIRST_S = 0.5
RESTART_PAUSE_MAX_S = 30.0


class BreakerState(enum.Enum):
    """Whether calls pass. HALF_OPEN: the next call is the probe, or the probe is under way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Counts failures in a row; `random` spreads the probes of many daemons."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0
        self._pause_s = PAUSE_FIRST_S
        self._open_until: float | None = None
        self._probing = False

    def state(self, now: float) -> BreakerState:
        """Return the state at this time."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def admit(self, now: float) -> tuple[float, bool]:
        """Return the seconds to wait, 0 for an admitted call; and whether the call is the probe.

        Call `leave` once for every admitted call.
        """
        if self._open_until is None:
            return 0.0, False
        if now < self._open_until:
            return self._open_until - now, False
        if self._probing:
            return PROBE_WAIT_S, False
        self._probing = True
        return 0.0, True

    def leave(self, now: float, *, failed: bool | None, is_probe: bool) -> None:
        """End an admitted call; `failed` None shows nothing about the remote side."""
        if is_probe:
            self._probing = False
        if failed is False:
            self._failures, self._pause_s, self._open_until = 0, PAUSE_FIRST_S, None
        elif failed and is_probe:
            self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)
            self._open(now)
        elif failed and self._open_until is None:
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                self._open(now)

    def _open(self, now: float) -> None:
        self._open_until = now + self._pause_s * (0.5 + self._random() / 2)


class Pause:
    """Full-jitter back-off that starts again from its minimum after a quiet time."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._limit_s = RESTART_PAUSE_FIRST_S
        self._last = -math.inf

    def next_s(self, now: float) -> float:
        """Return how long to wait before the next start."""
        is_quiet = now - self._last > 2 * RESTART_PAUSE_MAX_S
        self._limit_s = (
            RESTART_PAUSE_FIRST_S if is_quiet else min(2 * self._limit_s, RESTART_PAUSE_MAX_S)
        )
        self._last = now
        return self._random() * self._limit_s
