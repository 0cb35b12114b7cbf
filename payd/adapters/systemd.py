"""Notify systemd of the daemon's state, by the protocol of sd_notify(3).

Outside systemd nothing is sent. Sending never blocks: a notification that does not fit is dropped.
"""

import os
import socket
import time
from collections.abc import Mapping

from payd.telemetry import get_logger

_log = get_logger(__name__)

#: Each notification while starting extends the start timeout by this many seconds.
_EXTEND_S = 30
_STATUS_MAX = 200


class ServiceManager:
    """Sends READY, STATUS, RELOADING, STOPPING and WATCHDOG to systemd."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # An abstract socket's name begins with a zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._status = ""
        self._is_ready = False
        self.watchdog_s = _watchdog_s(environ)

    def is_waiting(self, why: str) -> None:
        """Report what the start waits for, and extend its timeout."""
        self._notify(f"STATUS={_line(why)}", f"EXTEND_TIMEOUT_USEC={_EXTEND_S * 1_000_000}")

    def beat(self, *, ready: bool, alive: bool, status: str) -> None:
        """Report the current state: READY once, STATUS if it changed, WATCHDOG if alive."""
        if not ready and not self._is_ready:
            self.is_waiting(status)
            return
        words = []
        if ready and not self._is_ready:
            self._is_ready = True
            words.append("READY=1")
        if status != self._status:
            self._status = status
            words.append(f"STATUS={_line(status)}")
        if alive and self.watchdog_s is not None:
            words.append("WATCHDOG=1")
        if words:
            self._notify(*words)

    def is_reloading(self) -> None:
        """Report that a reload has begun; `has_reloaded` reports its end."""
        if self._is_ready:
            self._notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def has_reloaded(self, status: str) -> None:
        """Report that the reload has ended, with the new status."""
        if self._is_ready:
            self._notify("READY=1", f"STATUS={_line(status)}")
            self._status = status

    def is_stopping(self) -> None:
        """Report that the daemon is stopping."""
        self._notify("STOPPING=1", "STATUS=stopping: finishing work in flight")

    def _notify(self, *words: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as to:
                to.connect(self._address)
                to.send("\n".join(words).encode())
        except OSError as error:
            _log.warning("service_manager_unreachable", error=str(error))


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Seconds within which systemd expects WATCHDOG; None if it does not watch this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None


def _line(text: str) -> str:
    return " ".join(text.split())[:_STATUS_MAX]
