"""What the walks run through: all of payd but its sockets, over memory."""

from collections.abc import AsyncIterator

import pytest
import trio
from unit.service.world import World
from walks.card_rail import CardRail, fenced

from payd.providers.fence import Fence
from payd.providers.methods import MethodMap


@pytest.fixture
async def rail() -> CardRail:
    """The provider, and what it saw."""
    return CardRail()


@pytest.fixture
async def fence(rail: CardRail) -> AsyncIterator[Fence]:
    """A real fence around it, with the provider built and serving."""
    fence = fenced(rail)
    async with trio.open_nursery() as nursery:
        why_not = await nursery.start(fence.run)
        assert why_not is None
        yield fence
        await fence.stop()


@pytest.fixture
async def house(fence: Fence) -> World:
    """payd with that provider."""
    return World(port=fence, map_of=lambda *registered: MethodMap(registered))
