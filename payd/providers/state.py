"""The state of a provider, and the record of its calls from which it follows."""

from collections.abc import Callable

import attrs
import trio

from payd.plugins.context import Logger
from payd.plugins.errors import Declined, InvalidRequest, Misconfigured, ProviderError
from payd.providers.answers import outcome_of
from payd.providers.breaker import BreakerState

__all__ = ["REFUSALS_MAX", "OnCall", "ProviderState", "Record"]

#: provider, operation, outcome, seconds
OnCall = Callable[[str, str, str, float], None]

#: After this many refused creates in a row an operator is informed. One or two may be mistakes of
#: callers.
REFUSALS_MAX = 3
_REASON_MAX = 300
_OF_REFUNDS = frozenset({"refund", "fetch_refund"})


@attrs.frozen(kw_only=True)
class ProviderState:
    """The state of a provider, for /readyz, metrics and `payd providers`."""

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
    #: Why, once there are several; None while its payments are accepted.
    create_refusal: str | None = None
    #: Why it refused our credentials for a refund; None while refunds are accepted.
    refund_refusal: str | None = None
    #: For how long it has blocked the event loop, in total: nothing else ran meanwhile.
    held_loop_s: float = 0.0

    @property
    def ready(self) -> bool:
        """Whether its methods can be expected to work."""
        closed = self.breaker is not BreakerState.OPEN
        return self.running and closed and not self.misconfigured and self.healthy is not False


class Record:
    """What happened to one provider: counted, logged, and kept for its state."""

    def __init__(self, provider: str, log: Logger, on_call: OnCall | None) -> None:
        self._provider = provider
        self._log = log
        self._on_call = on_call
        self._refusal = ""
        self.refund_refusal: str | None = None
        self.misconfigured = False
        self.last_error: str | None = None
        self.restarts = 0
        self.held_loop_s = 0.0
        #: A refused create is no failure of the remote side: the breaker stays closed, and a
        #: health check that only reads finds nothing. Several in a row are hardly the callers'.
        self.creates_refused = 0

    @property
    def create_refusal(self) -> str | None:
        """Why creates are refused; None while fewer than REFUSALS_MAX were refused in a row."""
        if self.creates_refused < REFUSALS_MAX:
            return None
        return f"the last {self.creates_refused} payments were refused: {self._refusal}"

    def note(self, operation: str, result: object, start: float) -> bool | None:
        """Record the result of a call that began at `start`; None for a cancelled one.

        Returns whether it failed, None when it shows nothing about the remote side.
        """
        outcome, failed = outcome_of(result)
        if self._on_call is not None:
            self._on_call(self._provider, operation, outcome, trio.current_time() - start)
        if operation in _OF_REFUNDS and isinstance(result, Misconfigured):
            # A key may be good for payments and not for refunds: payments go on.
            self._warn(operation, outcome, result)
            return None
        if failed:
            self._note_failure(operation, outcome, result)
        elif failed is False:
            self.misconfigured = False
        return failed

    def note_read(self, operation: str, result: object, start: float) -> None:
        """Record a bulk read. Payments work without it, so a failure is logged and counted only."""
        outcome, failed = outcome_of(result)
        if self._on_call is not None:
            self._on_call(self._provider, operation, outcome, trio.current_time() - start)
        if failed:
            self._warn(operation, outcome, result)

    def note_create(self, result: object) -> None:
        """Count refusals in a row; a result that proves nothing changes nothing."""
        if isinstance(result, InvalidRequest | Misconfigured):
            self.creates_refused += 1
            self._refusal = str(result)[:_REASON_MAX]
            if self.creates_refused == REFUSALS_MAX:
                self._log.error(
                    "provider_refuses_creates", provider=self._provider, error=self._refusal
                )
        elif isinstance(result, Declined) or not isinstance(result, ProviderError):
            self.creates_refused = 0

    def note_refund(self, result: object) -> None:
        """Keep why a refund's credentials are refused, until a refund is answered otherwise."""
        if isinstance(result, Misconfigured):
            refusal = str(result)[:_REASON_MAX]
            if self.refund_refusal is None:
                self._log.error("provider_refuses_refunds", provider=self._provider, error=refusal)
            self.refund_refusal = refusal
        elif isinstance(result, Declined) or not isinstance(result, ProviderError):
            self.refund_refusal = None

    def note_start(self) -> None:
        """Log that the provider serves again, or at last; a first start says nothing."""
        if self.restarts:
            self._log.info("provider_started", provider=self._provider, restarts=self.restarts)

    def note_end(self, why: str, *, has_served: bool) -> None:
        """Record that the provider ended by itself or did not start; it is built again."""
        self.restarts += 1
        self.last_error = why
        event = "provider_ended" if has_served else "provider_not_started"
        self._log.warning(event, provider=self._provider, error=why)

    def note_blocked_loop(self, seconds: float) -> None:
        """Record that the provider computed, or waited without `await`, for so long."""
        self.held_loop_s += seconds
        self._log.error("provider_held_loop", provider=self._provider, seconds=round(seconds, 3))
        if self._on_call is not None:
            self._on_call(self._provider, "loop", "held", seconds)

    def _note_failure(self, operation: str, outcome: str, result: object) -> None:
        self.misconfigured = self.misconfigured or isinstance(result, Misconfigured)
        self.last_error = outcome
        self._warn(operation, outcome, result)

    def _warn(self, operation: str, outcome: str, result: object) -> None:
        self._log.warning(
            "provider_call_failed",
            provider=self._provider,
            operation=operation,
            outcome=outcome,
            error=str(result),
        )
