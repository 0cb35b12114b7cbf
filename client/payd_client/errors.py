"""What a call of the client can raise; each says whether to come again."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

#: Nothing is wrong with the request: the same one, with the same idempotency key, may be sent again.
_LATER = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"})


class PaydClientError(Exception):
    """payd's answer was an error, or there was none.

    `reason` is that of the contract, empty when payd gave none; `metadata` holds its variable parts;
    `violations` names the fields that were refused.
    """

    def __init__(
        self,
        code: str,
        message: str,
        details: Sequence[Any] | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        #: Of gRPC, such as NOT_FOUND.
        self.code = code
        self.message = message
        self.request_id = request_id
        self.reason = ""
        self.metadata: dict[str, str] = {}
        self.violations: Mapping[str, str] = {}
        #: When payd asked for patience.
        self.retry_after_s: float | None = None
        for detail in details or ():
            self._take(detail)

    def _take(self, detail: Any) -> None:
        if isinstance(detail, ErrorInfo):
            self.reason = detail.reason
            self.metadata = dict(detail.metadata)
        elif isinstance(detail, BadRequest):
            self.violations = {each.field: each.description for each in detail.field_violations}
        elif isinstance(detail, RetryInfo):
            delay = detail.retry_delay
            self.retry_after_s = delay.seconds + delay.nanos / 1e9


class Unavailable(PaydClientError):
    """payd did not answer, or not yet: come again with the same request and idempotency key.

    A payment may exist all the same: its outcome is unknown, never lost.
    """


class NotFound(PaydClientError):
    """There is no such payment."""


def error_of(
    code: str, message: str, details: Sequence[Any] | None = None, request_id: str = ""
) -> PaydClientError:
    """The class that fits the gRPC code."""
    kind = PaydClientError
    if code in _LATER:
        kind = Unavailable
    elif code == "NOT_FOUND":
        kind = NotFound
    return kind(code, message, details, request_id)
