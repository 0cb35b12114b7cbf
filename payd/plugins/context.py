"""What payd gives to a provider and to its commands: clock, secrets, log, metrics."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

import attrs


class Clock(Protocol):
    """Source of the time, which tests replace."""

    def now(self) -> datetime:
        """Return the current time, with its zone."""


class Logger(Protocol):
    """Structured log: a past-tense event word, then fields."""

    def info(self, event: str, **fields: Any) -> None:
        """Log what an operator may want to know."""

    def warning(self, event: str, **fields: Any) -> None:
        """Log what an operator should look at."""

    def error(self, event: str, **fields: Any) -> None:
        """Log what an operator must look at."""


class Metrics(Protocol):
    """The provider's own metrics, exported as payd_NAME_<figure>."""

    def set(self, figure: str, value: float) -> None:
        """Set a gauge to its current value."""

    def count(self, figure: str, amount: float = 1) -> None:
        """Increase a counter, whose name ends in `_total`."""


class NoMetrics:
    """Metrics that are not exported."""

    def set(self, figure: str, value: float) -> None:
        """Do nothing."""

    def count(self, figure: str, amount: float = 1) -> None:
        """Do nothing."""


async def no_cursor() -> str | None:
    """Return no cursor, as for a watch that never ran."""
    return None


@attrs.frozen(kw_only=True)
class ProviderContext:
    """What a provider's factory receives.

    Attributes:
        environment: `development`, `test`, `staging` or `production`.
        secrets: Logical credential name → its valid values, newest first. The mapping follows the
            file or the vault: read it at each use, and keep no value.
        clock: payd's clock: use it instead of the system's.
        log: The provider's log.
        metrics: The provider's own metrics.
        read_cursor: Returns the watch's cursor as last stored, by whichever daemon runs the watch.
    """

    environment: str
    secrets: Mapping[str, tuple[str, ...]] = attrs.field(repr=False)
    clock: Clock
    log: Logger
    metrics: Metrics = attrs.field(factory=NoMetrics)
    read_cursor: Callable[[], Awaitable[str | None]] = no_cursor


def no_refund(refund_id: str) -> Mapping[str, Any]:
    """Stand for the refunds where a test has none."""
    raise LookupError(refund_id)


def no_metrics() -> Mapping[str, float]:
    """Return no metrics, as when no daemon runs."""
    return {}


@attrs.frozen(kw_only=True)
class CommandContext:
    """What a provider's own command receives as click's `obj`. Its calls may block.

    Attributes:
        config: The provider's settings, as validated.
        dev: Contents of `payd dev`'s dev.json; empty while it does not run.
        get_payment: Returns a payment by its id, as proto3 JSON; for an unknown id it ends the
            command with a message.
        get_refund: Returns a refund by its id, likewise.
        get_metrics: Returns the metrics of the daemon on this machine that have no labels, by name;
            nothing if none answers.
    """

    config: Any
    dev: Mapping[str, str]
    get_payment: Callable[[str], Mapping[str, Any]]
    get_refund: Callable[[str], Mapping[str, Any]] = no_refund
    get_metrics: Callable[[], Mapping[str, float]] = no_metrics
