"""Clients that break the protocol, leave at a bad moment, or lie: each harms itself alone."""

import struct

import pytest
import trio
from google.rpc.error_details_pb2 import ErrorInfo
from grpclib.const import Status
from grpclib.health.v1.health_pb2 import HealthCheckRequest
from integration.grpc.server import (
    GET,
    MESSAGE_BYTES_MAX,
    PATIENCE_S,
    QUOTE,
    Caller,
    Reply,
    RunningServer,
    an_initiate,
)
from payd_client.proto import payment_pb2 as pb

from payd.adapters import bridge
from payd.transport.grpc.handlers import SERVICE

HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


async def begin_without_message(caller: Caller, method: str) -> int:
    """The headers of a call, and nothing after them."""
    number = caller._h2.get_next_available_stream_id()
    path = method if method.startswith("/") else f"/{SERVICE}/{method}"
    headers = (
        (":method", "POST"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    )
    caller._h2.send_headers(number, headers)
    await caller._flush()
    return number


async def send_raw(caller: Caller, number: int, data: bytes, *, end: bool) -> None:
    """Bytes of a body as they are, without a frame of ours around them."""
    caller._h2.send_data(number, data, end_stream=end)
    await caller._flush()


async def until_cut(caller: Caller) -> list[str]:
    """The names of what still came, until the server closed the connection; bounded."""
    seen: list[str] = []
    with trio.fail_after(PATIENCE_S):
        try:
            while True:
                seen += [type(event).__name__ for event in await caller._events()]
        except trio.BrokenResourceError:
            return seen


async def reported(running: RunningServer, count: int = 1) -> list[tuple[str, str]]:
    """What the server said of its finished calls, once there are so many; bounded."""
    with trio.fail_after(PATIENCE_S):
        while len(running.rpcs) < count:  # noqa: ASYNC110 - the server offers no event
            await trio.sleep(0.005)
    return running.rpcs


async def still_served(caller: Caller) -> None:
    """On the same connection."""
    reply = await caller.call("GetQuote", QUOTE)
    assert reply.message(pb.GetQuoteResponse).quote.total.minor_units == 100


def refused_field(reply: Reply) -> str:
    assert (reply.grpc_status, reply.reason) == (Status.INVALID_ARGUMENT, "INVALID_FIELD")
    return reply.field


# -- messages ----------------------------------------------------------------------------------


async def test_a_message_that_ends_too_soon_is_an_invalid_field(
    running: RunningServer, caller: Caller
) -> None:
    number = await begin_without_message(caller, "InitiatePayment")
    await send_raw(caller, number, struct.pack(">BI", 0, 100) + b"abc", end=True)
    assert refused_field(await caller.reply(number)) == "request"
    assert not running.use_cases.begun.is_set()
    await still_served(caller)


async def test_a_prefix_that_ends_too_soon_is_an_invalid_field(caller: Caller) -> None:
    number = await begin_without_message(caller, "InitiatePayment")
    await send_raw(caller, number, b"\0\0", end=True)
    assert refused_field(await caller.reply(number)) == "request"
    await still_served(caller)


async def test_a_call_without_a_message_is_an_invalid_field(caller: Caller) -> None:
    number = await begin_without_message(caller, "InitiatePayment")
    await send_raw(caller, number, b"", end=True)
    assert refused_field(await caller.reply(number)) == "request"
    await still_served(caller)


async def test_an_oversized_message_says_what_is_allowed(caller: Caller) -> None:
    reply = await caller.call("InitiatePayment", b"\0" * (MESSAGE_BYTES_MAX + 1))
    assert (reply.grpc_status, reply.reason) == (Status.RESOURCE_EXHAUSTED, "INVALID_FIELD")
    assert reply.field == "request"
    assert str(MESSAGE_BYTES_MAX) in reply.trailers["grpc-message"]
    await still_served(caller)


@pytest.mark.parametrize("method", ["InitiatePayment", HEALTH])
async def test_a_claimed_length_is_refused_before_a_byte_of_it_comes(
    caller: Caller, method: str
) -> None:
    number = await begin_without_message(caller, method)
    await send_raw(caller, number, struct.pack(">BI", 0, 2**31), end=False)
    reply = await caller.reply(number)
    assert reply.grpc_status is Status.RESOURCE_EXHAUSTED
    await still_served(caller)


async def test_garbage_to_health_is_an_invalid_field(caller: Caller) -> None:
    assert refused_field(await caller.call(HEALTH, b"\xff\xff")) == "request"
    await still_served(caller)


@pytest.mark.parametrize(
    "text",
    [
        "{00000000-0000-0000-0000-000000000007}",
        "urn:uuid:00000000-0000-0000-0000-000000000007",
        "00000000000000000000000000000007",
        " 00000000-0000-0000-0000-000000000007",
        "00000000-0000-0000-0000-000000000007\n",
        "\N{ARABIC-INDIC DIGIT ZERO}0000000-0000-0000-0000-000000000007",
    ],
    ids=["braces", "urn", "no hyphens", "space", "newline", "arabic digit"],
)
async def test_a_payment_id_in_another_spelling_is_refused(
    running: RunningServer, caller: Caller, text: str
) -> None:
    got = await caller.call("GetPayment", pb.GetPaymentRequest(payment_id=text))
    canceled = await caller.call("CancelPayment", pb.CancelPaymentRequest(payment_id=text))
    assert [refused_field(got), refused_field(canceled)] == ["payment_id", "payment_id"]
    assert not running.use_cases.begun.is_set()


# -- metadata ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["nonsense", "", "-1S", "1.5S", "5", "9" * 9 + "H", "9" * 400])
async def test_a_timeout_that_nobody_defined_is_an_invalid_field(
    caller: Caller, value: str
) -> None:
    reply = await caller.call("GetQuote", QUOTE, ("grpc-timeout", value))
    assert refused_field(reply) == "metadata.grpc-timeout"
    await still_served(caller)


async def test_the_longest_timeout_there_is_is_taken(caller: Caller) -> None:
    reply = await caller.call("GetQuote", QUOTE, ("grpc-timeout", "99999999H"))
    assert reply.grpc_status is Status.OK


@pytest.mark.parametrize("value", ["0S", "0n"])
async def test_a_timeout_of_nothing_has_passed_already(
    running: RunningServer, caller: Caller, value: str
) -> None:
    reply = await caller.call("InitiatePayment", an_initiate(), ("grpc-timeout", value))
    assert reply.grpc_status is Status.DEADLINE_EXCEEDED
    assert not running.use_cases.begun.is_set()
    await still_served(caller)


async def test_a_binary_header_that_is_no_base64_harms_nothing(caller: Caller) -> None:
    reply = await caller.call("GetQuote", QUOTE, ("x-bin", "a"))
    assert reply.grpc_status is Status.OK
    await still_served(caller)


@pytest.mark.parametrize("method", ["Refund", HEALTH, "/nobody.v1.Nothing/At"])
async def test_the_request_id_comes_back_whatever_was_called(caller: Caller, method: str) -> None:
    reply = await caller.call(method, b"", ("x-request-id", "req-7"))
    assert reply.trailers["x-request-id"] == "req-7"


@pytest.mark.parametrize(
    "claimed",
    [
        "<script>",
        "localhost",
        "203.0.113.999",
        "",
        "0x7f.1",
        "unknown, 203.0.113.9",
        "1" * 4000,
        # A scope is the sender's own name for one of its interfaces, and may be any text.
        "fe80::1%" + "x" * 4000,
        "fe80::1%eth0\x07",
    ],
)
async def test_a_forwarded_address_that_is_none_is_not_stored(
    running: RunningServer, caller: Caller, claimed: str
) -> None:
    await caller.call("InitiatePayment", an_initiate(), ("x-forwarded-for", claimed))
    [origin] = running.use_cases.origins
    assert origin.ip == "127.0.0.1"


@pytest.mark.parametrize(
    ("claimed", "stored"),
    [("203.0.113.9", "203.0.113.9"), ("2001:DB8::0:1, 10.0.0.1", "2001:db8::1")],
)
async def test_a_forwarded_address_is_stored_in_its_one_spelling(
    running: RunningServer, caller: Caller, claimed: str, stored: str
) -> None:
    await caller.call("InitiatePayment", an_initiate(), ("x-forwarded-for", claimed))
    [origin] = running.use_cases.origins
    assert origin.ip == stored


@pytest.mark.parametrize("trace", ["nonsense", "00-" + "0" * 32 + "-x-01", "'; DROP TABLE--"])
async def test_a_trace_that_is_none_is_not_stored(
    running: RunningServer, caller: Caller, trace: str
) -> None:
    await caller.call("InitiatePayment", an_initiate(), ("traceparent", trace))
    [origin] = running.use_cases.origins
    assert origin.traceparent == ""


# -- frames ------------------------------------------------------------------------------------


async def test_a_frame_of_an_unknown_type_is_passed_over(caller: Caller) -> None:
    await caller._stream.send_all(b"\0\0\0" + bytes([0xEE]) + b"\0" + b"\0\0\0\0")
    await still_served(caller)


async def test_headers_that_nobody_can_read_end_their_own_connection_only(
    running: RunningServer, caller: Caller
) -> None:
    async with running.caller() as vandal:
        # A HEADERS frame for stream 1 whose only byte begins a number and never ends it.
        await vandal._stream.send_all(b"\0\0\1\1\4" + b"\0\0\0\1" + b"\xff")
        await until_cut(vandal)
    await still_served(caller)


# -- callers that leave, and callers that stay -------------------------------------------------


@pytest.mark.parametrize("method", ["InitiatePayment", "GetPayment"])
async def test_a_call_whose_message_never_came_leaves_no_slot(
    running: RunningServer, method: str
) -> None:
    async with running.caller() as gone:
        await begin_without_message(gone, method)
        # Answered after it on the same connection: the headers have arrived.
        await still_served(gone)
    assert (method, "CANCELLED") in await reported(running, 2)
    assert running.server.in_flight() == 0
    assert not running.use_cases.begun.is_set()


async def test_a_call_whose_message_never_comes_ends_at_its_deadline(
    running: RunningServer,
) -> None:
    async with running.caller() as slow:
        number = slow._h2.get_next_available_stream_id()
        fixed = {":method": "POST", ":scheme": "https", ":authority": "localhost"}
        given = {"te": "trailers", "content-type": "application/grpc", "grpc-timeout": "100m"}
        path = {":path": f"/{SERVICE}/InitiatePayment"}
        slow._h2.send_headers(number, [*(fixed | path | given).items()])
        await slow._flush()
        reply = await slow.reply(number)
    assert reply.grpc_status is Status.DEADLINE_EXCEEDED
    assert not running.use_cases.begun.is_set()


async def test_a_read_whose_caller_has_left_is_reported_as_cancelled(
    running: RunningServer,
) -> None:
    running.use_cases.hold()
    async with running.caller() as gone:
        await gone.begin("GetPayment", GET)
        with trio.fail_after(PATIENCE_S):
            await running.use_cases.begun.wait()
    assert await reported(running) == [("GetPayment", "CANCELLED")]


async def test_a_stop_notifies_connected_clients(running: RunningServer, caller: Caller) -> None:
    await still_served(caller)
    await bridge.aio(running.server.stop, 1.0)
    # GOAWAY, then the end; without the first, a client takes it for a failure.
    assert "ConnectionTerminated" in await until_cut(caller)


async def test_a_stopped_server_may_be_stopped_again(running: RunningServer) -> None:
    await bridge.aio(running.server.stop, 1.0)
    await bridge.aio(running.server.stop, 1.0)


# -- permissions -------------------------------------------------------------------------------


async def test_health_of_a_service_that_is_not_here_is_not_found(caller: Caller) -> None:
    reply = await caller.call(HEALTH, HealthCheckRequest(service="nobody.v1.Nothing"))
    assert reply.grpc_status is Status.NOT_FOUND
    await still_served(caller)


async def test_a_stranger_learns_no_schema(running: RunningServer) -> None:
    async with running.caller("stranger") as stranger:
        reply = await stranger.call(REFLECTION, b"")
    assert (reply.grpc_status, reply.reason) == (Status.PERMISSION_DENIED, "CLIENT_NOT_ALLOWED")
    assert reply.detail(ErrorInfo).metadata == {"common_name": "stranger"}
