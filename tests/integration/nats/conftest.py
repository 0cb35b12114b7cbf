"""An asyncio loop inside trio, as in the daemon, and a NATS server of our own."""

import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from integration.nats.server import NatsServer, running_nats

from payd import telemetry
from payd.adapters.bridge import open_loop


@pytest.fixture
async def asyncio_loop() -> AsyncIterator[None]:
    """What nobody catches there is a defect of the publisher."""
    escaped: list[str] = []
    async with open_loop(lambda message, error: escaped.append(f"{message}: {error!r}")):
        yield
    assert escaped == []


@pytest.fixture
async def nats_server(asyncio_loop: None, tmp_path: Path) -> AsyncIterator[NatsServer]:
    """Running, and empty."""
    async with running_nats(tmp_path) as server:
        yield server


@pytest.fixture
def json_lines() -> Iterator[None]:
    """Lines on stderr as in production, and no handler of ours left behind."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, sys.excepthook)
    telemetry.configure_logging("info", "json")
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], level, sys.excepthook = before
    root.setLevel(level)
