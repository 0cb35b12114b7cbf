"""The registry of checks: each has a name, a level, a condition, and the reason why it matters."""

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
    """The levels that a provider can be certified for.

    Attributes:
        BASIC: What every provider does.
        MONEY: The payment that payd makes of all reports.
        WEBHOOKS: Webhooks of the remote side.
        RESILIENCE: Lost, late, refused and unreadable answers.
        WATCH: A watch that reports.
        SCAN: Events that are read later.
        REFUNDS: Refunds and disputes.
    """

    BASIC = "basic"
    MONEY = "money"
    WEBHOOKS = "webhooks"
    RESILIENCE = "resilience"
    WATCH = "watch"
    SCAN = "scan"
    REFUNDS = "refunds"


class Failed(AssertionError):
    """The provider violates the contract; the message says how."""


@attrs.frozen(kw_only=True)
class Check:
    """One behaviour that payd relies on.

    Attributes:
        name: Name, in words.
        level: The level to which it belongs.
        why: What goes wrong in payd if the check fails.
        run: The check itself; it raises Failed.
        applies: Whether the provider claims the ability, by its manifest and its methods.
        alone: Whether no other check may run beside it: a slow neighbour could let it pass, or make
            it look inapplicable.
    """

    name: str
    level: Level
    why: str
    run: Run
    applies: Applies
    alone: bool = False


#: Every check, in the order in which the kit runs them.
CHECKS: list[Check] = []


def always(_manifest: ProviderManifest, _provider: object) -> bool:
    """Condition of a check that every provider must pass."""
    return True


def supports(*abilities: type) -> Applies:
    """Condition of a check: the provider has the methods of all these protocols."""
    return lambda _manifest, provider: all(isinstance(provider, one) for one in abilities)


def check(
    level: Level, why: str, applies: Applies = always, *, alone: bool = False
) -> Callable[[Run], Run]:
    """Register a coroutine function as a check named after it, with spaces."""

    def register(function: Run) -> Run:
        name = getattr(function, "__name__", "").replace("_", " ")
        registered = Check(
            name=name, level=level, why=why, run=function, applies=applies, alone=alone
        )
        CHECKS.append(registered)
        return function

    return register
