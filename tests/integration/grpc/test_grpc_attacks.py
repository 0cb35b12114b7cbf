"""Attacks on the gRPC port of a real daemon: the attacker is disconnected, others are served."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import grpc
import psutil
import pytest
from payd_client.proto import payment_pb2 as pb
from support.daemon import Daemon, Place, reason_of, running_daemon
from support.hostile_client import (
    FLOODS,
    Hostile,
    cut,
    garbage,
    intruder,
    made_you_reset,
    open_call,
    rapid_reset,
    socket_to,
    status_of,
)

#: What the issue promises, and what a busy machine is allowed.
CUT_S, PATIENT_CUT_S = 1.0, 10.0
P99_S, PATIENT_P99_S = 0.1, 1.0
MEMORY_BYTES = 100 * 1024 * 1024

QUOTE = pb.GetQuoteRequest(
    method="mock",
    items=[pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")],
)
LIMITS = {"PAYD_GRPC_HANDSHAKE_TIMEOUT_S": "1", "PAYD_GRPC_PREFACE_TIMEOUT_S": "1"}
LIMITS |= {"PAYD_GRPC_MESSAGE_TIMEOUT_S": "1", "PAYD_GRPC_RATE_PER_CLIENT": "0"}


@pytest.fixture(scope="module")
def daemon(module_place: Place) -> Iterator[Daemon]:
    with running_daemon(module_place.without_forks(), **LIMITS) as daemon:
        yield daemon
        assert not [li for li in daemon.lines if li.get("level") in ("error", "critical")]
        assert daemon.process.poll() is None


@attrs.define
class Bystander:
    """Another client, and how it fares."""

    seconds: list[float] = attrs.field(factory=list)
    errors: list[str] = attrs.field(factory=list)
    grown_bytes: int = 0

    @property
    def p99_s(self) -> float:
        ordered = sorted(self.seconds)
        return ordered[max(0, int(len(ordered) * 0.99) - 1)]

    def assert_unharmed(self, p99_s: float = PATIENT_P99_S) -> None:
        """It never failed, hardly waited, and the daemon has not swollen."""
        assert self.errors == []
        assert self.p99_s < p99_s
        assert self.grown_bytes < MEMORY_BYTES


@contextlib.contextmanager
def bystander(daemon: Daemon) -> Iterator[Bystander]:
    """Calls every 5 ms from another certificate, as long as the block lasts."""
    seen = Bystander()
    called, stop = threading.Event(), threading.Event()
    process = psutil.Process(daemon.process.pid)
    before = process.memory_info().rss

    def call() -> None:
        with daemon.client("client-b") as client:
            client.call("GetQuote", QUOTE, PATIENT_CUT_S)
            called.set()
            while not stop.is_set():
                began = time.monotonic()
                try:
                    client.call("GetQuote", QUOTE, 5)
                except grpc.RpcError as error:
                    seen.errors.append(repr(error))
                seen.seconds.append(time.monotonic() - began)
                time.sleep(0.005)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        assert called.wait(PATIENT_CUT_S), "it could not call before anything happened"
        yield seen
        # A short attack may be over before it has called at all.
        time.sleep(0.05)
        seen.grown_bytes = process.memory_info().rss - before
    finally:
        stop.set()
        thread.join()


def flood(daemon: Daemon, chunks: Callable[[Hostile], Iterator[bytes]]) -> float:
    """Until we are cut: the seconds from the first byte."""
    with intruder(daemon.grpc, daemon.place.pki) as hostile:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            hostile.begin()
            hostile.flood(chunks(hostile))
            hostile.wait_cut(PATIENT_CUT_S)
        return time.monotonic() - began


@pytest.mark.parametrize("attack", FLOODS)
def test_a_flood_is_cut_and_nobody_else_notices(daemon: Daemon, attack: str) -> None:
    with bystander(daemon) as seen:
        assert flood(daemon, FLOODS[attack]) < PATIENT_CUT_S
    seen.assert_unharmed()


@pytest.mark.parametrize("attack", [rapid_reset, made_you_reset])
def test_streams_that_are_reset_without_end_cut_the_connection(
    daemon: Daemon, attack: Callable[[Hostile, int], Iterator[bytes]]
) -> None:
    before = (
        cut(daemon.metrics, "resets")
        + cut(daemon.metrics, "protocol")
        + cut(daemon.metrics, "noise")
    )
    with bystander(daemon) as seen:
        assert flood(daemon, lambda hostile: attack(hostile, 5_000)) < PATIENT_CUT_S
    seen.assert_unharmed()
    assert (
        cut(daemon.metrics, "resets")
        + cut(daemon.metrics, "protocol")
        + cut(daemon.metrics, "noise")
        > before
    )


def test_garbage_is_cut(daemon: Daemon) -> None:
    with bystander(daemon) as seen:
        for seed in range(60):
            with intruder(daemon.grpc, daemon.place.pki) as hostile:
                if seed % 4:
                    hostile.begin()
                with contextlib.suppress(OSError):
                    hostile.send(garbage(seed))
                    hostile.drain()
    seen.assert_unharmed()


def test_four_gigabytes_announced_are_refused_at_once(daemon: Daemon) -> None:
    with bystander(daemon) as seen, intruder(daemon.grpc, daemon.place.pki) as hostile:
        connection = open_call(hostile, b"\0\xff\xff\xff\xff" + b"x" * 1000)
        status, seconds = status_of(hostile, connection, PATIENT_CUT_S)
    assert status == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
    assert seconds < PATIENT_CUT_S
    seen.assert_unharmed()


@pytest.mark.parametrize("body", [b"", b"\0\0\0\x10\0", b"\0\0\0\x10\0" + b"x" * 100])
def test_a_message_that_does_not_come_is_not_waited_for(daemon: Daemon, body: bytes) -> None:
    with intruder(daemon.grpc, daemon.place.pki) as hostile:
        status, seconds = status_of(hostile, open_call(hostile, body), PATIENT_CUT_S)
    assert status == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
    assert 0.9 < seconds < PATIENT_CUT_S


def silent_sockets(daemon: Daemon, count: int) -> Bystander:
    """They connect and say nothing; a newcomer comes through all the same."""
    with contextlib.ExitStack() as opened, bystander(daemon) as seen:
        sockets = [opened.enter_context(socket_to(daemon.grpc)) for _ in range(count)]
        began = time.monotonic()
        with daemon.client() as newcomer:
            newcomer.call("GetQuote", QUOTE, PATIENT_CUT_S)
        came_s = time.monotonic() - began
        assert came_s < PATIENT_CUT_S
        for silent in sockets:
            silent.settimeout(PATIENT_CUT_S)
            with contextlib.suppress(ConnectionError):
                assert silent.recv(1) == b"", "cut at its deadline, if not for a newcomer"
    seen.seconds.append(came_s)
    return seen


def test_silent_sockets_shut_nobody_out(daemon: Daemon) -> None:
    before = cut(daemon.metrics, "handshake")
    silent_sockets(daemon, 300).assert_unharmed(PATIENT_CUT_S)
    assert cut(daemon.metrics, "handshake") >= before + 300


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"\0" * 4000])
def test_a_peer_that_does_not_speak_tls_is_cut(daemon: Daemon, first: bytes) -> None:
    with socket_to(daemon.grpc) as plain:
        plain.sendall(first)
        plain.settimeout(PATIENT_CUT_S)
        with contextlib.suppress(ConnectionError):
            while plain.recv(100):
                pass


@pytest.mark.parametrize("first", [b"", b"PRI * HTTP/2", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_peer_that_does_not_begin_http2_is_cut(daemon: Daemon, first: bytes) -> None:
    with intruder(daemon.grpc, daemon.place.pki) as hostile:
        hostile.send(first)
        assert hostile.wait_cut(PATIENT_CUT_S) < PATIENT_CUT_S


def test_a_peer_that_does_not_read_answers_is_cut(daemon: Daemon) -> None:
    """It opens no window, and reads nothing: its calls end, and then its connection."""
    with bystander(daemon) as seen, intruder(daemon.grpc, daemon.place.pki) as hostile:
        nothing = b"\0\x04\0\0\0\0"
        hostile.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\x06\x04\0\0\0\0\0" + nothing)
        body = QUOTE.SerializeToString()
        message = b"\0" + len(body).to_bytes(4, "big") + body
        with contextlib.suppress(OSError):
            for number in range(90):
                stream = 2 * number + 1
                head = hostile.head(stream)
                data = len(message).to_bytes(3, "big") + b"\0\x01" + stream.to_bytes(4, "big")
                hostile.send(head + data + message)
            time.sleep(1.5)
    seen.assert_unharmed()


def test_a_client_has_so_many_connections_and_no_more(place: Place) -> None:
    few = {"PAYD_GRPC_MAX_CONNECTIONS_PER_CLIENT": "3", "PAYD_GRPC_MAX_CONNECTIONS": "5"}
    with running_daemon(place, **few) as daemon, contextlib.ExitStack() as opened:
        held = [opened.enter_context(intruder(daemon.grpc, place.pki)) for _ in range(3)]
        for hostile in held:
            hostile.begin()
        with intruder(daemon.grpc, place.pki) as one_more:
            assert one_more.wait_cut(PATIENT_CUT_S) < PATIENT_CUT_S
        assert cut(daemon.metrics, "client_full") == 1

        with daemon.client("client-b") as other:
            other.call("GetQuote", QUOTE, 5)
            with intruder(daemon.grpc, place.pki, "stranger") as stranger:
                stranger.begin()
                with intruder(daemon.grpc, place.pki, "stranger") as one_more:
                    assert one_more.wait_cut(PATIENT_CUT_S) < PATIENT_CUT_S
            assert cut(daemon.metrics, "full") == 1


def test_a_client_that_calls_too_often_gets_a_retry_delay(place: Place) -> None:
    slow = {"PAYD_GRPC_RATE_PER_CLIENT": "1", "PAYD_GRPC_RATE_BURST": "10"}
    with (
        running_daemon(place, **slow) as daemon,
        running_daemon(place, **slow) as another,
        daemon.client() as client,
        another.client() as same,
        daemon.client("client-b") as other,
    ):
        refused: list[str] = []
        for _ in range(20):
            for one in (client, same):
                try:
                    one.call("GetQuote", QUOTE, 5)
                except grpc.RpcError as error:
                    refused.append(reason_of(error))
        assert set(refused) == {"RATE_LIMITED"}
        # Two budgets would let twenty of the forty through; ten seconds of one let through as many.
        assert len(refused) > 20, "two daemons share one budget"
        assert other.call("GetQuote", QUOTE, 5).quote.total.minor_units


@pytest.mark.parametrize("what", ["tls 1.2", "no certificate", "another ca"])
def test_a_peer_without_valid_tls_is_refused(daemon: Daemon, what: str, tmp_path: Path) -> None:
    from support.authority import Authority

    pki = daemon.place.pki
    context = ssl.create_default_context(cafile=pki / "ca.crt")
    context.set_alpn_protocols(["h2"])
    if what == "tls 1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(pki / "client.crt", pki / "client.key")
    if what == "another ca":
        certificate, key = Authority.new().client("main-app")
        (tmp_path / "x.crt").write_bytes(certificate)
        (tmp_path / "x.key").write_bytes(key)
        context.load_cert_chain(tmp_path / "x.crt", tmp_path / "x.key")
    with socket_to(daemon.grpc) as plain:
        stream = context.wrap_socket(
            plain, server_hostname="localhost", do_handshake_on_connect=False
        )
        with stream, pytest.raises((ssl.SSLError, ConnectionError)):
            connect_fully(stream)


def connect_fully(stream: ssl.SSLSocket) -> None:
    """Complete the handshake; in TLS 1.3 a refusal arrives only after it."""
    stream.do_handshake()
    if not stream.recv(1):
        raise ConnectionResetError


# -- the campaign: the sizes and seconds that are promised -----------------------------------------


@pytest.mark.campaign
def test_fifty_thousand_resets(daemon: Daemon) -> None:
    with bystander(daemon) as seen:
        assert flood(daemon, lambda hostile: rapid_reset(hostile, 50_000)) < CUT_S
    seen.assert_unharmed(P99_S)


@pytest.mark.campaign
def test_two_thousand_silent_sockets(daemon: Daemon) -> None:
    seen = silent_sockets(daemon, 2_000)
    seen.assert_unharmed(P99_S)


@pytest.mark.campaign
@pytest.mark.parametrize("attack", FLOODS)
def test_every_flood_is_cut_within_a_second(daemon: Daemon, attack: str) -> None:
    with bystander(daemon) as seen:
        assert flood(daemon, FLOODS[attack]) < CUT_S
    seen.assert_unharmed(P99_S)


@pytest.mark.campaign
def test_garbage_of_five_thousand_kinds(daemon: Daemon) -> None:
    with bystander(daemon) as seen:
        for seed in range(5_000):
            with intruder(daemon.grpc, daemon.place.pki) as hostile:
                if seed % 4:
                    hostile.begin()
                with contextlib.suppress(OSError):
                    hostile.send(garbage(seed))
                    hostile.drain()
    seen.assert_unharmed(P99_S)
