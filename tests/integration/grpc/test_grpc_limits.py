"""Limits of the gRPC port: calls within them are served, others get an error or are cut."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from payd_client.proto import payment_pb2 as pb
from support.daemon import Daemon, Place, running_daemon
from support.hostile_client import (
    DATA,
    END_STREAM,
    GOAWAY,
    HEAD,
    PREFACE,
    Hostile,
    client_context,
    cut,
    frame,
    intruder,
    socket_to,
)

PATIENCE_S = 180.0
HANDSHAKE_TIMEOUT_S = 4.0
QUOTE = pb.GetQuoteRequest(
    method="mock",
    items=[pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")],
)
NO_ERROR = 0


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    """One whose connections grow old within a second, and that admits few unknown ones."""
    limits = {
        "PAYD_GRPC_IDLE_TIMEOUT_S": "0.6",
        "PAYD_GRPC_MAX_CONNECTION_AGE_S": "0.9",
        "PAYD_GRPC_MAX_HANDSHAKES": "8",
        "PAYD_GRPC_HANDSHAKE_TIMEOUT_S": str(HANDSHAKE_TIMEOUT_S),
        "PAYD_GRPC_MAX_HEADER_BYTES": "8192",
    }
    with running_daemon(module_place.without_forks(), **limits) as daemon:
        yield daemon
        assert not [li for li in daemon.lines if li.get("level") in ("error", "critical")]


def goodbye(hostile: Hostile) -> int:
    """The code of the GOAWAY that comes."""
    for kind, _, _, payload in hostile.frames(PATIENCE_S):
        if kind == GOAWAY:
            return int(struct.unpack(">I", payload[4:8])[0])
    raise AssertionError("no word before the end")


def in_one_message(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


# -- idleness and age ------------------------------------------------------------------------------


def test_a_connection_without_calls_is_asked_to_leave_and_ends(daemon: Daemon) -> None:
    before = cut(daemon.metrics, "idle")
    with intruder(daemon.grpc, daemon.place.pki) as hostile:
        hostile.begin()
        began = time.monotonic()
        assert goodbye(hostile) == NO_ERROR
        assert time.monotonic() - began > 0.5
        hostile.wait_cut(PATIENCE_S)
    assert cut(daemon.metrics, "idle") == before + 1


def test_a_client_that_goes_on_calling_never_notices_that_its_connections_grow_old(
    daemon: Daemon,
) -> None:
    before = cut(daemon.metrics, "age")
    with daemon.client() as client:
        until = time.monotonic() + PATIENCE_S
        while cut(daemon.metrics, "age") < before + 2:
            for _ in range(20):
                client.call("GetQuote", QUOTE, PATIENCE_S)
            assert time.monotonic() < until, "no connection was asked to come again"


def test_a_call_under_way_on_an_old_connection_is_served(daemon: Daemon) -> None:
    message = in_one_message(QUOTE.SerializeToString())
    with intruder(daemon.grpc, daemon.place.pki) as hostile:
        hostile.begin()
        hostile.send(hostile.head(1) + frame(DATA, 0, 1, message[:7]))
        frames = hostile.frames(PATIENCE_S)
        assert any(kind == GOAWAY for kind, *_ in frames)

        hostile.send(frame(DATA, END_STREAM, 1, message[7:]))
        answered = [(kind, flags & END_STREAM) for kind, flags, stream, _ in frames if stream == 1]
    assert answered[0] == (HEAD, 0)
    assert (DATA, 0) in answered
    assert answered[-1] == (HEAD, END_STREAM)


# -- how much of a call -----------------------------------------------------------------------------


def test_metadata_within_the_limit_is_taken(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.call("GetQuote", QUOTE, PATIENCE_S, x_large="x" * 7000)


def test_metadata_beyond_the_limit_ends_its_connection(daemon: Daemon) -> None:
    before = cut(daemon.metrics, "protocol")
    with intruder(daemon.grpc, daemon.place.pki) as hostile:
        hostile.begin()
        hostile.send(hostile.head(1, extra=[("x-large", "x" * 9000)]))
        hostile.wait_cut(PATIENCE_S)
    assert cut(daemon.metrics, "protocol") == before + 1


def test_a_client_that_keeps_the_protocol_may_begin_any_number_of_calls_at_once(
    daemon: Daemon,
) -> None:
    with daemon.client() as client:
        for call in [client.future("GetQuote", QUOTE) for _ in range(400)]:
            assert call.result().quote.total.minor_units


# -- on the way in ----------------------------------------------------------------------------------


def test_a_newcomer_takes_the_place_of_the_oldest_silent_socket(daemon: Daemon) -> None:
    with contextlib.ExitStack() as opened:
        silent = [opened.enter_context(socket_to(daemon.grpc)) for _ in range(8)]
        began = time.monotonic()
        with daemon.client() as client:
            client.call("GetQuote", QUOTE, PATIENCE_S)
        assert time.monotonic() - began < HANDSHAKE_TIMEOUT_S, "it waited until their time was over"
        assert has_ended(silent[0], PATIENCE_S)
        assert not has_ended(silent[-1], 0.01)


def test_a_handshake_byte_by_byte_is_not_waited_for(daemon: Daemon) -> None:
    before = cut(daemon.metrics, "handshake")
    to_server = ssl.MemoryBIO()
    tls = client_context(daemon.place.pki).wrap_bio(
        ssl.MemoryBIO(), to_server, server_hostname="localhost"
    )
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = to_server.read()
    began = time.monotonic()
    with socket_to(daemon.grpc) as plain:
        for byte in hello:
            with contextlib.suppress(OSError):
                plain.send(bytes([byte]))
            if has_ended(plain, 0.02):
                break
        else:
            raise AssertionError("it was never cut")
    assert HANDSHAKE_TIMEOUT_S - 0.1 < time.monotonic() - began < PATIENCE_S
    assert cut(daemon.metrics, "handshake") >= before + 1


def has_ended(plain: socket.socket, patience_s: float) -> bool:
    """Whether the other side has closed it."""
    plain.settimeout(patience_s)
    try:
        return plain.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_a_browser_that_was_sent_here_is_cut(daemon: Daemon) -> None:
    with intruder(daemon.grpc, daemon.place.pki, alpn="http/1.1") as browser:
        browser.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        browser.wait_cut(PATIENCE_S)


# -- nobody is in another's way ----------------------------------------------------------------------


def test_calls_that_do_not_go_on_leave_room_for_those_that_do(daemon: Daemon) -> None:
    """A hundred calls wait for their messages, on each of ten connections."""
    with contextlib.ExitStack() as opened:
        for _ in range(10):
            hostile = opened.enter_context(intruder(daemon.grpc, daemon.place.pki))
            hostile.send(PREFACE + frame(4, 0, 0))
            hostile.send(b"".join(hostile.head(2 * number + 1) for number in range(100)))
        with daemon.client("client-b") as other:
            other.call("GetQuote", QUOTE, PATIENCE_S)


def test_a_client_that_is_full_shuts_no_other_out(place: Place) -> None:
    few = {"PAYD_GRPC_MAX_CONNECTIONS_PER_CLIENT": "2"}
    with running_daemon(place, **few) as daemon, contextlib.ExitStack() as opened:
        for _ in range(2):
            opened.enter_context(intruder(daemon.grpc, place.pki)).begin()
        errors: list[grpc.RpcError] = []

        def press() -> None:
            for _ in range(20):
                with daemon.client() as one_more:
                    try:
                        one_more.call("GetQuote", QUOTE, 0.2)
                    except grpc.RpcError as error:
                        errors.append(error)

        pressing = threading.Thread(target=press)
        pressing.start()
        with daemon.client("client-b") as other:
            for _ in range(50):
                other.call("GetQuote", QUOTE, PATIENCE_S)
        pressing.join()
        assert len(errors) == 20
        # On a busy machine a caller may give up before its connection was accepted and cut.
        assert cut(daemon.metrics, "client_full") > 0
