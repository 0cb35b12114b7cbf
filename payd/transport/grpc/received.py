"""What a call's headers say: its client, its metadata, its deadline, its request id.

For a call that grpclib answers it is set while the headers are handled, just before grpclib starts
the call's task, which inherits it. This keeps the rest of payd away from the private attributes of
grpclib's streams.
"""

from collections.abc import Mapping
from contextvars import ContextVar

import attrs
from grpclib.protocol import Stream

__all__ = ["RECEIVED", "Received"]


@attrs.frozen(kw_only=True)
class Received:
    """One call, as it came in."""

    stream: Stream
    #: CN of the client's verified certificate.
    common_name: str
    #: The client's own when it is usable, else a new one; echoed in the trailers.
    request_id: str
    #: The first value of each header.
    fields: Mapping[str, str]
    #: Seconds that the client gives the call; None without a limit.
    timeout_s: float | None


#: The call that the current task answers.
RECEIVED: ContextVar[Received] = ContextVar("RECEIVED")
