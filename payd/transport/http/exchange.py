"""The frame of a request and its answer: an id, one log line, one measurement."""

import re
from collections.abc import Callable
from uuid import uuid4

import attrs
import structlog
import trio

from payd.telemetry import get_logger

_log = get_logger(__name__)

#: Receives each answer's route, status and seconds.
OnRequest = Callable[[str, int, float], None]

_REQUEST_ID = re.compile(r"[!-~]{1,128}")


@attrs.frozen(kw_only=True)
class Exchange:
    """One request that is being answered."""

    #: As the client named it, or a new one.
    request_id: str
    method: str
    start: float

    def finish(self, route: str, status: int, on_request: OnRequest) -> None:
        """Report the answer; unmatched paths share the route "unmatched"."""
        seconds = trio.current_time() - self.start
        on_request(route, status, seconds)
        _log.debug(
            "http_finished",
            method=self.method,
            route=route,
            code=status,
            duration_ms=round(seconds * 1000, 2),
        )


def begin_exchange(method: str, wanted_id: str | None) -> Exchange:
    """Begin a request; the lines that are logged in this task carry its id."""
    is_good = wanted_id is not None and _REQUEST_ID.fullmatch(wanted_id)
    request_id = wanted_id if wanted_id is not None and is_good else uuid4().hex
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return Exchange(request_id=request_id, method=method, start=trio.current_time())
