"""Faults of every call: each raises the right error, hides nothing, and waits as long as asked."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import trio

from payd.plugins import (
    Cancel,
    Created,
    CreateOperation,
    Lookup,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    PaymentRef,
    ProviderError,
    ProviderStatus,
    RateLimited,
)
from payd.plugins.testing.bench import PATIENCE_S, Bench
from payd.plugins.testing.operations import names
from payd.plugins.testing.registry import Failed, Level, check
from payd.plugins.testing.remote import CannotHappen, Fault, NotScripted, RemoteMistake

__all__ = ["CALL_FAULTS", "under_each", "waited"]

#: Faults that make any call fail. The last may ask the provider to send nothing for a while.
CALL_FAULTS = (
    Fault.SERVER_ERROR,
    Fault.LOST_REQUEST,
    Fault.LOST_ANSWER,
    Fault.GARBAGE,
    Fault.UNAUTHORIZED,
    Fault.RATE_LIMITED,
)
#: Any other fault leaves unknown what was done, or proves that nothing was sent.
_UNCERTAIN = (NotAttempted, OutcomeUnknown)
_RAISED = {
    # The failing server may be a setting of ours, such as a folder that does not exist.
    Fault.SERVER_ERROR: (*_UNCERTAIN, Misconfigured),
    Fault.UNAUTHORIZED: (Misconfigured,),
    Fault.RATE_LIMITED: (RateLimited,),
}
#: Seconds that a provider may add to the remote side's delay, and that may pass meanwhile.
_ADDED_S = 1.0
_PASSED_S = 0.2
#: Seconds until a hanging call is cancelled, and until it must have ended then.
_HANG_S = 0.3
_LATE_S = 1.0


@attrs.frozen(kw_only=True)
class Opened:
    """An open object that was created before the fault."""

    operation: CreateOperation
    ref: PaymentRef
    created: Created

    @property
    def called(self) -> set[str]:
        """The references by which an observation may name it."""
        return names(self.operation, self.created)


async def under_each(
    bench: Bench, faults: Sequence[Fault], act: Callable[[Fault, Opened], Awaitable[None]]
) -> None:
    """Act under each fault that can happen, each time with a new object.

    Raises NotScripted for a fault that is not scripted, after all others; and CannotHappen when
    none of them can happen.
    """
    missing: NotScripted | None = None
    ruled_out: CannotHappen | None = None
    met = 0
    for fault in faults:
        try:
            await bench.remote.fault(fault)
        except NotScripted as error:
            missing = error
            continue
        except CannotHappen as error:
            ruled_out = error
            continue
        met += 1
        await bench.remote.mend()
        operation, ref, created = await bench.opened()
        await bench.remote.fault(fault)
        await act(fault, Opened(operation=operation, ref=ref, created=created))
        await bench.remote.mend()
    if missing is not None:
        raise missing
    if ruled_out is not None and not met:
        raise ruled_out


async def waited(bench: Bench, error: BaseException | None) -> None:
    """Wait as long as a RateLimited asks, as payd does before it sends again."""
    if isinstance(error, RateLimited):
        await bench.waited(min(max(error.retry_after_s, 0.0), PATIENCE_S))


def _right(fault: Fault, call: str, error: BaseException | None) -> None:
    kinds: tuple[type[ProviderError], ...] = _RAISED.get(fault, _UNCERTAIN)
    # Without an error it has an answer of its own, such as what its watch has stored.
    if error is not None and not isinstance(error, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise Failed(f"after a {fault.value}, {call} raised {error!r}, not {wanted}")


@check(Level.RESILIENCE, "payd fetches again after a fault; any other error decides something.")
async def a_fault_of_fetch_is_raised_as_what_it_is(bench: Bench) -> None:
    bench.require_requests("fetch")

    async def act(fault: Fault, opened: Opened) -> None:
        for one in _refs(bench, opened):
            _right(fault, "fetch", await bench.raised(bench.provider.fetch, one))

    await under_each(bench, CALL_FAULTS, act)


@check(Level.RESILIENCE, "payd reports CANCELED for an object that a failed cancel left payable.")
async def a_fault_of_cancel_is_raised_and_closes_nothing_by_itself(bench: Bench) -> None:
    bench.require_requests("cancel")
    closes = bench.manifest.capabilities.cancel is Cancel.CLOSES

    async def act(fault: Fault, opened: Opened) -> None:
        error: ProviderError | None = None
        try:
            snapshot = await bench.cancel(opened.ref)
        except ProviderError as raised:
            error = raised
        else:
            if snapshot.status is ProviderStatus.CANCELED and not closes:
                raise Failed(f"after a {fault.value}, cancel says CANCELED, and it closes nothing")
        _right(fault, "cancel", error)
        await bench.remote.mend()
        await waited(bench, error)
        status = (await bench.found(opened.ref)).snapshot.status
        if error is None and closes and status is ProviderStatus.OPEN:
            raise Failed(f"after a {fault.value}, cancel returned, but the object is still open")
        after = await bench.cancel(opened.ref)
        if closes and after.status not in (ProviderStatus.CANCELED, ProviderStatus.EXPIRED):
            raise Failed(f"cancelled again after a {fault.value}, it is {after.status.value}")
        if after.received:
            raise Failed(f"after a {fault.value}, received is {after.received}: nothing was paid")

    await under_each(bench, CALL_FAULTS, act)


@check(Level.RESILIENCE, "payd enforces its deadline for fetch and cancel by cancelling them.")
async def a_hanging_fetch_or_cancel_can_be_cancelled(bench: Bench) -> None:
    bench.require_requests("fetch", "cancel")

    async def act(_fault: Fault, opened: Opened) -> None:
        for name, call in (("fetch", bench.provider.fetch), ("cancel", bench.provider.cancel)):
            if not bench.sends(name):
                continue
            with trio.move_on_after(_HANG_S) as scope:
                await bench.raised(call, opened.ref)
            if (late_s := trio.current_time() - scope.deadline) > _LATE_S:
                raise Failed(f"{name} ran for {late_s:.1f} s after its cancellation")

    await under_each(bench, (Fault.HANG,), act)


@check(
    Level.RESILIENCE,
    "A key without a right is for an operator to mend; Absent would make a second object.",
)
async def a_forbidden_call_is_a_misconfiguration(bench: Bench) -> None:
    bench.require_requests("create", "fetch", "cancel", "health")
    # Before anything is created for it: it may be impossible.
    await bench.remote.forbid()
    await bench.remote.mend()
    operation, ref, created = await bench.opened()
    calls: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
        ("create", bench.provider.create, (bench.operation(),)),
        ("cancel", bench.provider.cancel, (ref,)),
        *(
            ("fetch", bench.provider.fetch, (one,))
            for one in _refs(bench, Opened(operation=operation, ref=ref, created=created))
        ),
        ("health", bench.provider.health, ()),
    ]
    await bench.remote.forbid()
    for name, call, arguments in calls:
        if not bench.sends(name):
            continue
        error = await bench.raised(call, *arguments)
        if not isinstance(error, Misconfigured):
            what = "returned an answer" if error is None else f"raised {error!r}"
            raise Failed(f"while the remote side forbids it (403), {name} {what}")


@check(Level.RESILIENCE, "Who asks again too early is refused for longer.")
async def a_retry_delay_is_that_of_the_remote_side(bench: Bench) -> None:
    bench.require_requests("create")
    wanted_s = bench.remote.retry_after_s()
    operation = bench.operation(metadata=bench.remote.metadata(Fault.RATE_LIMITED))
    await bench.remote.fault(Fault.RATE_LIMITED)
    error = await bench.raised(bench.provider.create, operation)
    await bench.remote.mend()
    if not isinstance(error, RateLimited):
        raise Failed(f"after too many requests, create raised {error!r}, not RateLimited")
    if not wanted_s - _PASSED_S <= error.retry_after_s <= wanted_s + _ADDED_S:
        raise Failed(
            f"the remote side asks for a delay of {wanted_s:g} s,"
            f" but retry_after_s is {error.retry_after_s:g}"
        )
    await waited(bench, error)
    await bench.create(operation)
    if (number := await bench.objects(operation.payment_id)) != 1:
        raise Failed(f"after the delay, the remote side has {number} objects, not 1")


@check(Level.RESILIENCE, "An operator finds out by `payd providers` that the remote side is away.")
async def health_raises_a_fault_as_what_it_is(bench: Bench) -> None:
    bench.require_requests("health")

    async def act(fault: Fault, _opened: Opened) -> None:
        error = await bench.raised(bench.provider.health)
        if error is None:
            raise Failed(f"under a {fault.value}, health returned")
        _right(fault, "health", error)

    await under_each(bench, CALL_FAULTS, act)


@check(Level.RESILIENCE, "A call that sends nothing goes on while the remote side is away.")
async def what_sends_nothing_meets_no_fault(bench: Bench) -> None:
    silent = [name for name in ("create", "fetch", "cancel", "health") if not bench.sends(name)]
    if not silent:
        raise CannotHappen("every call sends requests")

    async def act(fault: Fault, opened: Opened) -> None:
        arguments = {"create": (opened.operation,), "health": ()}
        for name in silent:
            call = getattr(bench.provider, name)
            error = await bench.raised(call, *arguments.get(name, (opened.ref,)))
            if error is not None:
                raise RemoteMistake(
                    f"Remote.sends_nothing names {name}, which raised {error!r} under"
                    f" Remote.fault({fault.name})"
                )

    await under_each(bench, CALL_FAULTS, act)


def _refs(bench: Bench, opened: Opened) -> Sequence[PaymentRef]:
    """The reference, and that after a lost response if the provider can look it up."""
    if bench.manifest.capabilities.lookup is Lookup.NONE:
        return (opened.ref,)
    return (opened.ref, bench.ref(opened.operation))
