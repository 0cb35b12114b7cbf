"""Stripe's part, fresh for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cards import StandIn, stand_in


@pytest.fixture
def stripe(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in(tmp_path) as running:
        yield running
