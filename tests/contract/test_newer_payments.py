"""Newer versions of watched payments: read in one statement, and only what is newer."""

from uuid import uuid4

from contract.stores import Stores, created


async def test_only_payments_with_a_newer_version_are_read(stores: Stores) -> None:
    changed = await stores.learn(await stores.add(), created())
    unchanged = await stores.add()

    newer = await stores.payments.newer(
        {changed.id: changed.version - 1, unchanged.id: unchanged.version, uuid4(): 0}
    )

    assert newer == [changed]
    assert await stores.payments.newer({changed.id: changed.version}) == []
    assert await stores.payments.newer({}) == []
