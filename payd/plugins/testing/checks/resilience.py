"""What a remote side and a network really do: every failure has its name, and nothing is done twice."""

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

_CHECKPOINTS_MAX = 200
#: Whatever keeps a look from seeing.
_LOOKS_MEET = (
    Fault.SERVER_ERROR,
    Fault.LOST_REQUEST,
    Fault.LOST_ANSWER,
    Fault.GARBAGE,
    Fault.UNAUTHORIZED,
    Fault.RATE_LIMITED,
)
#: An hour: longer than any provider asks for.
_QUIET_MAX_S = 3600.0


def _looks_up(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.lookup is not Lookup.NONE


@attrs.frozen(kw_only=True)
class _Met:
    """An operation that met a fault, and what the provider made of it."""

    operation: CreateOperation
    #: A provider may try again by itself: then it answers.
    answer: Created | None
    error: ProviderError | None

    def failed_as(self, fault: Fault, *kinds: type[ProviderError]) -> None:
        if self.answer is None and not isinstance(self.error, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise Failed(f"a {fault.value} gave {self.error!r}, not {wanted}")


async def _meeting(bench: Bench, fault: Fault) -> _Met:
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
    """Sent again, it is there, once."""
    created = await bench.create(met.operation)
    if met.answer is not None and met.answer.reference != created.reference:
        raise Failed(f"it answered {met.answer.reference}, and then {created.reference}")
    if (number := await bench.objects(met.operation.payment_id)) != 1:
        raise Failed(f"sent again, the remote side has {number} objects")
    return created


async def _lost(bench: Bench, fault: Fault, *kinds: type[ProviderError]) -> None:
    met = await _meeting(bench, fault)
    met.failed_as(fault, *kinds)
    await _once(bench, met)


@check(
    Level.RESILIENCE,
    "Not attempted is sent again at once, unknown is looked up; any other name loses the payment.",
)
async def a_request_that_was_lost_is_sent_again_and_done_once(bench: Bench) -> None:
    await _lost(bench, Fault.LOST_REQUEST, NotAttempted, OutcomeUnknown)


@check(
    Level.RESILIENCE, "The customer may be paying already: to call it failed would lose his money."
)
async def an_answer_that_was_lost_is_unknown_and_sent_again_done_once(bench: Bench) -> None:
    await _lost(bench, Fault.LOST_ANSWER, OutcomeUnknown)


@check(Level.RESILIENCE, "Recovery looks first; what it finds it need not send.", _looks_up)
async def an_object_whose_answer_was_lost_is_found(bench: Bench) -> None:
    met = await _meeting(bench, Fault.LOST_ANSWER)
    said = await bench.fetch(bench.ref(met.operation))
    if isinstance(said, Absent):
        raise Failed("it exists, and is said to be absent")
    created = await _once(bench, met)
    if created.reference != said.created.reference:
        raise Failed(f"found as {said.created.reference}, created as {created.reference}")


@check(Level.RESILIENCE, "A 5xx says nothing about what was done.")
async def a_server_error_is_unknown(bench: Bench) -> None:
    await _lost(bench, Fault.SERVER_ERROR, OutcomeUnknown)


@check(Level.RESILIENCE, "An answer that cannot be read says nothing about what was done.")
async def an_unreadable_answer_is_unknown(bench: Bench) -> None:
    await _lost(bench, Fault.GARBAGE, OutcomeUnknown)


@check(
    Level.RESILIENCE, "A wrong key is the operator's to mend: it must be called so, and wake him."
)
async def refused_credentials_are_a_misconfiguration(bench: Bench) -> None:
    met = await _meeting(bench, Fault.UNAUTHORIZED)
    if not isinstance(met.error, Misconfigured):
        raise Failed(f"refused credentials gave {met.error!r}, not Misconfigured")


@check(Level.RESILIENCE, "payd waits as long as it is told, instead of pressing on.")
async def too_many_requests_say_when_to_come_again(bench: Bench) -> None:
    met = await _meeting(bench, Fault.RATE_LIMITED)
    met.failed_as(Fault.RATE_LIMITED, RateLimited)
    wait_s = met.error.retry_after_s if isinstance(met.error, RateLimited) else 0.0
    if not 0 <= wait_s <= _QUIET_MAX_S:
        raise Failed(f"it says to come again after {wait_s} s")
    await _once(bench, met)


@check(Level.RESILIENCE, "Only what is declined for good may fail a payment.")
async def a_definite_refusal_is_declined(bench: Bench) -> None:
    met = await _meeting(bench, Fault.DECLINE)
    if not isinstance(met.error, Declined):
        raise Failed(f"a definite refusal gave {met.error!r}, not Declined")
    if not met.error.code or not met.error.message:
        raise Failed("it declines without a code, or without a sentence for people")


@check(
    Level.RESILIENCE,
    "payd's deadline is kept by cancelling; who ignores it keeps a place for ever.",
)
async def a_remote_side_that_hangs_can_be_left(bench: Bench) -> None:
    operation = bench.operation(metadata=bench.remote.metadata(Fault.HANG))
    await bench.remote.fault(Fault.HANG)
    with trio.move_on_after(0.5) as scope:
        await bench.raised(bench.provider.create, operation)
    late_s = trio.current_time() - scope.deadline
    if late_s > 1:
        raise Failed(f"cancelled, it went on for {late_s:.1f} s")
    await bench.remote.mend()
    await _once(bench, _Met(operation=operation, answer=None, error=None))


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
            await _once(bench, _Met(operation=operation, answer=None, error=None))
        if not scope.cancelled_caught:
            return
        if steps > 20 and steps % 10:
            continue
    raise Failed(f"it was still not done after {_CHECKPOINTS_MAX} steps")


@check(Level.RESILIENCE, "A look that fails must not be taken for one that found nothing.")
async def a_look_that_failed_is_not_absence(bench: Bench) -> None:
    operation, ref, _ = await bench.opened()
    refs = [ref]
    if bench.manifest.capabilities.lookup is not Lookup.NONE:
        refs.append(bench.ref(operation))
    ruled_out: NotScripted | CannotHappen | None = None
    met = 0
    for fault in _LOOKS_MEET:
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
                    raise Failed(f"a look {how} a reference that met a {fault.value} said Absent")
        await bench.remote.mend()
    if ruled_out is not None and not met:
        raise ruled_out


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
