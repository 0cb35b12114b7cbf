"""NATS client that uses TLS whenever the URL says `tls://`, and outlives a late PONG.

nats-py 2.16 upgrades a connection only when the server's first line, which is unencrypted, asks for
it (`Client._process_connect_init`). A server without TLS, or an attacker in between, could leave
that out and receive credentials and events in the clear.

It also stops reading, without connecting again, when the PONG of a `flush` arrives that has timed
out (`Client._process_pong` raises InvalidStateError). Nothing arrived until the pings were missed.
"""

import asyncio
from typing import Any

import nats.errors
from nats.aio.client import Client


class TlsNotOffered(nats.errors.Error):
    """The URL says tls://, but the server does not offer TLS: check the server and the URL."""

    def __str__(self) -> str:
        return (
            "the URL says tls://, but the server does not offer TLS: check the server and the URL"
        )


class StrictClient(Client):
    """Fails an attempt with TlsNotOffered before it has sent anything; ignores late PONGs."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        server = self._current_server
        wants_tls = server is not None and server.uri.scheme == "tls"
        if initial_connection and wants_tls and not info.get("tls_required"):
            # nats-py leaves the socket of a failed attempt open.
            transport: Any = self._transport
            if transport is not None:
                transport.close()
            raise TlsNotOffered
        await super()._process_info(info, initial_connection)

    async def _process_pong(self) -> None:
        waiting = self._pongs[:1]
        if waiting and waiting[0].done():
            # Nobody waits for it any more, but the server is alive.
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()
