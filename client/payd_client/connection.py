"""The client's connection: one channel that many calls share, and that connects in bounded time."""

import asyncio
from typing import Any

import attrs
from grpclib.client import Channel
from grpclib.protocol import H2Protocol

#: Seconds for TCP and TLS. A frozen host accepts a connection and never answers.
CONNECT_S = 5.0


class BoundedChannel(Channel):
    """A channel whose calls wait a bounded time for a connection, and give up together.

    grpclib 0.4.9 lets one call connect, without a time limit of its own, while all others wait for
    it; each would then try for itself, one after the other.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes what grpclib's channel takes."""
        super().__init__(*args, **kwargs)
        self._turn = asyncio.Lock()
        self._failures = 0
        self._reason = ""

    async def __connect__(self) -> H2Protocol:
        """Return the connection, made if need be. Raises OSError."""
        if self._connected:
            return await super().__connect__()
        failures = self._failures
        async with self._turn:
            if self._failures != failures and not self._connected:
                raise ConnectionError(self._reason)
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await super().__connect__()
            except OSError as error:
                is_late = isinstance(error, TimeoutError)
                self._reason = f"no connection within {CONNECT_S:g} s" if is_late else str(error)
                self._failures += 1
                raise ConnectionError(self._reason) from error


@attrs.define(eq=False)
class Connection:
    """A channel and the number of calls that use it."""

    channel: BoundedChannel
    calls: int = 0
    is_retired: bool = False

    def close_if_unused(self) -> None:
        """Close a retired connection when its last call has ended."""
        if self.is_retired and not self.calls:
            self.close()

    def close(self) -> None:
        """Close without waiting for the server.

        grpclib 0.4.9 keeps the transport private. `Channel.close` alone would wait for the server's
        TLS close_notify, perhaps longer than the caller's loop runs.
        """
        protocol: Any = self.channel._protocol
        transport = getattr(getattr(protocol, "connection", None), "_transport", None)
        self.channel.close()
        if transport is not None:
            transport.abort()
