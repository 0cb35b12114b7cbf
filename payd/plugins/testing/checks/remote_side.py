"""The scripted remote side itself: it counts what happens, and its faults change something."""

import contextlib
from collections.abc import Awaitable, Callable

from payd.plugins import Created, ProviderError
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.checks.faults import CALL_FAULTS
from payd.plugins.testing.operations import due
from payd.plugins.testing.registry import Level, check
from payd.plugins.testing.remote import CannotHappen, Fault, NotScripted, RemoteMistake

#: Faults under which the remote side does nothing.
_NOTHING_DONE = (Fault.LOST_REQUEST, Fault.UNAUTHORIZED, Fault.RATE_LIMITED)


@check(Level.BASIC, "A remote side that counts nothing would certify any provider.")
async def the_remote_side_counts_what_happens(bench: Bench) -> None:
    sent = await _counted(bench.remote.requests)
    operation, ref, _ = await bench.opened()
    await bench.found(ref)
    await bench.in_time(bench.provider.health)
    if sent is not None and await bench.remote.requests() <= sent:
        raise RemoteMistake(
            f"Remote.requests is {sent} before and after create, fetch and health: count every"
            " request, or leave it out where none is sent"
        )
    await bench.pay(ref, due(operation))
    if await _counted(lambda: bench.objects(operation.payment_id)) == 0:
        raise RemoteMistake("Remote.objects is 0 for a payment that Remote.pay has paid")
    try:
        await bench.remote.refund(ref, due(operation) // 2)
    except (NotScripted, CannotHappen):
        return
    if await _counted(lambda: bench.remote.refunds(operation.payment_id)) == 0:
        raise RemoteMistake("Remote.refunds is 0 after Remote.refund of the payment")


@check(Level.RESILIENCE, "A fault that changes nothing would certify any provider.")
async def a_fault_of_the_remote_side_changes_something(bench: Bench) -> None:
    bench.require_requests("create")
    ruled_out: NotScripted | CannotHappen | None = None
    met = 0
    for fault in CALL_FAULTS:
        try:
            operation = bench.operation(metadata=bench.remote.metadata(fault))
            await bench.remote.fault(fault)
        except (NotScripted, CannotHappen) as error:
            ruled_out = error
            continue
        met += 1
        answer: Created | None = None
        with contextlib.suppress(ProviderError):
            answer = await bench.create(operation)
        number = await bench.objects(operation.payment_id)
        await bench.remote.mend()
        if number and bench.remote.remembers and fault in _NOTHING_DONE:
            raise RemoteMistake(
                f"Remote.fault({fault.name}) lets requests be done: Remote.objects is {number}"
            )
        if answer is not None and number and answer == await bench.create(operation):
            raise RemoteMistake(
                f"under Remote.fault({fault.name}) create returns what it returns without it:"
                " every request must meet the fault until `mend`"
            )
    if ruled_out is not None and not met:
        raise ruled_out


async def _counted(count: Callable[[], Awaitable[int]]) -> int | None:
    """Return the count; None where it is not scripted."""
    try:
        return await count()
    except (NotScripted, CannotHappen):
        return None
