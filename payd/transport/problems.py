"""One table: domain error → gRPC status with details → RFC 9457 problem document."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from payd.domain import errors
from payd.domain.errors import InvalidField, PaydError

DOMAIN = "payd"

#: Error class → gRPC status, HTTP status.
_TABLE: Mapping[type[PaydError], tuple[Status, int]] = {
    errors.InvalidField: (Status.INVALID_ARGUMENT, 400),
    errors.UnknownMethod: (Status.INVALID_ARGUMENT, 400),
    errors.UnknownProduct: (Status.INVALID_ARGUMENT, 400),
    errors.CurrencyNotSupported: (Status.INVALID_ARGUMENT, 400),
    errors.QuoteInvalid: (Status.INVALID_ARGUMENT, 400),
    errors.QuoteMismatch: (Status.INVALID_ARGUMENT, 400),
    errors.QuoteExpired: (Status.FAILED_PRECONDITION, 409),
    errors.PriceChanged: (Status.FAILED_PRECONDITION, 409),
    errors.InvalidPageToken: (Status.INVALID_ARGUMENT, 400),
    errors.InvalidFilter: (Status.INVALID_ARGUMENT, 400),
    errors.PaymentNotFound: (Status.NOT_FOUND, 404),
    errors.IdempotencyKeyReused: (Status.ALREADY_EXISTS, 409),
    errors.PaymentNotCancelable: (Status.FAILED_PRECONDITION, 409),
    errors.WebhookUnknown: (Status.NOT_FOUND, 404),
    errors.WebhookRefused: (Status.INVALID_ARGUMENT, 400),
    errors.ProviderUnavailable: (Status.UNAVAILABLE, 503),
    errors.StoreUnavailable: (Status.UNAVAILABLE, 503),
    errors.StreamUnavailable: (Status.UNAVAILABLE, 503),
    errors.ShuttingDown: (Status.UNAVAILABLE, 503),
    errors.RateLimited: (Status.RESOURCE_EXHAUSTED, 429),
    errors.Overloaded: (Status.RESOURCE_EXHAUSTED, 503),
    errors.ClientNotAllowed: (Status.PERMISSION_DENIED, 403),
    errors.ReceiptNotFound: (Status.NOT_FOUND, 404),
    errors.ReceiptNotAttachable: (Status.FAILED_PRECONDITION, 409),
    errors.EventNotFound: (Status.NOT_FOUND, 404),
    errors.NotRefundable: (Status.FAILED_PRECONDITION, 409),
    errors.RefundExceedsPaid: (Status.FAILED_PRECONDITION, 409),
    errors.PaymentDisputed: (Status.FAILED_PRECONDITION, 409),
    errors.RefundDestinationRequired: (Status.INVALID_ARGUMENT, 400),
    errors.RefundNotFound: (Status.NOT_FOUND, 404),
    errors.ApproverIsRequester: (Status.FAILED_PRECONDITION, 409),
    errors.NothingToResolve: (Status.FAILED_PRECONDITION, 409),
    errors.VersionChanged: (Status.FAILED_PRECONDITION, 409),
    errors.CustomerNotFound: (Status.NOT_FOUND, 404),
    errors.CustomerHasOpenPayments: (Status.FAILED_PRECONDITION, 409),
    errors.NoteRequired: (Status.INVALID_ARGUMENT, 400),
    errors.PaydError: (Status.INTERNAL, 500),
}
_RETRY_AFTER_S = 1.0


def grpc_error(error: BaseException | None, status: Status | None = None) -> GRPCError:
    """Return status, message and details for a caller; an unknown error leaks nothing.

    `status` replaces the table's where gRPC has its own convention.
    """
    known = error if isinstance(error, PaydError) else PaydError("internal error")
    return GRPCError(status or _TABLE[type(known)][0], known.message, _details(known))


def protocol_error(status: Status, message: str) -> GRPCError:
    """Return an error of gRPC itself: its status is the reason, the contract has none."""
    return GRPCError(status, message, [ErrorInfo(reason=status.name, domain=DOMAIN)])


def problem(error: BaseException | None) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the RFC 9457 document."""
    known = error if isinstance(error, PaydError) else PaydError("internal error")
    _, status = _TABLE[type(known)]
    return status, {
        "type": f"urn:payd:problem:{known.reason.lower().replace('_', '-')}",
        "title": known.reason,
        "status": status,
        "detail": known.message,
        **({"metadata": known.metadata} if known.metadata else {}),
    }


def _details(error: PaydError) -> list[Any]:
    details: list[Any] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if isinstance(error, InvalidField):
        violation = BadRequest.FieldViolation(field=error.field, description=error.description)
        details.append(BadRequest(field_violations=[violation]))
    if error.may_retry:
        seconds = error.retry_after_s or _RETRY_AFTER_S
        delay = Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
        details.append(RetryInfo(retry_delay=delay))
    return details
