"""Traces: from the caller through payd, its provider and its events, to the consumer."""

import asyncio
import contextlib
import re
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from payd_client import ConsumerSettings, Event, EventConsumer
from payd_client.proto import payment_pb2 as pb
from support import plain_http
from support.daemon import Daemon, Place, running_daemon, wait_until_published
from support.otlp import Collector, Exported, collecting
from support.waiting import wait_until
from unit.cli.scripted_daemon import on_plain_asyncio

CALLER_TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER_SPAN = "b7ad6b7169203331"
#: The SDK exports every five seconds by default.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
GET = "payd.v1.PaymentService/GetPayment"
WATCH = "payd.v1.PaymentService/WatchPayment"
INITIATE = "payd.v1.PaymentService/InitiatePayment"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def daemon(module_place: Place, collector: Collector) -> Iterator[Daemon]:
    more = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_SERVICE_NAME": "till", **SOON}
    with running_daemon(module_place, **more) as daemon:
        yield daemon


def planted() -> dict[str, str]:
    """Values of a customer that no span may have."""
    return {name: f"{name}-{uuid.uuid4().hex}" for name in ("mail", "wallet", "meta", "url", "who")}


def paid(daemon: Daemon, traceparent: str, values: dict[str, str]) -> Any:
    """A completed payment whose caller traces it."""
    with daemon.client() as client:
        request = pb.InitiatePaymentRequest(
            idempotency_key=str(uuid.uuid4()),
            customer=pb.Customer(
                id="user-1", email=f"{values['mail']}@example.org", wallet_address=values["wallet"]
            ),
            items=[pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")],
            method="mock",
            metadata={"mock_scenario": "complete", "note": values["meta"]},
            return_url=f"https://shop.example/{values['url']}",
        )
        metadata = {"x_actor": values["who"]}
        if traceparent:
            metadata["traceparent"] = traceparent
        payment = client.call("InitiatePayment", request, 20, **metadata).payment
        return client.wait_for(payment.id, "COMPLETED")


def spans_of(collector: Collector, payment_id: str, *names: str) -> list[Exported]:
    """Its spans but those of its readers, once those with these names have arrived."""

    def look() -> list[Exported]:
        found = [
            one
            for one in collector.spans()
            if one.attributes.get("payd.payment_id") == payment_id and one.name != GET
        ]
        return found if set(names) <= {one.name for one in found} else []

    return wait_until(look, lambda: f"only {[one.name for one in collector.spans()]}")


def test_a_payment_is_one_trace_from_the_caller_to_the_consumer(
    daemon: Daemon, collector: Collector
) -> None:
    values = planted()
    payment = paid(daemon, f"00-{CALLER_TRACE}-{CALLER_SPAN}-01", values)
    messages = wait_until_published(daemon.place)

    spans = spans_of(collector, payment.id, INITIATE, "publish payment.completed")

    assert {one.trace_id for one in spans} == {CALLER_TRACE}
    [rpc] = [one for one in spans if one.name == INITIATE]
    assert (rpc.kind, rpc.parent_id) == ("SERVER", CALLER_SPAN)
    assert (rpc.attributes["rpc.grpc.status_code"], rpc.has_failed) == (0, False)
    assert rpc.resource["service.name"] == "till"
    assert rpc.resource["deployment.environment.name"] == "test"
    [create] = [one for one in spans if one.name == "provider create"]
    assert (create.kind, create.parent_id) == ("CLIENT", rpc.id)
    assert create.attributes["payd.provider"] == "mock"
    assert create.attributes["payd.outcome"] == "Created"
    settled = {one.attributes["payd.status"]: one for one in spans if one.name == "settle"}
    assert settled["PENDING"].parent_id == rpc.id
    # The report that brought the money has no trace: the payment's goes on.
    assert settled["COMPLETED"].parent_id == rpc.id
    [publish] = [one for one in spans if one.name == "publish payment.completed"]
    assert (publish.kind, publish.parent_id) == ("PRODUCER", settled["COMPLETED"].id)
    [event] = [one for one in messages if one.body["id"] == payment.id]
    assert event.headers["traceparent"] == f"00-{CALLER_TRACE}-{settled['COMPLETED'].id}-01"
    assert _consumed(daemon, payment.id) == (CALLER_TRACE, settled["COMPLETED"].id)
    for value in values.values():
        assert value.encode() not in collector.content


def _consumed(daemon: Daemon, payment_id: str) -> tuple[str, str]:
    """Trace and parent of the span in which a handler of the client gets the event."""
    exporter, seen = InMemorySpanExporter(), asyncio.Event()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

    async def handle(event: Event) -> None:
        if str(event.payment.id) == payment_id:
            with trace.get_tracer("shop").start_as_current_span("deliver"):
                seen.set()

    async def consume() -> None:
        settings = ConsumerSettings(nats=daemon.place.nats, durable=f"traces-{uuid.uuid4().hex}")
        running = asyncio.create_task(EventConsumer(settings, handle).run())
        async with asyncio.timeout(60):
            await seen.wait()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    on_plain_asyncio(consume())
    spans = {span.name: span for span in exporter.get_finished_spans()}
    process, deliver = spans["process payment.completed"], spans["deliver"]
    assert process.context is not None
    assert process.parent is not None
    assert deliver.parent is not None
    assert process.kind is trace.SpanKind.CONSUMER
    assert deliver.parent.span_id == process.context.span_id
    return f"{process.parent.trace_id:032x}", f"{process.parent.span_id:016x}"


def test_payd_begins_a_trace_where_the_caller_has_none(
    daemon: Daemon, collector: Collector
) -> None:
    payment = paid(daemon, "", planted())
    spans = spans_of(collector, payment.id, INITIATE, "publish payment.completed")
    [rpc] = [one for one in spans if one.name == INITIATE]
    assert rpc.parent_id == ""
    assert {one.trace_id for one in spans} == {rpc.trace_id}


def test_a_trace_that_the_caller_does_not_sample_is_not_exported(
    daemon: Daemon, collector: Collector
) -> None:
    unsampled = paid(daemon, f"00-{uuid.uuid4().hex}-{CALLER_SPAN}-00", planted())
    sampled = paid(daemon, "", planted())
    spans_of(collector, sampled.id, "publish payment.completed")
    about_it = [
        one.name
        for one in collector.spans()
        if one.attributes.get("payd.payment_id") == unsampled.id
    ]
    assert set(about_it) <= {GET}


def test_a_watch_is_a_span_of_its_callers_trace(daemon: Daemon, collector: Collector) -> None:
    payment = paid(daemon, "", planted())
    place = f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"
    with daemon.client() as client:
        [seen] = client.watch(payment.id, traceparent=place)
    assert seen.payment.id == payment.id

    found = spans_of(collector, payment.id, WATCH)

    [watch] = [one for one in found if one.name == WATCH]
    assert (watch.kind, watch.trace_id, watch.parent_id) == ("SERVER", CALLER_TRACE, CALLER_SPAN)
    assert (watch.attributes["rpc.grpc.status_code"], watch.has_failed) == (0, False)


def test_a_refused_call_and_a_refused_webhook_have_their_reason(
    daemon: Daemon, collector: Collector
) -> None:
    with daemon.client() as client, pytest.raises(Exception, match="no payment has this id"):
        client.get(str(uuid.uuid4()))
    plain_http.post(f"http://{daemon.http}/webhooks/nobody", content=b"secret-body")

    def look() -> dict[str, Exported]:
        found = {one.name: one for one in collector.spans()}
        names = {GET, "webhook"}
        is_there = names <= set(found) and any(
            one.attributes.get("payd.reason") == "PAYMENT_NOT_FOUND" for one in collector.spans()
        )
        return found if is_there else {}

    found = wait_until(look, "the spans arrive")
    assert found["webhook"].has_failed
    assert found["webhook"].attributes == {"error.type": "WEBHOOK_UNKNOWN"}
    assert b"secret-body" not in collector.content


def test_payments_go_on_without_the_collector_and_the_stop_does_not_wait(place: Place) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with running_daemon(place, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **SOON) as daemon:
            for _ in range(3):
                paid(daemon, "", planted())
            # The SDK alone would wait for half a minute, and payd's own deadline would exit with 1.
            assert daemon.stop() == 0
            assert "daemon_stopped" in {line["event"] for line in daemon.lines}


def test_the_last_spans_arrive_at_the_stop(place: Place) -> None:
    with (
        collecting() as collector,
        running_daemon(place, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as daemon,
    ):
        payment = paid(daemon, "", planted())
        wait_until_published(place)
        assert daemon.stop() == 0
        names = {
            one.name
            for one in collector.spans()
            if one.attributes.get("payd.payment_id") == payment.id
        }
        assert {INITIATE, "settle", "publish payment.completed"} <= names
        assert set(collector.paths) == {"/v1/traces"}


def test_nothing_is_imported_without_a_collector(place: Place) -> None:
    """Without Redis: its library imports OpenTelemetry wherever that is installed."""
    every_import = {"PYTHONPROFILEIMPORTTIME": "1", "REDIS_ADDR": ""}
    with running_daemon(place.without_forks(), **every_import) as daemon:
        paid(daemon, f"00-{CALLER_TRACE}-{CALLER_SPAN}-01", planted())
        [event] = wait_until_published(place)
        daemon.stop()
    # Without a span of its own payd hands on what the caller sent.
    assert event.headers["traceparent"] == f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"
    printed = "\n".join(str(line.get("text", "")) for line in daemon.lines)
    imported = set(re.findall(r"^import time: .*\| +(\S+)$", printed, re.MULTILINE))
    assert {"payd.nursery", "payd.transport.grpc.traces"} <= imported
    assert not {name for name in imported if name.startswith("opentelemetry")}
