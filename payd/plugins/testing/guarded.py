"""Tell a mistake in a Remote from one in the provider: call, time and check each of its members."""

import inspect
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import attrs
import trio

from payd.plugins import PaymentRef, WebhookRequest
from payd.plugins.testing.registry import Failed
from payd.plugins.testing.remote import CannotHappen, NotScripted, Remote, RemoteMistake
from payd.providers.calls import describe, innermost

__all__ = ["opened"]

#: Seconds for one call of a member; a scripted remote side answers in milliseconds.
MEMBER_TIMEOUT_S = 30.0
#: The longest delay that `Remote.retry_after_s` may name: the kit waits for it.
RETRY_AFTER_MAX_S = 5.0
#: What a member raises on purpose, and what a check raises.
_MEANT = (NotScripted, CannotHappen, RemoteMistake)


@asynccontextmanager
async def opened(
    open_remote: Callable[[Any], Any], clock: object, dues: Mapping[UUID, int]
) -> AsyncIterator[Remote]:
    """Open a remote side and guard its members. Raises RemoteMistake for what is wrong with it.

    `dues`: what is due for each payment, in units of its asset.
    """
    escaped: BaseException | None = None
    try:
        async with open_remote(clock) as remote:
            try:
                yield cast(Remote, _Guarded(_checked_remote(remote), dues))
            except Exception as error:
                escaped = error
                raise
    except Exception as error:
        if escaped is not None:
            raise
        raise _mistake("open_remote", error) from error


class _Guarded:
    """A Remote whose members are checked at each use; used in its place."""

    def __init__(self, remote: Remote, dues: Mapping[UUID, int]) -> None:
        self._remote = remote
        self._dues = dues
        #: What `pay` has paid for each payment.
        self._paid: dict[UUID, int] = {}
        #: The payments whose object asks for what is due.
        self._right: set[UUID] = set()

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._remote, name)
        if not callable(member):
            return member
        if inspect.iscoroutinefunction(getattr(Remote, name, member)):
            return _waiting(name, member)
        return _synchronous(self._remote, name, member)

    async def pay(self, ref: PaymentRef, amount: int) -> None:
        """Pay, and compare it with what the remote side has received, as far as it says so.

        Raises Failed when the object asks for another amount than what is due: a remote side that
        takes the whole only would rule out every payment of it.
        """
        await self._asks_for_what_is_due(ref)
        before = await self._count("received", ref)
        try:
            await _waiting("pay", self._remote.pay)(ref, amount)
        except CannotHappen as error:
            if amount == self._left(ref):
                raise RemoteMistake(
                    f"Remote.pay of {amount}, exactly what is due, raised CannotHappen({error}):"
                    " either the object asks for another amount, which Remote.asks_for would show,"
                    " or the Remote is wrong"
                ) from error
            raise
        self._paid[ref.payment_id] = self._paid.get(ref.payment_id, 0) + amount
        if before is None:
            return
        after = await self._count("received", ref)
        if after != before + amount:
            raise RemoteMistake(
                f"Remote.pay of {amount} changed Remote.received from {before} to {after}"
            )

    async def pay_unfinal(self, ref: PaymentRef, amount: int) -> None:
        """Pay what is not final; the object asks for what is due, as far as it says so."""
        await self._asks_for_what_is_due(ref)
        await _waiting("pay_unfinal", self._remote.pay_unfinal)(ref, amount)

    async def pay_together(self, refs: Sequence[PaymentRef], amounts: Sequence[int]) -> None:
        """Pay several objects; each asks for what is due, as far as it says so."""
        for ref in refs:
            await self._asks_for_what_is_due(ref)
        await _waiting("pay_together", self._remote.pay_together)(refs, amounts)

    async def _asks_for_what_is_due(self, ref: PaymentRef) -> None:
        due = self._dues.get(ref.payment_id)
        if due is None or ref.payment_id in self._right:
            return
        asked = await self._count("asks_for", ref)
        if asked not in (None, due):
            raise Failed(f"{due} are due, but the object asks the customer for {asked}")
        self._right.add(ref.payment_id)

    def _left(self, ref: PaymentRef) -> int | None:
        """What is still due; None if nothing is known of the payment."""
        due = self._dues.get(ref.payment_id)
        return None if due is None else due - self._paid.get(ref.payment_id, 0)

    async def _count(self, name: str, ref: PaymentRef) -> int | None:
        """What a member counts of an object; None where that is not scripted."""
        try:
            return cast(int, await _waiting(name, getattr(self._remote, name))(ref))
        except (NotScripted, CannotHappen):
            return None


def _waiting(name: str, member: Callable[..., Any]) -> Callable[..., Any]:
    """Guard a coroutine function."""

    async def call(*args: Any, **named: Any) -> Any:
        try:
            with trio.fail_after(MEMBER_TIMEOUT_S):
                waiting = member(*args, **named)
                if not inspect.isawaitable(waiting):
                    raise RemoteMistake(f"Remote.{name} is not a coroutine function: async def")
                result = await waiting
        except _MEANT:
            raise
        except trio.TooSlowError:
            raise RemoteMistake(
                f"Remote.{name} did not return within {MEMBER_TIMEOUT_S:g} s"
            ) from None
        except Exception as error:
            raise _mistake(f"Remote.{name}", error) from error
        return _checked(name, result)

    return call


def _synchronous(remote: Remote, name: str, member: Callable[..., Any]) -> Callable[..., Any]:
    """Guard a function that does not wait."""

    def call(*args: Any, **named: Any) -> Any:
        try:
            result = member(*args, **named)
        except _MEANT:
            raise
        except Exception as error:
            raise _mistake(f"Remote.{name}", error) from error
        if name in ("key_name", "secret_name") and result not in remote.secrets:
            raise RemoteMistake(f"Remote.{name} returned {result!r}, not a name of Remote.secrets")
        return _checked(name, result)

    return call


def _mistake(where: str, error: Exception) -> RemoteMistake:
    cause = innermost(error)
    if isinstance(cause, RemoteMistake):
        return cause
    said = str(cause) if isinstance(cause, Failed) else describe(cause)
    return RemoteMistake(f"{where}: {said}")


# -- what a member must be ---------------------------------------------------------------------


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_texts(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(one, str) for pair in value.items() for one in pair
    )


def _is_webhook(value: object) -> bool:
    return (
        isinstance(value, WebhookRequest)
        and isinstance(value.body, bytes)
        and _is_texts(value.headers)
        and all(name == name.lower() for name in value.headers)
    )


def _is_header_names(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and bool(value)
        and all(isinstance(one, str) and one == one.lower() for one in value)
    )


def _is_delay(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value <= RETRY_AFTER_MAX_S


@attrs.frozen
class _Kind:
    """What a member returns, in words and as a condition."""

    words: str
    holds: Callable[[object], bool]


_COUNT = _Kind("an int of 0 or more", _is_count)
_WEBHOOK = _Kind("a WebhookRequest with bytes and lower-case headers", _is_webhook)
_RESULTS: Mapping[str, _Kind] = {
    "has_read": _Kind("True, False or None", lambda value: value is None or value in (True, False)),
    "requests": _COUNT,
    "objects": _COUNT,
    "refunds": _COUNT,
    "received": _COUNT,
    "asks_for": _COUNT,
    "tokens": _COUNT,
    "sponsored": _COUNT,
    "wallet_request": _Kind("bytes", lambda value: isinstance(value, bytes)),
    "metadata": _Kind("a mapping of str to str", _is_texts),
    "webhook": _WEBHOOK,
    "foreign_webhook": _WEBHOOK,
    "signature_headers": _Kind("a tuple of header names in lower case", _is_header_names),
    "retry_after_s": _Kind(f"a number above 0, at most {RETRY_AFTER_MAX_S:g}", _is_delay),
    "changed_settings": _Kind("a mapping", lambda value: isinstance(value, Mapping)),
}


def _is_secrets(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str)
        and isinstance(values, tuple)
        and bool(values)
        and all(isinstance(one, str) for one in values)
        for name, values in value.items()
    )


def _is_amounts(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(_is_count(one) and one for one in value)


#: Calls of a provider that may meet a fault.
_CALLS = frozenset({"create", "fetch", "cancel", "health", "watch"})


def _is_calls(value: object) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str) and _CALLS.issuperset(value)


_FLAG = _Kind("True or False", lambda value: isinstance(value, bool))
_TIMESPAN = _Kind(
    "a timedelta of 0 or more",
    lambda value: isinstance(value, timedelta) and value >= timedelta(0),
)
_ATTRIBUTES: Mapping[str, _Kind] = {
    "settings": _Kind("a mapping", lambda value: isinstance(value, Mapping)),
    "secrets": _Kind("a mapping of names to tuples of str", _is_secrets),
    "amounts": _Kind("a tuple of positive ints, at least one", _is_amounts),
    "refund_destination": _Kind("a str", lambda value: isinstance(value, str)),
    "follows_clock": _FLAG,
    "remembers": _FLAG,
    "needs_watch": _FLAG,
    "sends_nothing": _Kind(f"a set of some of {', '.join(sorted(_CALLS))}", _is_calls),
    "time_resolution": _TIMESPAN,
    "report_lag": _TIMESPAN,
    "events_per_page": _COUNT,
}


def _checked(name: str, result: Any) -> Any:
    kind = _RESULTS.get(name)
    if kind is not None and not kind.holds(result):
        raise RemoteMistake(f"Remote.{name} returned {result!r}, not {kind.words}")
    return result


def _checked_remote(remote: object) -> Remote:
    if not isinstance(remote, Remote):
        raise RemoteMistake(f"open_remote yielded {remote!r}, not a Remote")
    for name, kind in _ATTRIBUTES.items():
        if not kind.holds(value := getattr(remote, name)):
            raise RemoteMistake(f"Remote.{name} is {value!r}, not {kind.words}")
    return remote
