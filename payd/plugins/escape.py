"""What escapes from a plugin's own code gets a name: all of it, so that nothing else breaks."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import attrs
import trio

from payd.plugins.interface import NotAttempted, OutcomeUnknown, Provider, ProviderError

__all__ = ["Call", "Escaped", "describe", "guarded", "innermost", "judged", "named"]

T = TypeVar("T")


@attrs.define(eq=False)
class Call(Generic[T]):
    """One question to a provider, and its answer so far."""

    ask: Callable[[Provider], Awaitable[T]]
    is_sound: Callable[[object], bool]
    said: T | ProviderError = attrs.field(
        factory=lambda: NotAttempted("no free place within the deadline")
    )
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    done: trio.Event = attrs.field(factory=trio.Event)

    async def take_place(self, limiter: trio.CapacityLimiter) -> None:
        """One of the provider's, at once where there is one; `release_on_behalf_of` this call."""
        try:
            limiter.acquire_on_behalf_of_nowait(self)
        except trio.WouldBlock:
            await limiter.acquire_on_behalf_of(self)

    async def answer(self, provider: Provider) -> T | ProviderError:
        """What the provider says, once; a cancellation passes."""
        try:
            said = await self.ask(provider)
        except BaseExceptionGroup as group:
            cancelled, rest = group.split(trio.Cancelled)
            if rest is not None and not isinstance(rest, Exception):
                raise
            if cancelled is not None:
                raise cancelled from None
            return named(group)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the fence: every escape gets a name
            return named(error)
        if self.is_sound(said):
            return said
        return OutcomeUnknown(f"the answer is no valid one: a {type(said).__name__}")


class Escaped(Exception):
    """A plugin's own code raised; the message says what."""


def guarded(act: Callable[[], T]) -> T:
    """Call a plugin's own code; whatever it raises becomes Escaped."""
    try:
        return act()
    except (Exception, SystemExit) as error:
        raise Escaped(describe(error)) from error


def judged(is_sound: Callable[[object], bool], said: object) -> bool:
    """Whether it is sound; what breaks while it is looked at is not."""
    try:
        return is_sound(said)
    except (Exception, SystemExit):  # noqa: BLE001 - a plugin may return anything
        return False


def named(error: BaseException) -> ProviderError:
    """What a provider raised; what is none of its errors tells nothing of the outcome."""
    inner = innermost(error)
    return inner if isinstance(inner, ProviderError) else OutcomeUnknown(describe(error))


def innermost(error: BaseException) -> BaseException:
    """A provider's nursery wraps what it raises into a group of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def describe(error: BaseException) -> str:
    """In one short line, for a log."""
    error = innermost(error)
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said:.300}" if said else type(error).__name__
