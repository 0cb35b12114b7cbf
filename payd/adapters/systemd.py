"""The service manager, told how we are: the sd_notify protocol, where there is one.

See sd_notify(3). Nothing is ever awaited: a manager that does not listen is no concern of ours.
"""

import os
import socket
import time
from collections.abc import Mapping

from payd.telemetry import get_logger

_log = get_logger(__name__)

#: While we wait, the start may take so much longer each time we say so.
_EXTEND_S = 30
_STATUS_MAX = 200


class ServiceManager:
    """Hears READY, STATUS, RELOADING, STOPPING and WATCHDOG; nobody does outside systemd."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # An abstract socket's name begins with a zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._status = ""
        self._is_ready = False
        self.watchdog_s = _watchdog_s(environ)

    def is_waiting(self, why: str) -> None:
        """Not ready yet: the start needs more time."""
        self._tell(f"STATUS={_line(why)}", f"EXTEND_TIMEOUT_USEC={_EXTEND_S * 1_000_000}")

    def beat(self, *, ready: bool, alive: bool, status: str) -> None:
        """One sample: READY the first time, STATUS when it changes, WATCHDOG while alive."""
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
            self._tell(*words)

    def is_reloading(self) -> None:
        """Between this and `has_reloaded` nobody asks again."""
        if self._is_ready:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def has_reloaded(self, status: str) -> None:
        """As it came out."""
        if self._is_ready:
            self._tell("READY=1", f"STATUS={_line(status)}")
            self._status = status

    def is_stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1", "STATUS=finishing what is under way")

    def _tell(self, *words: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as to:
                to.connect(self._address)
                to.send("\n".join(words).encode())
        except OSError as error:
            _log.warning("service_manager_unreachable", error=str(error))


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """How long it waits for a beat; None when it watches nobody, or another process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None


def _line(text: str) -> str:
    return " ".join(text.split())[:_STATUS_MAX]
