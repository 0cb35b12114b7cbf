"""Deadlines, callers that leave, too many calls at once, and the drain."""

from pathlib import Path

import pytest
import trio
from grpclib.const import Status
from integration.grpc.server import (
    CANCEL,
    GET,
    PATIENCE_S,
    QUOTE,
    Caller,
    RunningServer,
    an_initiate,
    run_server,
)
from payd_client.proto import payment_pb2 as pb

from payd.adapters import bridge

SHORT = ("grpc-timeout", "50m")
TOO_LATE = Status.DEADLINE_EXCEEDED


async def idle(running: RunningServer) -> None:
    """Until no call is under way; bounded."""
    with trio.fail_after(PATIENCE_S):
        while running.server.in_flight():  # noqa: ASYNC110 - the server offers no event
            await trio.sleep(0.005)


async def test_a_read_ends_at_its_deadline(running: RunningServer, caller: Caller) -> None:
    running.use_cases.hold()
    reply = await caller.call("GetPayment", GET, ("grpc-timeout", "150m"))
    assert reply.grpc_status is Status.DEADLINE_EXCEEDED
    await idle(running)
    assert not running.use_cases.ended.is_set()


@pytest.mark.parametrize(
    ("method", "request_"), [("InitiatePayment", an_initiate()), ("CancelPayment", CANCEL)]
)
async def test_a_write_that_was_begun_goes_on_past_its_deadline(
    running: RunningServer, caller: Caller, method: str, request_: pb.CancelPaymentRequest
) -> None:
    running.use_cases.hold()
    reply = await caller.call(method, request_, ("grpc-timeout", "150m"))
    assert reply.grpc_status is Status.DEADLINE_EXCEEDED
    assert running.server.in_flight() == 1
    running.use_cases.release()
    with trio.fail_after(PATIENCE_S):
        await running.use_cases.ended.wait()
    await idle(running)


async def test_a_write_that_was_begun_goes_on_when_its_caller_is_gone(
    running: RunningServer,
) -> None:
    running.use_cases.hold()
    async with running.caller() as caller:
        await caller.begin("InitiatePayment", an_initiate())
        with trio.fail_after(PATIENCE_S):
            await running.use_cases.begun.wait()
    running.use_cases.release()
    with trio.fail_after(PATIENCE_S):
        await running.use_cases.ended.wait()


async def test_waiting_for_another_calls_answer_ends_within_the_deadline(
    running: RunningServer, caller: Caller
) -> None:
    await caller.call("InitiatePayment", an_initiate())
    await caller.call("InitiatePayment", an_initiate(), ("grpc-timeout", "2S"))
    without, within = running.use_cases.waits_s
    assert without == 5.0
    assert 0 < within < 2.0


async def test_more_calls_than_the_daemon_takes_get_a_retry_delay(pki: Path) -> None:
    async with (
        run_server(pki, max_in_flight=1) as running,
        running.caller() as one,
        running.caller() as two,
    ):
        running.use_cases.hold()
        first = await one.begin("GetPayment", GET)
        with trio.fail_after(PATIENCE_S):
            await running.use_cases.begun.wait()
        reply = await two.call("GetPayment", GET)
        assert (reply.grpc_status, reply.reason) == (Status.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert reply.retry_after_s > 0
        running.use_cases.release()
        assert (await one.reply(first)).grpc_status is Status.OK


async def test_a_drain_finishes_what_is_under_way_and_refuses_what_is_new(
    running: RunningServer, caller: Caller
) -> None:
    running.use_cases.hold()
    async with running.caller() as late, trio.open_nursery() as nursery:
        under_way = await caller.begin("InitiatePayment", an_initiate())
        with trio.fail_after(PATIENCE_S):
            await running.use_cases.begun.wait()
        nursery.start_soon(bridge.aio, running.server.stop, PATIENCE_S)
        with trio.fail_after(PATIENCE_S):
            # Until the drain has begun, calls wait like the one under way.
            while (reply := await late.call("GetPayment", GET, SHORT)).grpc_status is TOO_LATE:
                pass
        assert (reply.grpc_status, reply.reason) == (Status.UNAVAILABLE, "SHUTTING_DOWN")
        assert reply.retry_after_s > 0
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            await trio.open_tcp_stream("127.0.0.1", running.port)
        running.use_cases.release()
        reply = await caller.reply(under_way)
    assert reply.message(pb.InitiatePaymentResponse).payment.status == pb.PAYMENT_STATUS_CREATING


async def test_on_a_shared_port_clients_are_sent_away_before_the_drain_ends(pki: Path) -> None:
    async with (
        run_server(pki, shares_port=True) as running,
        running.caller() as busy,
        running.caller() as other,
        trio.open_nursery() as nursery,
    ):
        await other.call("GetQuote", QUOTE)
        running.use_cases.hold()
        await busy.begin("InitiatePayment", an_initiate())
        with trio.fail_after(PATIENCE_S):
            await running.use_cases.begun.wait()
            nursery.start_soon(bridge.aio, running.server.stop, PATIENCE_S)
            # A client that reads GOAWAY connects again, and reaches another daemon.
            while not any(
                type(e).__name__ == "ConnectionTerminated" for e in await other._events()
            ):
                pass
        assert running.server.in_flight() == 1
        running.use_cases.release()
        with trio.fail_after(PATIENCE_S):
            await running.use_cases.ended.wait()
