"""Any story: whatever order payd, the customer and time act in, the object stays one and loses nothing."""

import enum
from collections.abc import Sequence

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payd.plugins import (
    Cancel,
    Created,
    CreateOperation,
    PaymentRef,
    ProviderStatus,
    Snapshot,
)
from payd.plugins.testing.bench import Bench, due
from payd.plugins.testing.registry import Failed, Level, check

#: Enough for every pair of deeds to meet.
_STORIES = 15
_DEEDS_MAX = 6


class _Deed(enum.Enum):
    CREATE = "create"
    LOOK = "look"
    CANCEL = "cancel"
    PAY = "pay"


@check(Level.RESILIENCE, "payd, its recovery, the customer and time act in any order.")
async def any_order_of_deeds_loses_nothing(bench: Bench) -> None:
    await bench.remote.objects(bench.operation().payment_id)

    for deeds in _stories():
        await _lived(bench, deeds)


def _stories() -> list[list[_Deed]]:
    """Drawn first and lived afterwards: Hypothesis is synchronous, a provider is not."""
    drawn: list[list[_Deed]] = []

    @settings(
        max_examples=_STORIES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.lists(st.sampled_from(_Deed), min_size=2, max_size=_DEEDS_MAX))
    def draw(deeds: list[_Deed]) -> None:
        drawn.append(deeds)

    draw()
    return drawn


@attrs.define
class _Model:
    """What must be true of the object."""

    operation: CreateOperation
    ref: PaymentRef
    is_closed: bool = False
    is_paid: bool = False

    def hold(self, snapshot: Snapshot, after: Sequence[str]) -> None:
        story = ", ".join(after)
        received = due(self.operation) if self.is_paid else 0
        if snapshot.received != received:
            raise Failed(f"after {story}: {received} were paid, it says {snapshot.received}")
        if (snapshot.status is ProviderStatus.PAID) != self.is_paid:
            paid = "paid" if self.is_paid else "not paid"
            raise Failed(f"after {story}: it is {paid}, and it says {snapshot.status.value}")
        if self.is_closed and snapshot.status is ProviderStatus.OPEN:
            raise Failed(f"after {story}: it was closed, and is open again")


async def _lived(bench: Bench, deeds: Sequence[_Deed]) -> None:
    operation, ref, created = await bench.opened()
    model, story = _Model(operation, ref), ["create"]
    for deed in deeds:
        story.append(deed.value)
        await _done(bench, deed, model, created)
        looked = (await bench.found(ref)).snapshot
        model.hold(await bench.standing(operation, created, looked), story)
        if (number := await bench.objects(operation.payment_id)) != 1:
            raise Failed(f"after {', '.join(story)}: the remote side has {number} objects")


async def _done(bench: Bench, deed: _Deed, model: _Model, created: Created) -> None:
    closes = bench.manifest.capabilities.cancel is Cancel.CLOSES
    match deed:
        case _Deed.CREATE:
            again = await bench.create(model.operation)
            if again.reference != created.reference:
                raise Failed(f"created again it is {again.reference}, not {created.reference}")
        case _Deed.LOOK:
            await bench.found(model.ref)
        case _Deed.CANCEL:
            await bench.cancel(model.ref)
            model.is_closed = model.is_closed or (closes and not model.is_paid)
        case _Deed.PAY if not model.is_closed and not model.is_paid:
            await bench.pay(model.ref, due(model.operation))
            model.is_paid = True
