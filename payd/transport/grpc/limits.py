"""What connections may not exceed."""

from collections.abc import Callable

import attrs

#: Why a connection was cut, for a metric: full, client_full, handshake, preface, resets, noise,
#: protocol, stalled, idle, age.
OnCut = Callable[[str], None]


@attrs.frozen(kw_only=True)
class ConnectionLimits:
    """What connections may not exceed; times in seconds."""

    total: int = 256
    per_client: int = 64
    #: Not through TLS yet.
    handshakes: int = 64
    handshake_timeout_s: float = 5.0
    #: From TLS to the first frame.
    preface_timeout_s: float = 5.0
    #: Without a call.
    idle_timeout_s: float = 300.0
    #: Then it is asked to come again.
    age_s: float = 3600.0
    #: Unable to take what it was sent.
    stalled_timeout_s: float = 10.0
    #: Streams reset in 30 s, by either side.
    resets: int = 100
    header_bytes: int = 16 * 1024
