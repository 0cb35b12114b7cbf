"""What a daemon spends while something is away: CPU time, memory, and whether it answers."""

import os
import time
from collections.abc import Callable
from functools import partial

import attrs
import httpx
import psutil
from support.daemon import Daemon
from support.plain_http import NO_TLS

#: How long each outage is watched, in seconds.
WINDOW_S = float(os.environ.get("DEGRADED_WINDOW_S", "6"))
#: Of one core. CPU time over elapsed time: other processes on the machine do not count.
CPU_PERCENT_MAX = 10.0
#: Resident memory; the daemon that spun grew by 25 MiB a second.
GROWTH_MIB_MAX = 8.0
#: For the first failures, whose code and messages are not in memory yet.
_SETTLE_S = 2.0
_ASK_INTERVAL_S = 0.5
_ANSWER_S = 20.0
_MIB = 2**20


@attrs.frozen(kw_only=True)
class Figures:
    """Measured over one window."""

    cpu_percent: float
    growth_mib: float
    asked: int
    answered: int

    def line(self, what: str) -> str:
        """A row of the table."""
        return (
            f"{what:<28} {self.cpu_percent:6.1f} % CPU {self.growth_mib:+7.1f} MiB   "
            f"answers {self.answered}/{self.asked}"
        )


def watch_outage(daemon: Daemon, what: str) -> None:
    """Watch the daemon for WINDOW_S, print a row, and fail when it spins, grows or is silent."""
    with httpx.Client(verify=NO_TLS, base_url=f"http://{daemon.http}", timeout=_ANSWER_S) as http:
        watch_process(daemon.process.pid, what, partial(_answers, http))


def watch_process(pid: int, what: str, answers: Callable[[], bool]) -> None:
    """The same of any process, which is asked by `answers`."""
    time.sleep(_SETTLE_S)
    figures = _measure(psutil.Process(pid), answers)
    print(figures.line(what))  # noqa: T201 - the table, with `pytest -s`
    assert figures.answered == figures.asked, figures
    assert figures.cpu_percent < CPU_PERCENT_MAX, figures
    assert figures.growth_mib < GROWTH_MIB_MAX, figures


def _measure(process: psutil.Process, answers: Callable[[], bool]) -> Figures:
    began, cpu_s, memory = time.monotonic(), _cpu_s(process), process.memory_info().rss
    asked = answered = 0
    while time.monotonic() - began < WINDOW_S:
        asked += 1
        answered += answers()
        time.sleep(_ASK_INTERVAL_S)
    elapsed_s = time.monotonic() - began
    return Figures(
        cpu_percent=100 * (_cpu_s(process) - cpu_s) / elapsed_s,
        growth_mib=(process.memory_info().rss - memory) / _MIB,
        asked=asked,
        answered=answered,
    )


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
