"""A collector of spans: it takes OTLP over HTTP, and decodes with OpenTelemetry's own messages."""

import gzip
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2


@attrs.frozen(kw_only=True)
class Exported:
    """One span as it arrived; ids are hex."""

    name: str
    kind: str
    trace_id: str
    id: str
    #: Empty for the first span of a trace.
    parent_id: str
    attributes: Mapping[str, str | int]
    #: Ids of the spans that it links to.
    links: tuple[str, ...]
    #: Whether it failed.
    has_failed: bool
    resource: Mapping[str, str | int]


class Collector:
    """What arrived, in order."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.paths: list[str] = []
        self._bodies: list[bytes] = []

    def take(self, path: str, body: bytes) -> None:
        """Keep a request."""
        self.paths.append(path)
        self._bodies.append(body)

    @property
    def content(self) -> bytes:
        """All bytes that arrived."""
        return b"".join(self._bodies)

    def spans(self) -> list[Exported]:
        """Every span so far."""
        found = []
        for body in tuple(self._bodies):
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = _values(group.resource.attributes)
                found += [
                    _exported(span, resource) for scope in group.scope_spans for span in scope.spans
                ]
        return found


def _exported(span: trace_pb2.Span, resource: Mapping[str, str | int]) -> Exported:
    return Exported(
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_values(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
        has_failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        resource=resource,
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, str | int]:
    return {one.key: one.value.string_value or one.value.int_value for one in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.collector = collector = Collector(server.server_port)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.collector.take(self.path, body)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(ExportTraceServiceResponse().SerializeToString())

    def log_message(self, *_: object) -> None:
        """Log nothing."""
