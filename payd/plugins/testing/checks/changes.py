"""What may change while an operation is under way: settings, and the time until its expiry."""

import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from payd.plugins import (
    Cancel,
    Created,
    CreateOperation,
    IdempotencyConflict,
    InvalidRequest,
    PaymentRef,
    ProviderManifest,
    ProviderStatus,
)
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.registry import Failed, Level, check
from payd.plugins.testing.remote import NotScripted, RemoteMistake

#: From the payment's creation to its first sending: payd may have been stopped meanwhile. Not a
#: whole number of minutes, as some lifetimes are.
_LATE = timedelta(minutes=4, seconds=30)
#: Tolerance for clocks that differ, and before the end on the kit's own clock.
_MARGIN = timedelta(minutes=1)
_SHORTLY = timedelta(seconds=5)


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
    await _changes_nothing(bench, changed, *await bench.opened())
    try:
        opened = await bench.opened(return_url="", cancel_url="")
    except InvalidRequest:
        # It needs a page to return to.
        return
    await _changes_nothing(bench, changed, *opened)


async def _changes_nothing(
    bench: Bench,
    changed: Mapping[str, Any],
    operation: CreateOperation,
    ref: PaymentRef,
    first: Created,
) -> None:
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
    before = _MARGIN if bench.clock.is_real else _SHORTLY + bench.remote.time_resolution
    if left > before:
        await _forward(bench, left - before)
        if (status := (await bench.found(ref)).snapshot.status) is not ProviderStatus.OPEN:
            raise Failed(
                f"{before.total_seconds():g} s before the payment's expiry, its status is"
                f" {status.value}, not OPEN: if the remote side closes it earlier than"
                " operation.expire_time, return that time as Created.expire_time"
            )
        left = before
    await _forward(bench, left + _MARGIN)
    await bench.remote.rest()
    status = (await bench.found(ref)).snapshot.status
    if status in (ProviderStatus.EXPIRED, ProviderStatus.CANCELED):
        _said_when(created, end + _MARGIN)
        return
    # Raises CannotHappen where objects never close by themselves: payd closes them then.
    with contextlib.suppress(NotScripted):
        await bench.remote.expire(ref)
    raise Failed(
        f"a minute after the payment's expiry, its status is {status.value}. The payment expires at"
        " operation.expire_time, or at Created.expire_time if that is earlier; a later one changes"
        " nothing. Pass operation.expire_time to the remote side. If it takes a duration, compute"
        " it in `create`, from clock.now() to operation.expire_time"
    )


def _said_when(created: Created, closed_by: datetime) -> None:
    """Raise Failed if the time at which it was to close has not come, though it has closed."""
    said = created.expire_time
    if said is not None and said > closed_by:
        raise Failed(
            f"Created.expire_time is {said.isoformat()}, but it was closed before"
            f" {closed_by.isoformat()}: read the time with its zone"
        )


async def _forward(bench: Bench, by: timedelta) -> None:
    bench.clock.advance(by)
    await bench.remote.later(by)
