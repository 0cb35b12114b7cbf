"""What the daemons use over time: memory, CPU and open files, a sample each few seconds."""

import contextlib
import threading
import time

import attrs
import psutil
from torture.seats import Seat

_INTERVAL_S = 2.0
_MIB = 2**20


@attrs.frozen(kw_only=True)
class Sample:
    """One daemon at one time."""

    seat: str
    pid: int
    second: float
    rss_mib: float
    cpu_s: float
    open_files: int
    threads: int


class Sampler:
    """Watches the daemons in a thread of its own, and keeps their logs short."""

    def __init__(self, seats: tuple[Seat, ...]) -> None:
        self.samples: list[Sample] = []
        self._seats = seats
        self._began_s = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_INTERVAL_S):
            for seat in self._seats:
                seat.take_lines()
                with contextlib.suppress(psutil.Error):
                    self.samples.append(self._sample(seat))

    def _sample(self, seat: Seat) -> Sample:
        process = psutil.Process(seat.pid)
        times = process.cpu_times()
        return Sample(
            seat=seat.name,
            pid=seat.pid,
            second=time.monotonic() - self._began_s,
            rss_mib=process.memory_info().rss / _MIB,
            cpu_s=times.user + times.system,
            open_files=process.num_fds(),
            threads=process.num_threads(),
        )
