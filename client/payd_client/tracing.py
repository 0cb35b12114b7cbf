"""Continue the trace of an event in its handler, in a main app that has OpenTelemetry."""

from payd_client.consumer import Handler
from payd_client.values import Event


def continuing(handler: Handler) -> Handler:
    """The handler within a span whose parent is the change of the payment at payd.

    Without the package opentelemetry-api the handler as it is. It runs on the handler's own loop,
    so that spans of the handler are children of this one.
    """
    try:
        from opentelemetry.trace import SpanKind, Status, StatusCode, get_tracer
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        return handler
    tracer, parents = get_tracer("payd_client"), TraceContextTextMapPropagator()

    async def handle(event: Event) -> None:
        with tracer.start_as_current_span(
            f"process {event.type.value}",
            parents.extract({"traceparent": event.traceparent}),
            SpanKind.CONSUMER,
            {
                "messaging.system": "nats",
                "messaging.destination.name": event.type.value,
                "messaging.message.id": str(event.id),
                "payd.payment_id": str(event.payment.id),
            },
            # An error's text may have a customer's values.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            done = False
            try:
                await handler(event)
                done = True
            finally:
                if not done:
                    span.set_status(Status(StatusCode.ERROR))

    return handle
