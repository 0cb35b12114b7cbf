"""Limits of gRPC connections."""

from collections.abc import Callable

import attrs

#: Why a connection was cut, for a metric: full, client_full, handshake, preface, resets, noise,
#: protocol, stalled, idle, age.
OnCut = Callable[[str], None]


@attrs.frozen(kw_only=True)
class ConnectionLimits:
    """Limits of connections; times in seconds."""

    total: int = 256
    per_client: int = 64
    #: Sockets that are not through TLS yet.
    handshakes: int = 64
    handshake_timeout_s: float = 5.0
    #: From TLS to the first frame.
    preface_timeout_s: float = 5.0
    #: Time without a call, after which the client is asked to leave.
    idle_timeout_s: float = 300.0
    #: Age at which the client is asked to connect again.
    age_s: float = 3600.0
    #: Time in which the client must read what it was sent.
    stalled_timeout_s: float = 10.0
    #: Streams reset in 30 s, by either side.
    resets: int = 100
    #: Calls at once on a connection; a client with more waits.
    streams: int = 100
    header_bytes: int = 16 * 1024
