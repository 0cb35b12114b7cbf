"""Refunds under faults: the right error is raised, and no money goes back twice."""

import contextlib

import trio

from payd.plugins import (
    Absent,
    Lookup,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    ProviderError,
    ProviderManifest,
    RefundOperation,
    RefundSnapshot,
)
from payd.plugins.testing.bench import PATIENCE_S, Bench
from payd.plugins.testing.checks.refunding import Paid, paid
from payd.plugins.testing.checks.refunds import sends
from payd.plugins.testing.checks.resilience import CHECKPOINTS_MAX, FETCH_FAULTS, CancelAfter
from payd.plugins.testing.registry import Failed, Level, check
from payd.plugins.testing.remote import CannotHappen, Fault, NotScripted

#: Faults after which nobody knows whether the refund was made.
_UNKNOWN_AFTER = (Fault.LOST_ANSWER, Fault.SERVER_ERROR, Fault.GARBAGE)


def _looks_up(manifest: ProviderManifest, provider: object) -> bool:
    able = manifest.capabilities.refunds
    return able is not None and sends(manifest, provider) and able.lookup is not Lookup.NONE


async def _meeting(
    bench: Bench, fault: Fault
) -> tuple[Paid, RefundOperation, RefundSnapshot | ProviderError]:
    """Refund a whole payment under a fault; return the provider's answer or error."""
    payment = await paid(bench)
    refund = payment.refund(payment.due)
    await bench.remote.refund_fault(payment.ref, fault)
    said: RefundSnapshot | ProviderError
    try:
        said = await payment.send(refund)
    except ProviderError as error:
        said = error
    await bench.remote.mend()
    return payment, refund, said


async def _once(payment: Paid, refund: RefundOperation) -> RefundSnapshot:
    """Send the refund again; there must be one."""
    said = await payment.send(refund)
    if (number := await payment.count()) != 1:
        raise Failed(f"after a retry, the remote side has {number} refunds, not 1")
    return said


@check(Level.REFUNDS, "A refund that was not made must be made after all.", sends)
async def a_refund_whose_request_was_lost_is_made_once(bench: Bench) -> None:
    payment, refund, said = await _meeting(bench, Fault.LOST_REQUEST)
    if not isinstance(said, RefundSnapshot | NotAttempted | OutcomeUnknown):
        raise Failed(f"after a lost request, refund raised {said!r}")
    await _once(payment, refund)


@check(Level.REFUNDS, "The money may be on its way: a failed refund would be paid again.", sends)
async def a_refund_without_a_readable_response_is_unknown_and_made_once(bench: Bench) -> None:
    ruled_out: NotScripted | CannotHappen | None = None
    met = 0
    for fault in _UNKNOWN_AFTER:
        try:
            payment, refund, said = await _meeting(bench, fault)
        except (NotScripted, CannotHappen) as error:
            ruled_out = error
            continue
        met += 1
        if not isinstance(said, RefundSnapshot | OutcomeUnknown):
            raise Failed(f"after a {fault.value}, refund raised {said!r}, not OutcomeUnknown")
        await _once(payment, refund)
    if ruled_out is not None and not met:
        raise ruled_out


@check(Level.REFUNDS, "payd looks for a refund before it sends it again.", _looks_up)
async def a_refund_whose_response_was_lost_is_found(bench: Bench) -> None:
    payment, refund, _ = await _meeting(bench, Fault.LOST_ANSWER)
    found = await payment.fetch(refund)
    if isinstance(found, Absent):
        raise Failed("fetch_refund returned Absent, but the refund exists")
    if (await _once(payment, refund)).reference != found.reference:
        raise Failed("fetch_refund returned another refund than the retry")


@check(Level.REFUNDS, "Only an operator can give a key the right to refund.", sends)
async def refused_credentials_stop_no_refund_for_good(bench: Bench) -> None:
    payment, refund, said = await _meeting(bench, Fault.UNAUTHORIZED)
    if not isinstance(said, Misconfigured):
        raise Failed(f"with refused credentials, refund raised {said!r}, not Misconfigured")
    await _once(payment, refund)


@check(Level.REFUNDS, "payd sends an absent refund again.", _looks_up)
async def a_failed_look_for_a_refund_is_not_absence(bench: Bench) -> None:
    payment = await paid(bench)
    refund = payment.refund(payment.due)
    said = await payment.send(refund)
    ruled_out: NotScripted | CannotHappen | None = None
    met = 0
    for fault in FETCH_FAULTS:
        try:
            await bench.remote.fault(fault)
        except (NotScripted, CannotHappen) as error:
            ruled_out = error
            continue
        met += 1
        for one in (said, None):
            with contextlib.suppress(ProviderError):
                if isinstance(await payment.fetch(refund, one), Absent):
                    how = "with" if one else "without"
                    raise Failed(
                        f"after a {fault.value}, fetch_refund {how} a reference returned Absent"
                    )
        await bench.remote.mend()
    if ruled_out is not None and not met:
        raise ruled_out


@check(Level.REFUNDS, "A daemon may stop at any moment during a refund.", sends)
async def cancelled_at_any_moment_a_refund_is_made_at_most_once(bench: Bench) -> None:
    for steps in range(CHECKPOINTS_MAX):
        payment = await paid(bench)
        refund = payment.refund(payment.due)
        with trio.CancelScope() as scope:
            counter = CancelAfter(scope, steps)
            trio.lowlevel.add_instrument(counter)
            try:
                await payment.raised(refund)
            finally:
                trio.lowlevel.remove_instrument(counter)
        with trio.fail_after(PATIENCE_S):
            await _once(payment, refund)
        if not scope.cancelled_caught:
            return
    raise Failed(f"refund did not end after {CHECKPOINTS_MAX} steps")
