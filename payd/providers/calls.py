"""What escapes from a plugin's own code gets a name: all of it, so that nothing else breaks."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import attrs
import trio

from payd.plugins.interface import NotAttempted, OutcomeUnknown, Provider, ProviderError
from payd.providers.validation import is_error, passing

__all__ = ["Call", "Escaped", "describe", "guarded", "innermost", "named"]

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
        except BaseException as error:  # noqa: BLE001 - the fence: every escape gets a name
            if (ours := passing(error)) is not None:
                raise ours from None
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
    except BaseException as error:
        if passing(error) is not None:
            raise
        raise Escaped(describe(error)) from error


def named(error: BaseException) -> ProviderError:
    """What a provider raised; what is none of its errors, or a broken one, tells no outcome."""
    inner = innermost(error)
    if isinstance(inner, ProviderError) and is_error(inner):
        return inner
    return OutcomeUnknown(describe(error))


def innermost(error: BaseException) -> BaseException:
    """A provider's nursery wraps what it raises into a group of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def describe(error: BaseException) -> str:
    """In one short line, for a log."""
    error = innermost(error)
    try:
        said = " ".join(str(error).split())
    except BaseException as broken:
        if passing(broken) is not None:
            raise
        said = "it cannot say what"
    return f"{type(error).__name__}: {said:.300}" if said else type(error).__name__
