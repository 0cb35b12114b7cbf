"""A running gRPC server and a connected client for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from integration.grpc.server import Caller, RunningServer, run_server


@pytest.fixture
async def running(pki: Path) -> AsyncIterator[RunningServer]:
    async with run_server(pki) as running:
        yield running


@pytest.fixture
async def caller(running: RunningServer) -> AsyncIterator[Caller]:
    """The main app, connected."""
    async with running.caller() as caller:
        yield caller
