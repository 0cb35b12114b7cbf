"""Spans in OpenTelemetry, exported by OTLP over HTTP.

Imported only when an endpoint is configured: the SDK is the extra `otel`. A thread of the SDK
exports the spans in batches. Its queue is bounded: while the collector is away spans are dropped,
and payments go on.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Span, Status, StatusCode, get_current_span
from opentelemetry.trace import SpanKind as Kind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from payd import __version__
from payd.telemetry import get_logger
from payd.telemetry.tracing import NOTHING, Attributes, SpanKind

_log = get_logger(__name__)

#: Seconds for the last spans at the stop.
_CLOSE_S = 2.0
_POLL_S = 0.02
_KINDS = {kind: Kind[kind.value] for kind in SpanKind}


class OtelTracer:
    """Implements Tracer."""

    def __init__(self, endpoint: str, service: str, environment: str) -> None:
        """Take the collector's base URL, such as http://localhost:4318.

        The SDK reads its other variables by itself: OTEL_EXPORTER_OTLP_HEADERS,
        OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES and the like.
        """
        # The SDK logs each attempt; `_Exporter` logs when exporting begins and stops to fail.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        resource = Resource.create(
            {
                "service.name": service,
                "service.version": __version__,
                "deployment.environment.name": environment,
            }
        )
        self._exporter = _Exporter(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces"))
        self._processor = BatchSpanProcessor(self._exporter)
        # `close` ends it: at the interpreter's exit it would wait for half a minute.
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("payd", __version__)
        self._parents = TraceContextTextMapPropagator()

    def begin(
        self,
        name: str,
        kind: SpanKind,
        parent: str,
        attributes: Attributes,
        links: Sequence[str] = (),
    ) -> "OtelSpan":
        """Begin a span. The parent's flags say whether it is sampled."""
        context = self._context(parent) if parent else Context()
        linked = [Link(get_current_span(self._context(one)).get_span_context()) for one in links]
        return OtelSpan(
            self._tracer.start_span(name, context, _KINDS[kind], dict(attributes), linked)
        )

    def _context(self, traceparent: str) -> Context:
        return self._parents.extract({"traceparent": traceparent}, Context())

    async def close(self) -> None:
        """Export what is left. A collector that does not answer is not waited for."""
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        loop = asyncio.get_running_loop()
        until = loop.time() + _CLOSE_S
        while ending.is_alive() and loop.time() < until:  # noqa: ASYNC110 - a thread has no event
            await asyncio.sleep(_POLL_S)
        self._exporter.shutdown()


class OtelSpan:
    """Implements Span."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """As W3C Trace Context writes it; empty when OTEL_SDK_DISABLED is set."""
        place = self._span.get_span_context()
        if not place.is_valid:
            return ""
        return f"00-{place.trace_id:032x}-{place.span_id:016x}-{int(place.trace_flags):02x}"

    def end(self, attributes: Attributes = NOTHING, *, failure: str = "") -> None:
        """End it."""
        for name, value in attributes.items():
            self._span.set_attribute(name, value)
        if failure:
            self._span.set_attribute("error.type", failure)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class _Exporter(SpanExporter):
    """Exports, and logs when that begins and when it stops to fail. Runs in the SDK's thread."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._is_failing = False
        self._is_shut = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export one batch; one that fails is dropped."""
        result = self._inner.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            _log.warning(
                "spans_dropped", what_to_do="check the collector at OTEL_EXPORTER_OTLP_ENDPOINT"
            )
        elif self._is_failing and not is_failing:
            _log.info("spans_exported_again")
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        """End, also an export under way; may be called twice."""
        if not self._is_shut:
            self._is_shut = True
            self._inner.shutdown()
