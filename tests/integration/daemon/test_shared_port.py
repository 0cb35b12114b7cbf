"""Two daemons on one gRPC port and one HTTP port: both serve, and one may stop at any time."""

import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from payd_client.proto import payment_pb2 as pb
from support import plain_http
from support.daemon import SERVICE, Daemon, Place, a_request, running_daemon
from support.openbao import running_openbao
from support.relay import relayed
from support.waiting import wait_until

#: Each has a connection of its own, and the kernel chooses a daemon for each connection: so many
#: that one daemon gets none once in ten million runs.
CHANNELS = 24
#: What a gRPC client repeats by itself when it is configured to.
RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


@pytest.fixture
def two(place: Place, free_port: Callable[[], int]) -> Iterator[tuple[Daemon, Daemon]]:
    shared = {
        "PAYD_SHARE_PORTS": "true",
        "GRPC_PORT": str(free_port()),
        "HTTP_PORT": str(free_port()),
    }
    with running_daemon(place, **shared) as one, running_daemon(place, **shared) as other:
        yield one, other


@contextlib.contextmanager
def connected(daemon: Daemon) -> Iterator[list[Any]]:
    """InitiatePayment on several connections to the daemon's port."""
    pki = daemon.place.pki
    credentials = grpc.ssl_channel_credentials(
        *((pki / name).read_bytes() for name in ("ca.crt", "client.key", "client.crt"))
    )
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.service_config", json.dumps(RETRIES)),
    ]
    with contextlib.ExitStack() as stack:
        channels = [
            stack.enter_context(grpc.secure_channel(daemon.grpc, credentials, options))
            for _ in range(CHANNELS)
        ]
        yield [
            channel.unary_unary(
                SERVICE + "InitiatePayment",
                request_serializer=pb.InitiatePaymentRequest.SerializeToString,
                response_deserializer=pb.InitiatePaymentResponse.FromString,
            )
            for channel in channels
        ]


def call_all(stubs: list[Any]) -> set[str]:
    """Start a payment on every connection at once; raises grpc.RpcError."""
    calls = [stub.future(a_request("pending"), timeout=20) for stub in stubs]
    return {call.result().payment.id for call in calls}


def served(daemon: Daemon) -> int:
    return sum(line.get("event") == "rpc_finished" for line in daemon.lines)


def test_both_serve_and_one_stops_without_a_failed_call(two: tuple[Daemon, Daemon]) -> None:
    one, other = two
    with connected(one) as stubs:
        assert len(call_all(stubs)) == CHANNELS
        wait_until(
            lambda: served(one) + served(other) >= CHANNELS,
            lambda: f"{served(one)} and {served(other)} calls were logged",
        )
        assert served(one) > 0
        assert served(other) > 0

        one.process.send_signal(signal.SIGTERM)
        while one.process.poll() is None:
            assert len(call_all(stubs)) == CHANNELS
        before = served(other)
        assert one.wait_ended() == 0
        assert len(call_all(stubs)) == CHANNELS
        wait_until(
            lambda: served(other) >= before + CHANNELS,
            lambda: f"{served(other) - before} calls were logged",
        )


def test_webhooks_reach_the_daemon_that_is_left(two: tuple[Daemon, Daemon]) -> None:
    one, other = two
    assert one.stop() == 0
    for _ in range(CHANNELS):
        # A client of its own each: every request is a new connection.
        assert plain_http.get(f"http://{other.http}/healthz").status_code == 200


def test_without_the_setting_the_second_daemon_does_not_start(
    place: Place, free_port: Callable[[], int]
) -> None:
    port = str(free_port())
    with running_daemon(place, GRPC_PORT=port):
        second = Daemon(place, GRPC_PORT=port)
        assert second.wait_ended() != 0
        assert any("address already in use" in str(line) for line in second.lines)


def test_one_that_waits_for_its_secrets_leaves_the_port_to_the_one_that_serves(
    place: Place, free_port: Callable[[], int], tmp_path: Path
) -> None:
    with running_openbao(tmp_path) as bao, relayed(bao.addr) as vault:
        bao.write(db_password=httpx.URL(place.database).password)
        shared = {
            **bao.environment(),
            "VAULT_ADDR": f"http://127.0.0.1:{vault.port}",
            "DB_PASSWORD": "",
            "PAYD_SHARE_PORTS": "true",
            "GRPC_PORT": str(free_port()),
            "HTTP_PORT": str(free_port()),
        }
        with running_daemon(place, **shared) as one:
            vault.cut()
            other = Daemon(place, **shared)
            try:
                other.wait_for_line("vault_unavailable")
                for _ in range(CHANNELS):
                    assert plain_http.get(f"http://{one.http}/readyz").status_code == 200
                vault.restore()
                other.wait_started()
            finally:
                other.process.kill()
                other.wait_ended()
