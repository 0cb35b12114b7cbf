"""Certificates change while clients come and go: no handshake fails, and no bad pair is taken."""

import contextlib
import datetime as dt
import random
import signal
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import grpc
import pytest
from cryptography import x509
from payd_client.proto import payment_pb2 as pb
from support import plain_http
from support.authority import Authority, copy_of, replace
from support.daemon import Client, Daemon, Place, a_request, reason_of, rows, running_daemon
from support.waiting import wait_until

QUICK = {"PAYD_GRPC_TLS_CHECK_INTERVAL_S": "0.02", "PAYD_GRPC_MAX_CONNECTIONS_PER_CLIENT": "1000"}


@pytest.fixture
def own(place: Place, tmp_path: Path) -> Place:
    """A place with certificates of its own."""
    return attrs.evolve(place, pki=copy_of(place.pki, tmp_path / "pki"))


def serial_at(daemon: Daemon, trust: bytes, pki: Path, name: str = "client") -> int:
    """The serial number of the certificate that a new connection meets; raises ssl.SSLError."""
    context = ssl.create_default_context(cadata=trust.decode())
    context.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")
    context.set_alpn_protocols(["h2"])
    host, _, port = daemon.grpc.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        # In TLS 1.3 a refused client hears of it with the first bytes.
        if not stream.recv(1):
            raise ssl.SSLError("refused")
        found = stream.getpeercert(binary_form=True)
    assert found
    return x509.load_der_x509_certificate(found).serial_number


def serial_of(pem: bytes) -> int:
    return x509.load_pem_x509_certificate(pem).serial_number


@contextlib.contextmanager
def steady_handshakes(daemon: Daemon, trust: bytes, pki: Path, at_once: int = 2) -> Iterator[Any]:
    """New connections without pause; what failed."""
    failed: list[str] = []
    counted = [0]
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            try:
                serial_at(daemon, trust, pki)
                counted[0] += 1
            except OSError as error:
                failed.append(repr(error))

    threads = [threading.Thread(target=come_and_go) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    try:
        yield failed, counted
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def steady_calls(client: Client) -> Iterator[list[str]]:
    """One connection that stays; what failed on it."""
    failed: list[str] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            try:
                client.call("InitiatePayment", a_request())
            except grpc.RpcError as error:
                failed.append(repr(error))

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield failed
    finally:
        stop.set()
        thread.join()


def metric(daemon: Daemon, name: str) -> float:
    text = plain_http.get(f"http://{daemon.metrics}/metrics").text
    return next((float(li.split()[-1]) for li in text.splitlines() if li.startswith(name)), 0.0)


def rotate(own: Place, times: int) -> None:
    authority = Authority.of(own.pki)
    with running_daemon(own, **QUICK) as daemon, daemon.client() as client:
        with (
            steady_handshakes(daemon, authority.pem(), own.pki) as (failed, counted),
            steady_calls(client) as failed_calls,
        ):
            for _ in range(times):
                certificate, key = authority.server()
                # Between the two the pair does not fit; in either order.
                replace(own.pki / "server.key", key)
                replace(own.pki / "server.crt", certificate)
                wanted = serial_of(certificate)
                ca = authority.pem()
                wait_until(lambda: serial_at(daemon, ca, own.pki) == wanted)  # noqa: B023
        assert failed == []
        assert failed_calls == []
        assert counted[0] > times / 2
        assert metric(daemon, 'payd_tls_reloads_total{outcome="ok"}') >= times
        assert not [line for line in daemon.lines if line.get("level") == "critical"]


def test_certificates_rotate_under_load_and_no_handshake_fails(own: Place) -> None:
    rotate(own, 20)


@pytest.mark.campaign
def test_a_thousand_certificates_rotate_under_load_and_no_handshake_fails(own: Place) -> None:
    rotate(own, 1000)


def bad_pairs(authority: Authority, seed: int) -> Iterator[dict[str, bytes]]:
    """Files that cannot be used together; each a different mistake, over and over."""
    seeded = random.Random(seed)
    day = dt.timedelta(days=1)
    while True:
        certificate, key = authority.server()
        other, other_key = authority.server()
        cut = seeded.randrange(1, len(certificate) - 30)
        yield {"server.crt": certificate, "server.key": other_key}
        yield {"server.crt": certificate[:cut], "server.key": key}
        yield {"server.crt": certificate, "server.key": key[: seeded.randrange(1, len(key) - 40)]}
        yield {"server.crt": b"", "server.key": b""}
        yield {"server.crt": key, "server.key": certificate}
        yield {"server.crt": seeded.randbytes(500), "server.key": seeded.randbytes(200)}
        ended, ended_key = authority.server(age=400 * day)
        yield {"server.crt": ended, "server.key": ended_key}
        unborn, unborn_key = authority.server(age=-2 * day)
        yield {"server.crt": unborn, "server.key": unborn_key}
        yield {"server.crt": certificate, "server.key": key, "ca.crt": b"no certificate"}
        yield {"server.crt": certificate, "server.key": key, "ca.crt": other}


def put(own: Place, files: Mapping[str, bytes]) -> None:
    """Replace the files, of which no two fit together until the last one is there."""
    replace(own.pki / "server.key", b"")
    for name in ("ca.crt", "server.crt", "server.key"):
        replace(own.pki / name, files[name])


def refuse(own: Place, times: int) -> None:
    authority = Authority.of(own.pki)
    good = {name: (own.pki / name).read_bytes() for name in ("server.crt", "server.key", "ca.crt")}
    wanted = serial_of(good["server.crt"])
    with running_daemon(own, **QUICK) as daemon:
        pairs = bad_pairs(authority, seed=1)
        for turn in range(times):
            put(own, good | next(pairs))
            wait_until(lambda: metric(daemon, REFUSED) > turn)  # noqa: B023 - asked at once
            assert serial_at(daemon, authority.pem(), own.pki) == wanted
        put(own, good)
        with daemon.client() as client:
            assert client.initiate().id
        refused = [line for line in daemon.lines if line.get("event") == "certificates_refused"]
        assert len(refused) >= times
        assert all("PRIVATE" not in str(line) for line in daemon.lines)


REFUSED = 'payd_tls_reloads_total{outcome="refused"}'


def test_bad_pairs_change_nothing_and_each_is_logged(own: Place) -> None:
    refuse(own, 10)


@pytest.mark.campaign
def test_a_hundred_bad_pairs_change_nothing_and_each_is_logged(own: Place) -> None:
    refuse(own, 100)


def test_another_ca_lets_its_clients_in_and_the_old_ones_out(own: Place) -> None:
    old, new = Authority.of(own.pki), Authority.new()
    certificate, key = new.client("main-app")
    (own.pki / "new.crt").write_bytes(certificate)
    (own.pki / "new.key").write_bytes(key)
    trust = old.pem()
    with running_daemon(own, **QUICK) as daemon, daemon.client() as staying:
        assert staying.initiate().id
        assert not is_let_in(daemon, trust, own.pki, "new")

        replace(own.pki / "ca.crt", old.pem() + new.pem())
        wait_until(lambda: is_let_in(daemon, trust, own.pki, "new"))
        assert is_let_in(daemon, trust, own.pki, "client")

        replace(own.pki / "ca.crt", new.pem())
        wait_until(lambda: not is_let_in(daemon, trust, own.pki, "client"))
        assert is_let_in(daemon, trust, own.pki, "new")
        # Who is in stays until its connection is old.
        assert staying.initiate().id


def is_let_in(daemon: Daemon, trust: bytes, pki: Path, name: str) -> bool:
    try:
        serial_at(daemon, trust, pki, name)
    except ssl.SSLError:
        return False
    return True


def test_when_a_certificate_ends_is_a_metric(own: Place) -> None:
    with running_daemon(own, **QUICK) as daemon:
        ends = 'payd_tls_expiry_time_seconds{certificate="server"}'
        loaded = x509.load_pem_x509_certificate((own.pki / "server.crt").read_bytes())
        wait_until(lambda: metric(daemon, ends) == loaded.not_valid_after_utc.timestamp())
        assert metric(daemon, 'payd_tls_expiry_time_seconds{certificate="client_ca"}') > 0


def test_the_allow_list_is_read_anew_on_sighup(own: Place, tmp_path: Path) -> None:
    file = tmp_path / "payd.yaml"
    file.write_text("grpc: {allowed_cns: [main-app]}\n")
    environment = {"PAYD_CONFIG": str(file), "GRPC_ALLOWED_CNS": "", "PRICING_FILE": str(PRICES)}
    with (
        running_daemon(own, **environment) as daemon,
        daemon.client("stranger") as stranger,
        daemon.client() as client,
    ):
        with pytest.raises(grpc.RpcError) as refused:
            stranger.initiate()
        assert reason_of(refused.value) == "CLIENT_NOT_ALLOWED"

        file.write_text("grpc: {allowed_cns: [stranger]}\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: any(li.get("event") == "configuration_reloaded" for li in daemon.lines))

        assert stranger.initiate().id
        with pytest.raises(grpc.RpcError) as refused:
            client.initiate()
        assert reason_of(refused.value) == "CLIENT_NOT_ALLOWED"


def test_operators_are_read_anew_on_sighup(own: Place, tmp_path: Path) -> None:
    file = tmp_path / "payd.yaml"
    file.write_text("grpc: {operator_cns: [operator]}\n")
    environment = {"PAYD_CONFIG": str(file), "GRPC_OPERATOR_CNS": "", "PRICING_FILE": str(PRICES)}
    with (
        running_daemon(own, **environment) as daemon,
        daemon.client("operator") as operator,
        daemon.client("stranger") as stranger,
    ):
        first = operator.call("InitiatePayment", a_request("pending"), x_actor="ada").payment
        file.write_text("grpc: {operator_cns: [stranger]}\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_line("configuration_reloaded")
        second = stranger.call("InitiatePayment", a_request("pending"), x_actor="ada").payment
        with pytest.raises(grpc.RpcError) as refused:
            operator.initiate()
        assert reason_of(refused.value) == "CLIENT_NOT_ALLOWED"
        for_operators = "GetConfiguration", pb.GetConfigurationRequest()
        assert stranger.call(*for_operators).configuration.environment == "test"
        with pytest.raises(grpc.RpcError) as refused:
            operator.call(*for_operators)
        assert reason_of(refused.value) == "CLIENT_NOT_ALLOWED"
    trail = "SELECT actor, certificate FROM payment_events WHERE payment_id = $1 AND version = 1"
    recorded = [tuple(rows(own, trail, UUID(one.id))[0].values()) for one in (first, second)]
    assert recorded == [
        ("operator:operator/ada", "operator"),
        ("operator:stranger/ada", "stranger"),
    ]


PRICES = Path(__file__).parents[3] / "config" / "pricing.yaml"


def test_an_old_or_idle_connection_is_asked_to_come_again_and_no_call_fails(own: Place) -> None:
    with (
        running_daemon(own, PAYD_GRPC_MAX_CONNECTION_AGE_S="0.5") as daemon,
        daemon.client() as client,
    ):
        with steady_calls(client) as failed:
            wait_until(lambda: metric(daemon, 'payd_grpc_cut_total{reason="age"}') >= 4)
        assert failed == []
        assert client.initiate().id
    with running_daemon(own, PAYD_GRPC_IDLE_TIMEOUT_S="0.3") as daemon, daemon.client() as client:
        assert client.initiate().id
        wait_until(lambda: metric(daemon, 'payd_grpc_cut_total{reason="idle"}') >= 1)
        assert client.initiate().id
