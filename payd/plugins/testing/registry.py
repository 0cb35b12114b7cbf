"""The checks, by name: each with its level, its need, and the sentence that says why it matters."""

import enum
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from payd.plugins import ProviderManifest

if TYPE_CHECKING:
    from payd.plugins.testing.bench import Bench

Applies = Callable[[ProviderManifest, Any], bool]


class Level(enum.Enum):
    """What a provider may be certified for."""

    BASIC = "basic"
    WEBHOOKS = "webhooks"
    RESILIENCE = "resilience"
    WATCH = "watch"
    SCAN = "scan"


class Failed(AssertionError):
    """The provider does not do what payd relies on; the message says what it did."""


class Unproven(Exception):
    """The remote side could not be told to show it; the message says what it lacks."""


@attrs.frozen(kw_only=True)
class Check:
    """One thing that payd relies on."""

    name: str
    level: Level
    #: What goes wrong in payd when it does not hold.
    why: str
    run: "Callable[[Bench], Awaitable[None]]"
    #: Of the manifest and of the provider itself; what it does not claim is not checked.
    applies: Applies


CHECKS: list[Check] = []


def always(_manifest: ProviderManifest, _provider: object) -> bool:
    """For every provider."""
    return True


def check(
    level: Level, why: str, applies: Applies = always
) -> "Callable[[Callable[[Bench], Awaitable[None]]], Callable[[Bench], Awaitable[None]]]":
    """Register a coroutine function; its name, with spaces, is the check's."""

    def register(
        function: "Callable[[Bench], Awaitable[None]]",
    ) -> "Callable[[Bench], Awaitable[None]]":
        name = getattr(function, "__name__", "").replace("_", " ")
        CHECKS.append(Check(name=name, level=level, why=why, run=function, applies=applies))
        return function

    return register


def named(names: Sequence[str]) -> list[Check]:
    """Those of these names; all when there are none. Raises KeyError."""
    known = {each.name: each for each in CHECKS}
    return [known[name] for name in names] if names else list(CHECKS)
