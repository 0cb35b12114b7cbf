"""What may change while an operation is under way: settings, and the time until its expiry."""

import contextlib
from datetime import timedelta

from payd.plugins import Cancel, IdempotencyConflict, ProviderManifest, ProviderStatus
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.registry import Failed, Level, check
from payd.plugins.testing.remote import NotScripted, RemoteMistake

#: From the payment's creation to its first sending: payd may have been stopped meanwhile.
_LATE = timedelta(minutes=4)
#: Tolerance for clocks that differ.
_MARGIN = timedelta(minutes=1)


def _closes(manifest: ProviderManifest, _provider: object) -> bool:
    return manifest.capabilities.cancel is Cancel.CLOSES


@check(
    Level.RESILIENCE,
    "An operator restarts payd with other settings between two sends of a payment.",
)
async def a_setting_changed_between_retries_changes_nothing(bench: Bench) -> None:
    changed = bench.remote.changed_settings()
    if dict(changed) == dict(bench.remote.settings):
        raise RemoteMistake("Remote.changed_settings returned Remote.settings: nothing changed")
    operation, ref, first = await bench.opened()
    async with bench.rebuilt(changed) as after:
        try:
            second = await after.create(operation)
        except IdempotencyConflict as error:
            raise Failed(
                f"after a setting changed, create of the same operation raised {error!r}: send"
                " what `prepare` returned, or compare only what the operation says"
            ) from error
        if second.reference != first.reference:
            raise Failed(
                f"create returned {first.reference}, after a setting changed {second.reference}"
            )
        if second.next_action != first.next_action:
            raise Failed(
                f"the customer was shown {first.next_action!r}, and after a setting changed"
                f" {second.next_action!r}"
            )
        await after.found(ref)
    if (number := await bench.objects(operation.payment_id)) != 1:
        raise Failed(f"after a setting changed, the remote side has {number} objects, not 1")


@check(
    Level.BASIC,
    "Money for an expired payment waits for a person; a payment that ends early loses a sale.",
    _closes,
)
async def an_object_closes_at_its_expiry(bench: Bench) -> None:
    operation = bench.operation()
    await _forward(bench, _LATE)
    created = await bench.create(operation)
    ref = bench.ref(operation, created)
    # Its own time, where the remote side has one.
    end = min(created.expire_time or operation.expire_time, operation.expire_time)
    left = end - operation.create_time - _LATE
    if left > _MARGIN:
        await _forward(bench, left - _MARGIN)
        if (status := (await bench.found(ref)).snapshot.status) is not ProviderStatus.OPEN:
            raise Failed(f"a minute before its expiry, its status is {status.value}, not OPEN")
        left = _MARGIN
    await _forward(bench, left + _MARGIN)
    await bench.remote.rest()
    status = (await bench.found(ref)).snapshot.status
    if status in (ProviderStatus.EXPIRED, ProviderStatus.CANCELED):
        return
    # Raises CannotHappen where objects never close by themselves: payd closes them then.
    with contextlib.suppress(NotScripted):
        await bench.remote.expire(ref)
    raise Failed(
        f"a minute after operation.expire_time, its status is {status.value}: pass that time to"
        " the remote side, or return the time at which it closes in Created.expire_time"
    )


async def _forward(bench: Bench, by: timedelta) -> None:
    bench.clock.advance(by)
    await bench.remote.later(by)
