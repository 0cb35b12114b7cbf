"""Run the use cases on trio; they import no event loop themselves."""

import pytest
from unit.service.world import World


@pytest.fixture
def world() -> World:
    """payd in memory, with a provider that answers as it should."""
    return World()
