"""Authorization, the status of each error, and what payd records about a caller."""

import ssl

import pytest
import trio
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from grpclib.const import Status
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from integration.grpc.server import (
    CANCEL,
    GET,
    MESSAGE_BYTES_MAX,
    PAYMENT_ID,
    QUOTE,
    Caller,
    RunningServer,
    an_initiate,
)
from payd_client.proto import payment_pb2 as pb

from payd.domain import errors
from payd.domain.errors import PaydError
from payd.domain.payment import Origin

HEALTH = "/grpc.health.v1.Health/Check"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def still_served(caller: Caller) -> None:
    """On the same connection."""
    reply = await caller.call("GetQuote", QUOTE)
    assert reply.message(pb.GetQuoteResponse).quote.total.minor_units == 100


# -- admission ---------------------------------------------------------------------------------


async def test_the_main_app_is_answered_and_finds_its_request_id_again(caller: Caller) -> None:
    reply = await caller.call("GetQuote", QUOTE, ("x-request-id", "req-42"))
    assert reply.message(pb.GetQuoteResponse).quote.method == "card"
    assert reply.trailers["x-request-id"] == "req-42"


@pytest.mark.parametrize("given", [None, "", "two words", "x" * 129])
async def test_a_request_without_a_usable_id_gets_one(caller: Caller, given: str | None) -> None:
    headers = () if given is None else (("x-request-id", given),)
    made = (await caller.call("GetQuote", QUOTE, *headers)).trailers["x-request-id"]
    assert made
    assert made != given


async def test_a_client_without_a_certificate_harms_nobody(
    running: RunningServer, caller: Caller
) -> None:
    # In TLS 1.3 the client hears of it when it first reads.
    with pytest.raises(trio.BrokenResourceError):
        async with running.caller(certificate=None) as nobody:
            await nobody.call("GetQuote", QUOTE)
    assert running.rpcs == []
    await still_served(caller)


async def test_a_client_of_tls_1_2_harms_nobody(running: RunningServer, caller: Caller) -> None:
    old = running.tls("client")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(trio.BrokenResourceError):
        async with running.caller(tls=old):
            pytest.fail("the handshake went through")
    await still_served(caller)


@pytest.mark.parametrize("method", ["GetQuote", "InitiatePayment", "GetPayment", "CancelPayment"])
async def test_a_stranger_with_our_certificate_may_call_nothing(
    running: RunningServer, method: str
) -> None:
    async with running.caller("stranger") as stranger:
        reply = await stranger.call(method, b"")
    assert reply.grpc_status is Status.PERMISSION_DENIED
    assert reply.reason == "CLIENT_NOT_ALLOWED"
    assert reply.detail(ErrorInfo).metadata == {"common_name": "stranger"}
    assert not running.use_cases.begun.is_set()


@pytest.mark.parametrize("certificate", ["client", "stranger"])
@pytest.mark.parametrize("service", ["", "payd.v1.PaymentService"])
async def test_health_answers_any_certificate_and_follows_the_daemon(
    running: RunningServer, certificate: str, service: str
) -> None:
    async with running.caller(certificate) as anybody:

        async def status() -> int:
            reply = await anybody.call(HEALTH, HealthCheckRequest(service=service))
            return int(reply.message(HealthCheckResponse).status)

        assert await status() == HealthCheckResponse.SERVING
        running.server.set_serving(False)
        assert await status() == HealthCheckResponse.NOT_SERVING


# -- bad input ---------------------------------------------------------------------------------


async def test_garbage_is_an_invalid_field_and_the_connection_goes_on(caller: Caller) -> None:
    reply = await caller.call("InitiatePayment", b"\xff\xff\xff")
    assert (reply.grpc_status, reply.reason) == (Status.INVALID_ARGUMENT, "INVALID_FIELD")
    assert reply.field == "request"
    await still_served(caller)


async def test_an_oversized_message_is_refused_by_its_length(caller: Caller) -> None:
    reply = await caller.call("InitiatePayment", b"\0" * (MESSAGE_BYTES_MAX + 1))
    assert reply.grpc_status is Status.RESOURCE_EXHAUSTED
    await still_served(caller)


async def test_metadata_that_is_not_ascii_is_an_invalid_field(caller: Caller) -> None:
    reply = await caller.call("GetQuote", QUOTE, ("x-actor", "Zoë".encode()))
    assert (reply.grpc_status, reply.reason) == (Status.INVALID_ARGUMENT, "INVALID_FIELD")
    await still_served(caller)


async def test_what_payd_does_not_speak_is_unimplemented(caller: Caller) -> None:
    compressed = await caller.call("GetQuote", QUOTE, ("grpc-encoding", "gzip"), compressed=True)
    assert compressed.grpc_status is Status.UNIMPLEMENTED
    assert (await caller.call("Refund", b"")).grpc_status is Status.UNIMPLEMENTED
    await still_served(caller)


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.PaymentNotFound("no such payment"), Status.NOT_FOUND),
        (errors.IdempotencyKeyReused("another request has it"), Status.ALREADY_EXISTS),
        (errors.PaymentNotCancelable("it is paid"), Status.FAILED_PRECONDITION),
        (errors.UnknownMethod("nobody takes it", method="cash"), Status.INVALID_ARGUMENT),
        (errors.RateLimited("too fast"), Status.RESOURCE_EXHAUSTED),
        (errors.StoreUnavailable("away"), Status.UNAVAILABLE),
    ],
    ids=lambda value: getattr(value, "reason", None),
)
async def test_an_error_has_its_reason_and_whether_to_repeat(
    running: RunningServer, caller: Caller, error: PaydError, status: Status
) -> None:
    running.use_cases.error = error
    reply = await caller.call("CancelPayment", CANCEL, ("x-request-id", "req-9"))
    assert (reply.grpc_status, reply.reason) == (status, error.reason)
    assert reply.detail(ErrorInfo).metadata == error.metadata
    assert reply.trailers["x-request-id"] == "req-9"
    if error.may_retry:
        assert reply.retry_after_s > 0
    assert running.rpcs == [("CancelPayment", status.name)]


async def test_an_unknown_error_is_internal_and_keeps_its_text_to_itself(
    running: RunningServer, caller: Caller
) -> None:
    running.use_cases.error = RuntimeError("password=hunter2")
    reply = await caller.call("GetPayment", GET)
    assert (reply.grpc_status, reply.reason) == (Status.INTERNAL, "INTERNAL")
    assert "hunter2" not in str(reply.trailers)


# -- origin of a call --------------------------------------------------------------------------


async def test_the_origin_of_a_call_reaches_the_use_case(
    running: RunningServer, caller: Caller
) -> None:
    await caller.call(
        "InitiatePayment",
        an_initiate(),
        ("x-request-id", "req-1"),
        ("x-actor", "user-1"),
        ("x-forwarded-for", "203.0.113.9, 10.0.0.1"),
        ("traceparent", TRACE),
    )
    await caller.call("InitiatePayment", an_initiate(), ("x-request-id", "req-2"))
    assert running.use_cases.origins == [
        Origin(
            actor="user-1",
            request_id="req-1",
            ip="203.0.113.9",
            certificate="main-app",
            peer="127.0.0.1",
            traceparent=TRACE,
        ),
        Origin(
            actor="main-app",
            request_id="req-2",
            ip="127.0.0.1",
            certificate="main-app",
            peer="127.0.0.1",
        ),
    ]


@pytest.mark.parametrize(
    "claimed",
    [
        "payd",
        "recovery",
        "reconciliation",
        "provider:stripe",
        "operator:ada",
        "operator:main-app/ada",
        "provider:",
        "payd/recovery",
        "RECOVERY",
        "Operator:Ada",
        "  recovery\t",
        "provider : stripe",
    ],
)
@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("InitiatePayment", an_initiate()),
        ("CancelPayment", CANCEL),
        ("GetPayment", GET),
        ("GetQuote", QUOTE),
    ],
)
async def test_a_name_of_payds_own_cannot_be_claimed(
    running: RunningServer, caller: Caller, method: str, request_: Message, claimed: str
) -> None:
    reply = await caller.call(method, request_, ("x-actor", claimed), ("x-request-id", "req-1"))
    assert (reply.grpc_status, reply.reason) == (Status.INVALID_ARGUMENT, "INVALID_FIELD")
    assert reply.field == "x-actor"
    assert reply.trailers["x-request-id"] == "req-1"
    assert not running.use_cases.begun.is_set()
    await still_served(caller)


@pytest.mark.parametrize(
    "claimed", ["user:42", "paydesk", "recovery-team", "operators", "x-provider:stripe", "o:payd"]
)
async def test_a_name_that_only_resembles_one_of_payds_can_be_claimed(
    running: RunningServer, caller: Caller, claimed: str
) -> None:
    await caller.call("CancelPayment", CANCEL, ("x-actor", claimed))
    [origin] = running.use_cases.origins
    assert origin.actor == claimed


@pytest.mark.parametrize("claimed", ["", "   ", "x" * 129, "a\x07b", "a\x7fb", "re\x00covery"])
async def test_an_actor_that_cannot_be_kept_gives_way_to_the_certificates_name(
    running: RunningServer, caller: Caller, claimed: str
) -> None:
    await caller.call("CancelPayment", CANCEL, ("x-actor", claimed))
    [origin] = running.use_cases.origins
    assert (origin.actor, origin.certificate) == ("main-app", "main-app")


async def test_an_unauthorized_client_learns_no_names_of_payd(running: RunningServer) -> None:
    async with running.caller("stranger") as stranger:
        reply = await stranger.call("CancelPayment", CANCEL, ("x-actor", "recovery"))
    assert reply.reason == "CLIENT_NOT_ALLOWED"


async def test_the_payment_is_found_by_its_id(caller: Caller) -> None:
    reply = await caller.call("GetPayment", GET)
    assert reply.message(pb.GetPaymentResponse).payment.id == str(PAYMENT_ID)
