"""The gRPC door of each test, open."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from integration.grpc.door import Caller, OpenDoor, open_door


@pytest.fixture
async def door(pki: Path) -> AsyncIterator[OpenDoor]:
    async with open_door(pki) as door:
        yield door


@pytest.fixture
async def caller(door: OpenDoor) -> AsyncIterator[Caller]:
    """The main app, connected."""
    async with door.caller() as caller:
        yield caller
