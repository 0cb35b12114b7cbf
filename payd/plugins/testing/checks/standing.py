"""How an object stands, as a look and the watch beside it tell; and whether it stands so."""

from payd.plugins import Created, CreateOperation, PaymentRef, ProviderStatus, Snapshot
from payd.plugins.testing.bench import Bench, asset, due
from payd.plugins.testing.registry import Failed


async def looked(
    bench: Bench, operation: CreateOperation, ref: PaymentRef, created: Created
) -> Snapshot:
    """What a look, and the watch beside it, tell."""
    return await bench.standing(operation, created, (await bench.found(ref)).snapshot)


def stands(
    snapshot: Snapshot, operation: CreateOperation, *statuses: ProviderStatus, received: int
) -> None:
    """Raises Failed where it is in another status, for another asset, or of other amounts."""
    if snapshot.status not in statuses:
        wanted = " or ".join(status.value for status in statuses)
        raise Failed(f"it is {snapshot.status.value}, not {wanted}")
    if snapshot.asset.lower() != asset(operation).lower():
        raise Failed(f"it is in {snapshot.asset!r}, due is {asset(operation)!r}")
    if snapshot.received != received:
        raise Failed(f"{snapshot.received} came, not {received}")
    if snapshot.confirmed > snapshot.received:
        raise Failed(f"{snapshot.confirmed} are confirmed of {snapshot.received}")
    if snapshot.due not in (None, due(operation)):
        raise Failed(f"it asks for {snapshot.due}, not {due(operation)}")
