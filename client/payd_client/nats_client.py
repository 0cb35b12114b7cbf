"""The NATS client of the main app's side, which keeps to TLS wherever the URL says `tls://`.

nats-py upgrades a connection only when the server's first line, which is unencrypted, asks for it
(`Client._process_connect_init` in nats-py 2.16). The daemon has the same class of its own: neither
side imports the other.
"""

from typing import Any

import nats.errors
from nats.aio.client import Client


class TlsNotOffered(nats.errors.Error):
    """The URL says tls://, and the server does not offer TLS: check the server, or the URL."""

    def __str__(self) -> str:
        return "the server does not offer TLS, and the URL says tls://"


class StrictClient(Client):
    """Raises TlsNotOffered, as a failed attempt to connect, before anything is sent."""

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
