"""Both HTTP ports, open."""

import logging
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from integration.http.serving import HOST, RunningServer, run_server, serving

from payd import telemetry
from payd.telemetry import Metrics
from payd.transport.http.serve import metrics_app


@pytest.fixture
async def running() -> AsyncIterator[RunningServer]:
    """Open, with everything ready."""
    async with run_server() as running:
        yield running


@pytest.fixture
async def metrics_port() -> AsyncIterator[tuple[str, Metrics]]:
    """Its URL, and what it shows."""
    metrics = Metrics("1.2.3")
    async with serving(metrics_app(metrics.registry)) as port:
        yield f"http://{HOST}:{port}", metrics


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
