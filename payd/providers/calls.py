"""One call of a plugin's code: in a task of its own, with a deadline, and every exception named."""

import math
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import attrs
import trio

from payd.domain.text import is_text
from payd.plugins.errors import (
    Declined,
    InvalidRequest,
    NotAttempted,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
)
from payd.plugins.interface import Provider
from payd.providers.breaker import Random
from payd.providers.loop_monitor import OWNER, Owner

__all__ = [
    "GRACE_S",
    "Call",
    "Host",
    "PluginFailed",
    "describe",
    "guarded",
    "innermost",
    "is_valid_error",
    "passing",
]

#: A call that was provably not sent is repeated, within its deadline.
ATTEMPTS_MAX = 3
RETRY_PAUSE_MAX_S = 0.2
#: How long a call that was cancelled at its deadline may take to end before it is left behind.
GRACE_S = 0.5

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Host:
    """What all calls of one provider share."""

    limiter: trio.CapacityLimiter
    owner: Owner
    random: Random


@attrs.define(eq=False)
class Call(Generic[T]):
    """One call of a provider's coroutine.

    It runs in a task of the provider's nursery, so that one that ignores its cancellation can be
    left behind: the caller goes on at the deadline, and the task keeps only its place in the
    provider's own limiter.
    """

    provider: Provider
    send: Callable[[Provider], Awaitable[T]]
    #: The classes of a valid result. Exactly these: a subclass may have skipped their validators.
    kinds: tuple[type, ...]
    #: Checks what a class cannot check by itself. It may raise anything.
    check: Callable[[T], bool] | None = None
    host: Host = attrs.field(kw_only=True)
    #: At every await, what holds if the call ends there.
    result: T | ProviderError = attrs.field(
        factory=lambda: NotAttempted("no free place within the deadline"), init=False
    )
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _done: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def run(self, nursery: trio.Nursery, timeout_s: float) -> T | ProviderError:
        """Run the call in `nursery`; return its result, or at the deadline what holds then.

        Cancelling the caller cancels the call, too, and raises Cancelled here: recovery finds out
        what became of that operation.
        """
        nursery.start_soon(self._serve)
        try:
            with trio.move_on_after(timeout_s):
                await self._done.wait()
                return self.result
        finally:
            if not self._done.is_set():
                self._scope.cancel()
        with trio.move_on_after(GRACE_S):
            await self._done.wait()
        return self.result

    async def _serve(self) -> None:
        OWNER.set(self.host.owner)
        try:
            with self._scope:
                try:
                    self.host.limiter.acquire_on_behalf_of_nowait(self)
                except trio.WouldBlock:
                    await self.host.limiter.acquire_on_behalf_of(self)
                try:
                    await self._attempt()
                finally:
                    self.host.limiter.release_on_behalf_of(self)
        finally:
            self._done.set()

    async def _attempt(self) -> None:
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                await trio.sleep(self.host.random() * RETRY_PAUSE_MAX_S * 2 ** (attempt - 1))
            self.result = OutcomeUnknown("no answer within the deadline")
            try:
                result = await self.send(self.provider)
                if type(result) in self.kinds and (self.check is None or self.check(result)):
                    self.result = result
                    return
                self.result = OutcomeUnknown(f"invalid answer of type {type(result).__name__}")
            except BaseException as error:  # noqa: BLE001 - whatever a plugin raises gets a name
                if (ours := passing(error)) is not None:
                    raise ours from None
                self.result = _named(error)
            if not isinstance(self.result, NotAttempted):
                return


class PluginFailed(Exception):
    """A plugin's own code raised; the message describes the error, which is the cause."""


def guarded(act: Callable[[], T]) -> T:
    """Call a plugin's synchronous code; whatever it raises becomes PluginFailed."""
    try:
        return act()
    except BaseException as error:
        if passing(error) is not None:
            raise
        raise PluginFailed(describe(error)) from error


def passing(error: BaseException) -> BaseException | None:
    """Return the part of an error that is not the plugin's own: a cancellation, or Ctrl-C."""
    if isinstance(error, BaseExceptionGroup):
        return error.split((trio.Cancelled, KeyboardInterrupt))[0]
    return error if isinstance(error, trio.Cancelled | KeyboardInterrupt) else None


def _named(error: BaseException) -> ProviderError:
    """Return a valid ProviderError as it is; anything else means that the outcome is unknown."""
    inner = innermost(error)
    if isinstance(inner, ProviderError) and is_valid_error(inner):
        return inner
    return OutcomeUnknown(describe(error))


def is_valid_error(error: ProviderError) -> bool:
    """Whether the parts of an error can be stored, acted upon and shown to a caller."""
    try:
        str(error)
        match error:
            case Declined():
                return is_text(error.code) and is_text(error.message)
            case InvalidRequest():
                return is_text(error.field) and is_text(error.message)
            case RateLimited():
                return math.isfinite(error.retry_after_s) and error.retry_after_s >= 0
            case _:
                return True
    except BaseException as broken:
        if passing(broken) is not None:
            raise
        return False


def innermost(error: BaseException) -> BaseException:
    """Unwrap groups of one, into which a nursery wraps what is raised in it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def describe(error: BaseException) -> str:
    """Describe an error in one short line, for a log. Its own `__str__` may fail."""
    error = innermost(error)
    try:
        text = " ".join(str(error).split())
    except BaseException as broken:
        if passing(broken) is not None:
            raise
        text = "its message cannot be read"
    return f"{type(error).__name__}: {text:.300}" if text else type(error).__name__
