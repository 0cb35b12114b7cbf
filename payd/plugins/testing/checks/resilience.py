"""What a remote side and a network really do: every failure has its name, and nothing is done twice."""

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
from payd.plugins.testing.remote import Fault

_CHECKPOINTS_MAX = 200


def _looks_up(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.lookup is not Lookup.NONE


async def _meeting(bench: Bench, fault: Fault) -> tuple[CreateOperation, BaseException | None]:
    """An operation that meets the fault, and what it raised."""
    operation = bench.operation(metadata=bench.remote.metadata(fault))
    await bench.remote.fault(fault)
    return operation, await bench.raised(bench.provider.create, operation)


async def _once(bench: Bench, operation: CreateOperation) -> Created:
    """Sent again, it is there, once."""
    created = await bench.create(operation)
    if (number := await bench.objects(operation.payment_id)) != 1:
        raise Failed(f"sent again, the remote side has {number} objects")
    return created


@check(Level.RESILIENCE, "Unknown is looked up; not attempted is sent again at once; anything else lies.")
async def a_request_that_was_lost_is_sent_again_and_done_once(bench: Bench) -> None:
    operation, error = await _meeting(bench, Fault.LOST_REQUEST)
    if not isinstance(error, (NotAttempted, OutcomeUnknown)):
        raise Failed(f"a lost request gave {error!r}, not NotAttempted or OutcomeUnknown")
    await _once(bench, operation)


@check(Level.RESILIENCE, "The customer may be paying already: to call it failed would lose his money.")
async def an_answer_that_was_lost_is_unknown_and_sent_again_done_once(bench: Bench) -> None:
    operation, error = await _meeting(bench, Fault.LOST_ANSWER)
    if not isinstance(error, OutcomeUnknown):
        raise Failed(f"a lost answer gave {error!r}, not OutcomeUnknown")
    await _once(bench, operation)


@check(Level.RESILIENCE, "Recovery looks first; what it finds it need not send.", _looks_up)
async def an_object_whose_answer_was_lost_is_found(bench: Bench) -> None:
    operation, _ = await _meeting(bench, Fault.LOST_ANSWER)
    said = await bench.fetch(bench.ref(operation))
    if isinstance(said, Absent):
        raise Failed("it exists, and is said to be absent")
    created = await _once(bench, operation)
    if created.reference != said.created.reference:
        raise Failed(f"found as {said.created.reference}, created as {created.reference}")


@check(Level.RESILIENCE, "A 5xx says nothing about what was done.")
async def a_server_error_is_unknown(bench: Bench) -> None:
    operation, error = await _meeting(bench, Fault.SERVER_ERROR)
    if not isinstance(error, OutcomeUnknown):
        raise Failed(f"a server error gave {error!r}, not OutcomeUnknown")
    await _once(bench, operation)


@check(Level.RESILIENCE, "An answer that cannot be read says nothing about what was done.")
async def an_unreadable_answer_is_unknown(bench: Bench) -> None:
    operation, error = await _meeting(bench, Fault.GARBAGE)
    if not isinstance(error, OutcomeUnknown):
        raise Failed(f"an unreadable answer gave {error!r}, not OutcomeUnknown")
    await _once(bench, operation)


@check(Level.RESILIENCE, "A wrong key is the operator's to mend: it must be called so, and wake him.")
async def refused_credentials_are_a_misconfiguration(bench: Bench) -> None:
    _, error = await _meeting(bench, Fault.UNAUTHORIZED)
    if not isinstance(error, Misconfigured):
        raise Failed(f"refused credentials gave {error!r}, not Misconfigured")


@check(Level.RESILIENCE, "payd waits as long as it is told, instead of pressing on.")
async def too_many_requests_say_when_to_come_again(bench: Bench) -> None:
    operation, error = await _meeting(bench, Fault.RATE_LIMITED)
    if not isinstance(error, RateLimited):
        raise Failed(f"too many requests gave {error!r}, not RateLimited")
    if not 0 <= error.retry_after_s <= 3600:
        raise Failed(f"it says to come again after {error.retry_after_s} s")
    await _once(bench, operation)


@check(Level.RESILIENCE, "Only what is declined for good may fail a payment.")
async def a_definite_refusal_is_declined(bench: Bench) -> None:
    _, error = await _meeting(bench, Fault.DECLINE)
    if not isinstance(error, Declined):
        raise Failed(f"a definite refusal gave {error!r}, not Declined")
    if not error.code or not error.message:
        raise Failed("it declines without a code, or without a sentence for people")


@check(Level.RESILIENCE, "payd's deadline is kept by cancelling; who ignores it keeps a place for ever.")
async def a_remote_side_that_hangs_can_be_left(bench: Bench) -> None:
    operation = bench.operation(metadata=bench.remote.metadata(Fault.HANG))
    await bench.remote.fault(Fault.HANG)
    with trio.move_on_after(0.5) as scope:
        await bench.raised(bench.provider.create, operation)
    late_s = trio.current_time() - scope.deadline
    if scope.cancelled_caught and late_s > 1:
        raise Failed(f"cancelled, it went on for {late_s:.1f} s")
    await _once(bench, operation)


@check(Level.RESILIENCE, "A daemon may be stopped at any moment of a call.")
async def cancelled_at_any_moment_it_is_done_at_most_once(bench: Bench) -> None:
    for steps in range(_CHECKPOINTS_MAX):
        operation = bench.operation()
        with trio.CancelScope() as scope:
            counter = _CancelAfter(scope, steps)
            trio.lowlevel.add_instrument(counter)
            try:
                await bench.raised(bench.provider.create, operation)
            finally:
                trio.lowlevel.remove_instrument(counter)
        with trio.fail_after(PATIENCE_S):
            await _once(bench, operation)
        if not scope.cancelled_caught:
            return
        if steps > 20 and steps % 10:
            continue
    raise Failed(f"it was still not done after {_CHECKPOINTS_MAX} steps")


@check(Level.RESILIENCE, "A look that fails must not be taken for one that found nothing.")
async def a_look_that_failed_is_not_absence(bench: Bench) -> None:
    _, ref, _ = await bench.opened()
    await bench.remote.fault(Fault.SERVER_ERROR)
    try:
        said = await bench.fetch(ref)
    except ProviderError:
        return
    if isinstance(said, Absent):
        raise Failed("a look that met a server error said Absent")


@check(Level.RESILIENCE, "A reference that leads nowhere must not look like a payment.")
async def a_wrong_reference_is_not_found(bench: Bench) -> None:
    _, ref, _ = await bench.opened()
    wrong = attrs.evolve(ref, reference="no-such-object", payment_id=bench.operation().payment_id)
    try:
        said = await bench.fetch(wrong)
    except ProviderError:
        return
    if not isinstance(said, Absent) and said.snapshot.received:
        raise Failed(f"of an object that does not exist it says {said!r}")


class _CancelAfter(trio.abc.Instrument):
    """Cancels a scope after so many steps of its task."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self._scope = scope
        self._left = steps
        self._task = trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """One step nearer."""
        if task is self._task:
            self._left -= 1
            if self._left < 0:
                self._scope.cancel()
