"""When the kit interrupts a step of a provider: it waits, or it computes, for too long."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from payd.plugins.testing.held import HELD_MAX_S, is_stuck, time_in_queue_s


@pytest.mark.parametrize(
    ("held_s", "computed_s", "queued_s", "stuck"),
    [
        pytest.param(HELD_MAX_S, 0.0, 0.0, True, id="it waits without await"),
        pytest.param(HELD_MAX_S + 1, HELD_MAX_S, 0.0, True, id="it computes without end"),
        pytest.param(HELD_MAX_S - 1, 0.0, 0.0, False, id="it may still end"),
        pytest.param(3 * HELD_MAX_S, 0.1 * HELD_MAX_S, 0.0, False, id="the machine is busy"),
        pytest.param(2 * HELD_MAX_S, 0.0, 1.5 * HELD_MAX_S, False, id="it gets no processor"),
        pytest.param(2 * HELD_MAX_S, 0.0, HELD_MAX_S, True, id="it waits longer than it queues"),
        pytest.param(6 * HELD_MAX_S, HELD_MAX_S / 2, 0.0, True, id="no machine is so busy"),
    ],
)
def test_a_step_is_stuck(held_s: float, computed_s: float, queued_s: float, *, stuck: bool) -> None:
    assert is_stuck(held_s, computed_s, queued_s) is stuck


@pytest.mark.skipif(
    not Path("/proc/thread-self/schedstat").exists(),
    reason="no /proc/thread-self/schedstat: this kernel does not count time without a processor",
)
def test_the_time_without_a_processor_is_counted() -> None:
    all_processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_processors)})
    try:
        # It competes for the one processor that is left to this process.
        rival = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        began_s = time_in_queue_s()
        deadline_s = time.monotonic() + 30
        while time_in_queue_s() - began_s < 0.05:
            assert time.monotonic() < deadline_s
    finally:
        os.sched_setaffinity(0, all_processors)
        rival.kill()
        rival.wait()
