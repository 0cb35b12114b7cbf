"""The use cases run on trio here; they name no loop."""

import pytest
from unit.service.world import World


@pytest.fixture
def world() -> World:
    """payd in memory, with a provider that answers as it should."""
    return World()
