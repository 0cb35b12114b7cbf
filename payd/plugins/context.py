"""What payd gives a provider, and its commands: time, secrets, a log, figures of its own."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

import attrs


class Clock(Protocol):
    """The time, so that tests can set it."""

    def now(self) -> datetime:
        """The current time, with its zone."""


class Logger(Protocol):
    """Structured: a past-tense event word, then fields."""

    def info(self, event: str, **fields: Any) -> None:
        """What an operator may want to know."""

    def warning(self, event: str, **fields: Any) -> None:
        """What an operator should look at."""

    def error(self, event: str, **fields: Any) -> None:
        """What an operator must look at."""


class Metrics(Protocol):
    """The provider's own figures, exported as payd_NAME_<figure>."""

    def set(self, figure: str, value: float) -> None:
        """A gauge: how something stands now."""

    def count(self, figure: str, amount: float = 1) -> None:
        """A counter: how often something happened. Its figure ends in `_total`."""


class NoMetrics:
    """Metrics for who does not export any."""

    def set(self, figure: str, value: float) -> None:
        """Forget it."""

    def count(self, figure: str, amount: float = 1) -> None:
        """Forget it."""


async def no_cursor() -> str | None:
    """The cursor of a watch that never ran."""
    return None


@attrs.frozen(kw_only=True)
class ProviderContext:
    """What payd gives a provider."""

    environment: str
    #: Logical credential name → its values, newest first: those in force, and no others. It
    #: follows the file or the vault: read it at each use, and keep no value.
    secrets: Mapping[str, tuple[str, ...]] = attrs.field(repr=False)
    clock: Clock
    log: Logger
    metrics: Metrics = attrs.field(factory=NoMetrics)
    #: How far the watch has come, whichever daemon runs it: its cursor, as last stored.
    read_cursor: Callable[[], Awaitable[str | None]] = no_cursor


@attrs.frozen(kw_only=True)
class CommandContext:
    """What a provider's own command is given as click's `obj`. Its calls may block."""

    #: The provider's settings, as validated.
    config: Any
    #: What `payd dev` announces in dev.json; empty where it does not run.
    dev: Mapping[str, str]
    #: A payment by its id, as proto3 JSON; ends the command with a message when there is none.
    get_payment: Callable[[str], Mapping[str, Any]]
