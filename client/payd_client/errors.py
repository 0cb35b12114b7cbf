"""Errors that a call of the client raises."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

#: gRPC codes after which the same request, with the same idempotency key, may be sent again.
_TRANSIENT = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"})


class PaydClientError(Exception):
    """payd refused the call, or did not answer."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Sequence[Any] | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        #: gRPC code, such as NOT_FOUND.
        self.code = code
        self.message = message
        #: Id of the request, to find it in payd's log.
        self.request_id = request_id
        #: Reason from docs/reference.md, such as UNKNOWN_METHOD; empty when payd gave none.
        self.reason = ""
        #: Values that belong to the reason, such as the unknown method.
        self.metadata: dict[str, str] = {}
        #: Invalid fields of the request, each with a description.
        self.violations: Mapping[str, str] = {}
        #: Seconds to wait before the next attempt, when payd named a time.
        self.retry_after_s: float | None = None
        for detail in details or ():
            self._read(detail)

    def _read(self, detail: Any) -> None:
        if isinstance(detail, ErrorInfo):
            self.reason = detail.reason
            self.metadata = dict(detail.metadata)
        elif isinstance(detail, BadRequest):
            self.violations = {each.field: each.description for each in detail.field_violations}
        elif isinstance(detail, RetryInfo):
            delay = detail.retry_delay
            self.retry_after_s = delay.seconds + delay.nanos / 1e9


class Unavailable(PaydClientError):
    """payd did not answer, or cannot answer now: repeat the request with the same idempotency key.

    The request may have reached payd all the same. The repetition returns its result.
    """


class NotFound(PaydClientError):
    """The payment or refund does not exist."""


def error_of(
    code: str, message: str, details: Sequence[Any] | None = None, request_id: str = ""
) -> PaydClientError:
    """Build the error class for a gRPC code."""
    kind = PaydClientError
    if code in _TRANSIENT:
        kind = Unavailable
    elif code == "NOT_FOUND":
        kind = NotFound
    return kind(code, message, details, request_id)
