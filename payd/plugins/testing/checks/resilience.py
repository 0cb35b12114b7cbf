"""Faults of the remote side and the network: the right error is raised, nothing is done twice."""

import contextlib

import attrs
import trio

from payd.plugins import (
    Absent,
    Created,
    CreateOperation,
    Declined,
    Lookup,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    ProviderError,
    ProviderManifest,
    RateLimited,
)
from payd.plugins.testing.bench import PATIENCE_S, Bench
from payd.plugins.testing.registry import Failed, Level, check
from payd.plugins.testing.remote import CannotHappen, Fault, NotScripted

CHECKPOINTS_MAX = 200
#: Faults that make a fetch fail.
FETCH_FAULTS = (
    Fault.SERVER_ERROR,
    Fault.LOST_REQUEST,
    Fault.LOST_ANSWER,
    Fault.GARBAGE,
    Fault.UNAUTHORIZED,
    Fault.RATE_LIMITED,
)
#: Longest plausible retry delay in seconds.
_RETRY_DELAY_MAX_S = 3600.0


def _looks_up(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.lookup is not Lookup.NONE


@attrs.frozen(kw_only=True)
class _Met:
    """An operation that met a fault, and the provider's result or error."""

    operation: CreateOperation
    #: A provider may retry by itself and succeed.
    answer: Created | None
    error: ProviderError | None

    def failed_as(self, fault: Fault, *kinds: type[ProviderError]) -> None:
        if self.answer is None and not isinstance(self.error, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise Failed(f"after a {fault.value}, create raised {self.error!r}, not {wanted}")


async def _meeting(bench: Bench, fault: Fault) -> _Met:
    bench.require_requests("create")
    # With an access token first, where it needs one: the fault is to meet the operation itself.
    await bench.opened()
    operation = bench.operation(metadata=bench.remote.metadata(fault))
    await bench.remote.fault(fault)
    answer: Created | None = None
    error: ProviderError | None = None
    try:
        answer = await bench.create(operation)
    except ProviderError as raised:
        error = raised
    await bench.remote.mend()
    return _Met(operation=operation, answer=answer, error=error)


async def _once(bench: Bench, met: _Met) -> Created:
    """Send the operation again; there must be one object."""
    created = await bench.create(met.operation)
    if met.answer is not None and met.answer.reference != created.reference:
        raise Failed(f"create returned {met.answer.reference}, then {created.reference}")
    if (number := await bench.objects(met.operation.payment_id)) != 1:
        raise Failed(f"after a retry, the remote side has {number} objects, not 1")
    return created


async def _lost(bench: Bench, fault: Fault, *kinds: type[ProviderError]) -> None:
    met = await _meeting(bench, fault)
    met.failed_as(fault, *kinds)
    await _once(bench, met)


@check(
    Level.RESILIENCE,
    "payd retries NotAttempted and looks up OutcomeUnknown; other errors may lose the payment.",
)
async def a_lost_request_is_retried_and_done_once(bench: Bench) -> None:
    await _lost(bench, Fault.LOST_REQUEST, NotAttempted, OutcomeUnknown)


@check(Level.RESILIENCE, "The object may exist and be paid; a failed payment would lose the money.")
async def a_lost_response_is_unknown_and_done_once(bench: Bench) -> None:
    await _lost(bench, Fault.LOST_ANSWER, OutcomeUnknown)


@check(Level.RESILIENCE, "Recovery calls fetch first, and create only without a result.", _looks_up)
async def an_object_whose_response_was_lost_is_found(bench: Bench) -> None:
    met = await _meeting(bench, Fault.LOST_ANSWER)
    result = await bench.fetch(bench.ref(met.operation))
    if isinstance(result, Absent):
        raise Failed("fetch returned Absent, but the object exists")
    created = await _once(bench, met)
    if created.reference != result.created.reference:
        raise Failed(f"fetch returned {result.created.reference}, create {created.reference}")


@check(Level.RESILIENCE, "A 5xx response does not say whether the request was done.")
async def a_server_error_is_unknown(bench: Bench) -> None:
    await _lost(bench, Fault.SERVER_ERROR, OutcomeUnknown)


@check(Level.RESILIENCE, "An unreadable response does not say whether the request was done.")
async def an_unreadable_response_is_unknown(bench: Bench) -> None:
    await _lost(bench, Fault.GARBAGE, OutcomeUnknown)


@check(Level.RESILIENCE, "Only an operator can fix a wrong key; Misconfigured raises the alert.")
async def refused_credentials_are_a_misconfiguration(bench: Bench) -> None:
    met = await _meeting(bench, Fault.UNAUTHORIZED)
    if not isinstance(met.error, Misconfigured):
        raise Failed(f"with refused credentials, create raised {met.error!r}, not Misconfigured")


@check(Level.RESILIENCE, "payd waits for the given delay before it retries.")
async def rate_limits_give_a_retry_delay(bench: Bench) -> None:
    met = await _meeting(bench, Fault.RATE_LIMITED)
    met.failed_as(Fault.RATE_LIMITED, RateLimited)
    wait_s = met.error.retry_after_s if isinstance(met.error, RateLimited) else 0.0
    if not 0 <= wait_s <= _RETRY_DELAY_MAX_S:
        raise Failed(f"retry_after_s is {wait_s}, expected 0 to {_RETRY_DELAY_MAX_S:g}")
    await bench.waited(min(wait_s, PATIENCE_S))
    await _once(bench, met)


@check(Level.RESILIENCE, "payd fails a payment only when it is declined permanently.")
async def a_definite_refusal_is_declined(bench: Bench) -> None:
    met = await _meeting(bench, Fault.DECLINE)
    if not isinstance(met.error, Declined):
        raise Failed(f"after a permanent refusal, create raised {met.error!r}, not Declined")
    if not met.error.code or not met.error.message:
        raise Failed("Declined has no code, or no message for people")


@check(
    Level.RESILIENCE,
    "payd enforces deadlines by cancelling; a call that ignores it occupies a slot for ever.",
)
async def a_hanging_call_can_be_cancelled(bench: Bench) -> None:
    bench.require_requests("create")
    operation = bench.operation(metadata=bench.remote.metadata(Fault.HANG))
    await bench.remote.fault(Fault.HANG)
    with trio.move_on_after(0.5) as scope:
        await bench.raised(bench.provider.create, operation)
    late_s = trio.current_time() - scope.deadline
    if late_s > 1:
        raise Failed(f"it ran for {late_s:.1f} s after its cancellation")
    await bench.remote.mend()
    await _once(bench, _Met(operation=operation, answer=None, error=None))


@check(Level.RESILIENCE, "A daemon may stop at any moment during a call.")
async def cancelled_at_any_moment_it_is_done_at_most_once(bench: Bench) -> None:
    for steps in range(CHECKPOINTS_MAX):
        operation = bench.operation()
        with trio.CancelScope() as scope:
            counter = CancelAfter(scope, steps)
            trio.lowlevel.add_instrument(counter)
            try:
                await bench.raised(bench.provider.create, operation)
            finally:
                trio.lowlevel.remove_instrument(counter)
        with trio.fail_after(PATIENCE_S):
            await _once(bench, _Met(operation=operation, answer=None, error=None))
        if not scope.cancelled_caught:
            return
        if steps > 20 and steps % 10:
            continue
    raise Failed(f"create did not end after {CHECKPOINTS_MAX} steps")


@check(Level.RESILIENCE, "payd sends an operation again if fetch returns Absent.")
async def a_failed_fetch_is_not_absence(bench: Bench) -> None:
    bench.require_requests("fetch")
    operation, ref, _ = await bench.opened()
    refs = [ref]
    if bench.manifest.capabilities.lookup is not Lookup.NONE:
        refs.append(bench.ref(operation))
    ruled_out: NotScripted | CannotHappen | None = None
    met = 0
    for fault in FETCH_FAULTS:
        try:
            await bench.remote.fault(fault)
        except (NotScripted, CannotHappen) as error:
            ruled_out = error
            continue
        met += 1
        for one in refs:
            with contextlib.suppress(ProviderError):
                if isinstance(await bench.fetch(one), Absent):
                    how = "with" if one.reference else "without"
                    raise Failed(f"after a {fault.value}, fetch {how} a reference returned Absent")
        await bench.remote.mend()
    if ruled_out is not None and not met:
        raise ruled_out


@check(Level.RESILIENCE, "An unknown reference must not look like a payment.")
async def a_wrong_reference_is_not_found(bench: Bench) -> None:
    _, ref, _ = await bench.opened()
    wrong = attrs.evolve(ref, reference="no-such-object", payment_id=bench.operation().payment_id)
    try:
        result = await bench.fetch(wrong)
    except ProviderError:
        return
    if not isinstance(result, Absent) and result.snapshot.received:
        raise Failed(f"fetch of an unknown reference returned {result!r}")


class CancelAfter(trio.abc.Instrument):
    """Cancels a scope after a number of steps of its task."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self._scope = scope
        self._left = steps
        self._task = trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a step."""
        if task is self._task:
            self._left -= 1
            if self._left < 0:
                self._scope.cancel()
