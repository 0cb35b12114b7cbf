"""Read an object's current state, and assert it."""

from payd.plugins import Created, CreateOperation, PaymentRef, ProviderStatus, Snapshot
from payd.plugins.testing.bench import Bench
from payd.plugins.testing.operations import asset, due
from payd.plugins.testing.registry import Failed


async def looked(
    bench: Bench, operation: CreateOperation, ref: PaymentRef, created: Created
) -> Snapshot:
    """Fetch the object, and merge what the background watch has reported."""
    return await bench.standing(operation, created, (await bench.found(ref)).snapshot)


def stands(
    snapshot: Snapshot, operation: CreateOperation, *statuses: ProviderStatus, received: int
) -> None:
    """Raise Failed if status, asset or amounts are not the expected ones."""
    if snapshot.status not in statuses:
        wanted = " or ".join(status.value for status in statuses)
        raise Failed(f"status is {snapshot.status.value}, expected {wanted}")
    if snapshot.asset.lower() != asset(operation).lower():
        raise Failed(f"asset is {snapshot.asset!r}, expected {asset(operation)!r}")
    if snapshot.received != received:
        raise Failed(f"received is {snapshot.received}, expected {received}")
    if snapshot.confirmed > snapshot.received:
        raise Failed(f"confirmed {snapshot.confirmed} exceeds received {snapshot.received}")
    if snapshot.due not in (None, due(operation)):
        raise Failed(f"due is {snapshot.due}, expected {due(operation)}")
