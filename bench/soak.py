"""Memory of daemons under load for minutes, and deadlocks in the database meanwhile."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence

import asyncpg

from bench.daemon_rows import sharing
from bench.results import Soak
from bench.stage import ROOT, Place, Stage

_CALLERS = 8
_SAMPLE_S = 5.0
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def measure(stage: Stage, place: Place, daemons: int, seconds: float) -> Soak:
    """Send whole payments to so many daemons, and sample their resident memory."""
    before = asyncio.run(_deadlocks(place.url))
    samples: list[tuple[float, float]] = []
    with sharing(stage, place, daemons) as running:
        command = [sys.executable, "-m", "bench.load", running[0].grpc, str(stage.pki), "whole"]
        command += ["--method", "null", "--nats", place.nats, "--seconds", str(seconds)]
        command += ["--concurrency", str(_CALLERS), "--connections", str(_CALLERS)]
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as load:
            while load.poll() is None:
                mib = sum(daemon.rss_mib() for daemon in running)
                samples.append((round(time.monotonic() - began, 1), round(mib, 1)))
                time.sleep(_SAMPLE_S)
            assert load.stdout
            figures = json.loads(load.stdout.read())
    stage.forget_open_payments(place)
    return Soak(
        seconds=seconds,
        calls=figures["calls"],
        errors=figures["errors"],
        daemons=daemons,
        deadlocks=asyncio.run(_deadlocks(place.url)) - before,
        samples=samples,
        slope_mib_per_hour=slope_per_hour(samples[len(samples) // 2 :]),
    )


def slope_per_hour(samples: Sequence[tuple[float, float]]) -> float:
    """Return the slope of a straight line through the samples, by least squares."""
    if len(samples) < 2:
        return 0.0
    mean_s = sum(second for second, _ in samples) / len(samples)
    mean_mib = sum(mib for _, mib in samples) / len(samples)
    both = sum((second - mean_s) * (mib - mean_mib) for second, mib in samples)
    return round(both / sum((second - mean_s) ** 2 for second, _ in samples) * 3600, 2)


async def _deadlocks(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(_DEADLOCKS))
    finally:
        await connection.close()
