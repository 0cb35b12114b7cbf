"""The checks, by name: each with its level, its need, and the sentence that says why it matters."""

import enum
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs

from payd.plugins import ProviderManifest

if TYPE_CHECKING:
    from payd.plugins.testing.bench import Bench

Applies = Callable[[ProviderManifest, Any], bool]
Run = Callable[["Bench"], Awaitable[None]]


class Level(enum.Enum):
    """What a provider may be certified for."""

    BASIC = "basic"
    WEBHOOKS = "webhooks"
    RESILIENCE = "resilience"
    WATCH = "watch"
    SCAN = "scan"


class Failed(AssertionError):
    """The provider does not do what payd relies on; the message says what it did."""


@attrs.frozen(kw_only=True)
class Check:
    """One thing that payd relies on."""

    name: str
    level: Level
    #: What goes wrong in payd when it does not hold.
    why: str
    run: Run
    #: Of the manifest and of the provider itself; what it does not claim is not checked.
    applies: Applies


CHECKS: list[Check] = []


def always(_manifest: ProviderManifest, _provider: object) -> bool:
    """For every provider."""
    return True


def check(level: Level, why: str, applies: Applies = always) -> Callable[[Run], Run]:
    """Register a coroutine function; its name, with spaces, is the check's."""

    def register(function: Run) -> Run:
        name = getattr(function, "__name__", "").replace("_", " ")
        CHECKS.append(Check(name=name, level=level, why=why, run=function, applies=applies))
        return function

    return register
