"""The span of a call: its parent is the caller's, and it is the parent of what the call causes."""

from contextvars import Context

import attrs
import structlog
from grpclib.const import Status

from payd.domain.payment import Origin
from payd.telemetry.tracing import CURRENT, SpanKind, Tracer
from payd.transport.grpc.call import OnRpc

_SERVICE = "payd.v1.PaymentService"
#: Statuses that are a server's failure, by OpenTelemetry's conventions for RPC.
_FAILURES = {
    status.name
    for status in (
        Status.UNKNOWN,
        Status.DEADLINE_EXCEEDED,
        Status.UNIMPLEMENTED,
        Status.INTERNAL,
        Status.UNAVAILABLE,
        Status.DATA_LOSS,
    )
}


def traced(
    tracer: Tracer, name: str, origin: Origin, context: Context, on_rpc: OnRpc
) -> tuple[Origin, OnRpc]:
    """Begin the span of a call; return its origin within the span, and the observer that ends it.

    `context` is the call's: provider calls in it are children of the span.
    """
    span = tracer.begin(
        f"{_SERVICE}/{name}",
        SpanKind.SERVER,
        origin.traceparent,
        {"rpc.system": "grpc", "rpc.service": _SERVICE, "rpc.method": name},
    )
    context.run(CURRENT.set, span.traceparent)

    def ended(
        method: str, status: str, seconds: float, origin: Origin, error: BaseException | None
    ) -> None:
        attributes: dict[str, str | int] = {"rpc.grpc.status_code": Status[status].value}
        logged = structlog.contextvars.get_contextvars()
        for known in ("payment_id", "refund_id"):
            if known in logged:
                attributes[f"payd.{known}"] = str(logged[known])
        if reason := getattr(error, "reason", ""):
            attributes["payd.reason"] = str(reason)
        span.end(attributes, failure=status if status in _FAILURES else "")
        on_rpc(method, status, seconds, origin, error)

    return attrs.evolve(origin, traceparent=span.traceparent), ended
