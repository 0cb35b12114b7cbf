"""What grpclib's handlers do not pass on of a call: its HTTP/2 stream, its client, its request id.

Set while a call's headers are handled, just before grpclib starts the call's task, which inherits
it. This keeps the rest of payd away from the private attributes of grpclib's streams.
"""

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


#: The call that the current task answers.
RECEIVED: ContextVar[Received] = ContextVar("RECEIVED")
