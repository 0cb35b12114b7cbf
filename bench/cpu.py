"""CPU time of process trees: what a measurement cost payd, PostgreSQL and NATS."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import asyncpg
import attrs
import psutil


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of one process, in user mode and in the kernel."""
    times = process.cpu_times()
    return float(times.user + times.system)


def tree_cpu_s(pid: int) -> float:
    """CPU seconds of a process and all its descendants, those that have ended included.

    A parent's `children_*` times contain every child that it has waited for. So the cost of a
    PostgreSQL session counts after the session has ended, too.
    """
    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@attrs.define
class Spent:
    """CPU seconds by process tree during a block; complete when the block has ended."""

    seconds: dict[str, float] = attrs.field(factory=dict)

    def per_call(self, calls: int) -> Mapping[str, Any]:
        """Microseconds per call, under the names of a row's columns."""
        return {
            f"{name}_cpu_us": round(seconds / max(calls, 1) * 1e6)
            for name, seconds in self.seconds.items()
        }


@contextmanager
def measured_cpu(trees: Mapping[str, Iterable[int]]) -> Iterator[Spent]:
    """Measure the CPU time that each tree of processes spends in the block."""

    def now() -> dict[str, float]:
        return {name: sum(map(tree_cpu_s, pids)) for name, pids in trees.items()}

    trees = {name: tuple(pids) for name, pids in trees.items()}
    spent, before = Spent(), now()
    yield spent
    after = now()
    spent.seconds = {name: after[name] - before[name] for name in trees}


async def sessions_cpu_s(connection: "asyncpg.Connection[asyncpg.Record]") -> float:
    """CPU seconds of payd's open sessions in this database."""
    sessions = await connection.fetch(
        "SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'payd'"
    )
    total = 0.0
    for session in sessions:
        with suppress(psutil.NoSuchProcess):
            total += cpu_s(psutil.Process(session["pid"]))
    return total
