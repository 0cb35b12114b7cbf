"""Random sequences of actions: the object must stay a single one and lose no money."""

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
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.operations import due
from payd.plugins.testing.registry import Failed, Level, check

#: Enough for every pair of actions to occur.
_SEQUENCES = 15
_ACTIONS_MAX = 6


class _Action(enum.Enum):
    CREATE = "create"
    FETCH = "fetch"
    CANCEL = "cancel"
    PAY = "pay"


@check(Level.RESILIENCE, "payd, its recovery and the customer act in any order.")
async def any_order_of_actions_loses_nothing(bench: Bench) -> None:
    await bench.objects(bench.operation().payment_id)

    for actions in _sequences():
        await _run(bench, actions)


def _sequences() -> list[list[_Action]]:
    """Draw all sequences first: Hypothesis is synchronous, a provider is not."""
    drawn: list[list[_Action]] = []

    @settings(
        max_examples=_SEQUENCES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.sampled_from(_Action), min_size=2, max_size=_ACTIONS_MAX))
    def draw(actions: list[_Action]) -> None:
        drawn.append(actions)

    draw()
    return drawn


@attrs.define
class _Model:
    """The expected state of the object."""

    operation: CreateOperation
    ref: PaymentRef
    is_closed: bool = False
    is_paid: bool = False

    def compare(self, snapshot: Snapshot, actions: Sequence[str]) -> None:
        after = f"after {', '.join(actions)}"
        received = due(self.operation) if self.is_paid else 0
        if snapshot.received != received:
            raise Failed(f"{after}: received is {snapshot.received}, but {received} were paid")
        if (snapshot.status is ProviderStatus.PAID) != self.is_paid:
            paid = "paid" if self.is_paid else "not paid"
            raise Failed(f"{after}: it is {paid}, but its status is {snapshot.status.value}")
        if self.is_closed and snapshot.status is ProviderStatus.OPEN:
            raise Failed(f"{after}: it was closed, but its status is OPEN")


async def _run(bench: Bench, actions: Sequence[_Action]) -> None:
    operation, ref, created = await bench.opened()
    model, done = _Model(operation, ref), ["create"]
    for action in actions:
        done.append(action.value)
        await _do(bench, action, model, created)
        found = (await bench.found(ref)).snapshot
        model.compare(await bench.standing(operation, created, found), done)
        if (number := await bench.objects(operation.payment_id)) != 1:
            raise Failed(f"after {', '.join(done)}: the remote side has {number} objects, not 1")


async def _do(bench: Bench, action: _Action, model: _Model, created: Created) -> None:
    closes = bench.manifest.capabilities.cancel is Cancel.CLOSES
    match action:
        case _Action.CREATE:
            again = await bench.create(model.operation)
            if again.reference != created.reference:
                raise Failed(f"created again it is {again.reference}, not {created.reference}")
        case _Action.FETCH:
            await bench.found(model.ref)
        case _Action.CANCEL:
            await bench.cancel(model.ref)
            model.is_closed = model.is_closed or (closes and not model.is_paid)
        case _Action.PAY if not model.is_closed and not model.is_paid:
            await bench.pay(model.ref, due(model.operation))
            model.is_paid = True
