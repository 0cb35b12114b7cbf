"""A transport that collects what is written in one turn of the loop, and sends it together.

An answer is three HTTP/2 frames, and several answers share a connection: one TLS record and
one system call for all of them instead of one each.
"""

import asyncio
from typing import Any


class CorkedTransport:
    """Writes at the end of the turn; everything else is the wrapped transport's."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        # Asked in every call: quicker than by __getattr__.
        self.is_closing = transport.is_closing
        self.resume_reading = transport.resume_reading
        self.get_extra_info = transport.get_extra_info
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send it together with what else is written in this turn."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(data)

    def flush(self) -> None:
        """Send what was collected."""
        waiting, self._waiting = self._waiting, []
        if waiting and not self.is_closing():
            self._transport.write(b"".join(waiting))

    def close(self) -> None:
        """Send what was collected, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
