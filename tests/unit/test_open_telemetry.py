"""The tracer of OpenTelemetry: what it exports, and what a collector that is away costs."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.otlp import Collector, collecting

from payd.adapters.open_telemetry import OtelTracer
from payd.telemetry.tracing import SpanKind

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(autouse=True)
def usual_logging() -> Iterator[None]:
    """The tracer silences the SDK for its process."""
    logger = logging.getLogger("opentelemetry")
    level = logger.level
    yield
    logger.setLevel(level)


def closed(tracer: OtelTracer) -> None:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(tracer.close())


def test_spans_arrive_with_their_parents_and_names(collector: Collector) -> None:
    tracer = OtelTracer(f"{collector.endpoint}/", "till", "test")
    outer = tracer.begin("outer", SpanKind.SERVER, PARENT, {"a": "b"})
    inner = tracer.begin("inner", SpanKind.PRODUCER, outer.traceparent, {"n": 0}, [PARENT])
    inner.end(failure="Broken")
    outer.end({"c": 7})
    closed(tracer)

    first, second = collector.spans()
    assert collector.paths == ["/v1/traces"]
    assert (first.name, first.kind, first.has_failed) == ("inner", "PRODUCER", True)
    assert first.attributes == {"n": 0, "error.type": "Broken"}
    assert (second.name, second.kind, second.has_failed) == ("outer", "SERVER", False)
    assert second.attributes == {"a": "b", "c": 7}
    assert first.parent_id == second.id
    assert (first.links, second.links) == ((second.parent_id,), ())
    assert f"00-{second.trace_id}-{second.parent_id}-01" == PARENT
    assert outer.traceparent == f"00-{second.trace_id}-{second.id}-01"
    assert second.resource["service.name"] == "till"


def test_a_trace_begins_without_a_parent_and_with_one_that_is_none(collector: Collector) -> None:
    tracer = OtelTracer(collector.endpoint, "payd", "test")
    for parent in ("", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "nonsense"):
        tracer.begin("one", SpanKind.SERVER, parent, {}).end()
    closed(tracer)
    assert [one.parent_id for one in collector.spans()] == ["", "", ""]
    assert len({one.trace_id for one in collector.spans()}) == 3


def test_what_the_caller_does_not_sample_is_not_exported(collector: Collector) -> None:
    tracer = OtelTracer(collector.endpoint, "payd", "test")
    span = tracer.begin("one", SpanKind.SERVER, PARENT[:-2] + "00", {})
    assert span.traceparent.startswith(PARENT[:36])
    assert span.traceparent.endswith("-00")
    span.end()
    closed(tracer)
    assert collector.spans() == []


def test_a_disabled_sdk_leaves_the_trace_alone(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracer = OtelTracer(collector.endpoint, "payd", "test")
    assert tracer.begin("one", SpanKind.SERVER, "", {}).traceparent == ""
    assert tracer.begin("one", SpanKind.SERVER, PARENT, {}).traceparent == PARENT
    closed(tracer)
    assert collector.paths == []


def test_a_collector_that_is_away_is_logged_once_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.05")
    with collecting() as gone:
        endpoint = gone.endpoint
    lines: list[MutableMapping[str, Any]]
    with capture_logs() as lines:
        tracer = OtelTracer(endpoint, "payd", "test")
        # More than the queue holds: the rest is dropped.
        for _ in range(5_000):
            tracer.begin("one", SpanKind.SERVER, "", {}).end()
        until = time.monotonic() + 60
        while not lines and time.monotonic() < until:
            time.sleep(0.01)
        closed(tracer)
    assert [line["event"] for line in lines] == ["spans_dropped"]
    threads = [one for one in threading.enumerate() if "Otel" in one.name]
    assert all(one.daemon for one in threads)
