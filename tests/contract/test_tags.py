"""The port Tags: whatever daemon asks, no tag is given twice."""

import trio
from contract.stores import OpenStores, Stores

from payd.domain.tag import TAG_BITS


async def test_no_tag_is_given_twice(stores: Stores) -> None:
    tags = [await stores.tags.next() for _ in range(300)]

    assert len(set(tags)) == 300
    assert all(0 <= tag < 2**TAG_BITS for tag in tags)


async def test_calls_at_the_same_time_get_different_tags(stores: Stores) -> None:
    tags: list[int] = []

    async def take() -> None:
        tags.append(await stores.tags.next())

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(take)

    assert len(set(tags)) == 200


async def test_daemons_that_follow_each_other_get_different_tags(
    open_postgres: OpenStores,
) -> None:
    tags = []
    for _ in range(2):
        async with open_postgres() as stores:
            tags += [await stores.tags.next() for _ in range(100)]

    assert len(set(tags)) == 200
