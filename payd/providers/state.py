"""How a provider stands, as its fence tells it."""

import attrs

from payd.providers.breaker import BreakerState


@attrs.frozen(kw_only=True)
class FenceState:
    """How a provider stands, for /readyz, metrics and `payd providers`."""

    name: str
    version: str
    methods: tuple[str, ...]
    #: Built and serving.
    running: bool
    #: None before the first check.
    healthy: bool | None
    #: HALF_OPEN needs traffic to close: count it as ready.
    breaker: BreakerState
    misconfigured: bool
    last_error: str | None
    restarts: int
    watch_restarts: int
    #: Why its watch halted; None while it does not.
    watch_halted: str | None = None
    #: Whether this daemon runs a watch that only one may run; None for any other.
    watch_leads: bool | None = None
    #: Creates that it refused in a row, as invalid or as not allowed.
    creates_refused: int = 0
    #: Why, once there are several; None while its payments are taken.
    create_refusal: str | None = None
    #: For how long it has held the loop, in all: nobody else did anything meanwhile.
    held_loop_s: float = 0.0

    @property
    def ready(self) -> bool:
        """Whether its methods can be expected to work."""
        closed = self.breaker is not BreakerState.OPEN
        return self.running and closed and not self.misconfigured and self.healthy is not False
