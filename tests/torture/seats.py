"""A service manager for the daemons: starts each again, and judges how each one ended."""

import contextlib
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
from support.daemon import Daemon, Place
from support.waiting import PATIENCE_S, wait_until

#: How long an ended daemon stays away, as RestartSec of the systemd unit.
_AGAIN_S = 0.3
_KILLED = -signal.SIGKILL
#: Lines of the log that are kept to tell what a daemon did last.
_LAST_LINES = 40
_BAD_LEVELS = ("error", "critical")
#: Errors by which payd says what a fault or a busy machine did.
_WANTED = (
    "certificates_refused",
    # Its exit code is judged.
    "daemon_failed",
    "provider_held_loop",
    "reconciliation_finding",
    "stream_unusable",
)


class SteppedDaemon(Daemon):
    """A daemon whose clock the torture steps."""

    program: ClassVar[tuple[str, ...]] = ("-m", "torture.stepped_clock", "serve")


@attrs.frozen(kw_only=True)
class Complaint:
    """An error that a daemon logged."""

    event: str
    line: Mapping[str, Any]


class Seat:
    """One place in the fleet; one daemon after the other runs in it."""

    def __init__(self, name: str, place: Place, folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.place = place
        self.clock_file = folder / f"clock-{name}"
        self.step_clock(0)
        #: Added to the environment of the next daemon only.
        self.next_environment: dict[str, str] = {}
        self.endings: Counter[int] = Counter()
        #: Exit codes that a fault explains, whenever they come.
        self.tolerated: set[int] = set()
        #: What no fault explains.
        self.problems: list[str] = []
        self.complaints: list[Complaint] = []
        self._environment = environment | {"TORTURE_CLOCK": str(self.clock_file)}
        self._over = threading.Event()
        self._expected: set[int] = set()
        self._seen: deque[dict[str, Any]] = deque(maxlen=_LAST_LINES)
        self.daemon = self._start()
        self._thread = threading.Thread(target=self._keep)

    def open(self) -> None:
        """Wait for the first daemon, and keep one running from now on."""
        self.daemon.wait_started()
        self._thread.start()

    @property
    def pid(self) -> int:
        """The process that runs now."""
        return self.daemon.process.pid

    def is_serving(self) -> bool:
        """Whether the present daemon listens."""
        return hasattr(self.daemon, "metrics") and self.daemon.process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal that may end it."""
        self._expected.add(0 if number == signal.SIGTERM else -number)
        self.daemon.process.send_signal(number)

    def pause(self, *, stop: bool) -> None:
        """Stop the process in its tracks, or let it go on."""
        with contextlib.suppress(ProcessLookupError):
            self.daemon.process.send_signal(signal.SIGSTOP if stop else signal.SIGCONT)

    def step_clock(self, seconds: float) -> None:
        """Set how far its clock is ahead of the machine's."""
        draft = self.clock_file.with_suffix(".new")
        draft.write_text(str(seconds))
        draft.replace(self.clock_file)

    def die_at(self, point: str, nth: int) -> None:
        """Let the next daemon die at a named point."""
        self.next_environment["PAYD_CRASH_AT"] = f"{point}:{nth}"

    def take_lines(self) -> None:
        """Keep the errors of the log, and forget the rest of it."""
        lines = self.daemon.lines
        taken = lines[:]
        del lines[: len(taken)]
        self._seen += taken
        self.complaints += [
            Complaint(event=str(line.get("event")), line=line)
            for line in taken
            if (line.get("level") in _BAD_LEVELS or line.get("event") == "raw")
            and line.get("event") not in _WANTED
        ]

    def close(self) -> None:
        """Stop the last daemon in order."""
        self._over.set()
        self.send(signal.SIGTERM)
        self._thread.join(PATIENCE_S)

    def _start(self) -> Daemon:
        more, self.next_environment = self.next_environment, {}
        self._expected = {_KILLED} if more else set()
        return SteppedDaemon(self.place, **self._environment, **more)

    def _keep(self) -> None:
        while True:
            daemon = self.daemon
            daemon.process.wait()
            code = daemon.wait_ended()
            self.take_lines()
            self.endings[code] += 1
            if not hasattr(daemon, "metrics"):
                # It had no handler yet.
                self._expected |= {-signal.SIGTERM} if 0 in self._expected else set()
            if code not in self._expected | self.tolerated:
                last = "\n  ".join(map(str, self._seen))
                self.problems.append(f"daemon {self.name} ended by itself with {code}:\n  {last}")
            if self._over.is_set():
                return
            time.sleep(_AGAIN_S)
            self.daemon = self._start()
            threading.Thread(target=self._wait_started, args=(self.daemon,)).start()

    def _wait_started(self, daemon: Daemon) -> None:
        with contextlib.suppress(Exception):
            daemon.wait_started()


def wait_until_all_serve(seats: Sequence[Seat]) -> None:
    """Return when every seat has a daemon that listens."""
    for seat in seats:
        wait_until(seat.is_serving, lambda: f"daemon {seat.name} serves")  # noqa: B023
