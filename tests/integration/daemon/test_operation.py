"""What an operator does: reload, health, readiness, refusals at the start."""

import json
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.message import Message
from payd_client.proto import payment_pb2 as pb
from support.daemon import Place, a_request, reason_of, rows, running_daemon
from support.forks import run_payd

from payd.domain.actors import is_reserved

PRICES = """
currency: USD
prices:
  ethereum-mainnet:
    full:
      30d: {price}
"""


def a_quote() -> Message:
    item = pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")
    return pb.GetQuoteRequest(items=[item], method="mock")


def test_sighup_changes_prices_as_a_whole_or_not_at_all(place: Place, tmp_path: Path) -> None:
    prices = tmp_path / "pricing.yaml"
    prices.write_text(PRICES.format(price=100))
    with (
        running_daemon(place, PRICING_FILE=str(prices)) as daemon,
        daemon.client() as client,
    ):
        before = client.call("GetQuote", a_quote()).quote
        assert before.total.minor_units == 100
        prices.write_text(PRICES.format(price=250))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_line("configuration_reloaded")
        after = client.call("GetQuote", a_quote()).quote
        assert after.total.minor_units == 250
        assert after.pricing_version != before.pricing_version
        started = client.initiate()
        assert started.pricing_version == after.pricing_version
        prices.write_text(PRICES.format(price="2.50"))
        daemon.process.send_signal(signal.SIGHUP)
        refused = daemon.wait_for_line("reload_refused")
        assert "30d" in str(refused["error"])
        assert client.call("GetQuote", a_quote()).quote.total.minor_units == 250


def test_readiness_names_each_dependency(place: Place) -> None:
    with running_daemon(place) as daemon:
        with urllib.request.urlopen(f"http://{daemon.http}/readyz") as answer:
            ready = json.load(answer)
        assert ready["status"] == "ready"
        assert {"database", "nats", "provider:mock"} <= ready["checks"].keys()
        rows(place, "UPDATE schema_migrations SET sha256 = 'changed'")
    with running_daemon(place) as daemon:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{daemon.http}/readyz")
        assert refused.value.code == 503
        document = json.load(refused.value)
        assert not document["checks"]["database"]["ok"]
        assert "changed after it was applied" in document["checks"]["database"]["detail"]
        refused.value.close()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ENVIRONMENT": "production"}, "MOCK_ENABLED"),
        ({"ENVIRONMENT": "production", "PAYD_CRASH_AT": "settle.before_commit"}, "PAYD_CRASH_AT"),
        ({"ENVIRONMENT": "production", "DB_HOST": "db.internal"}, "database.ssl_mode"),
        (
            {"ENVIRONMENT": "production", "NATS_URL": "nats://nats.internal:4222"},
            "PAYD_TRUSTED_NETWORK=true",
        ),
        ({"PAYD_CRASH_AT": "nowhere"}, "nowhere"),
        ({"GRPC_PORT": "many"}, "GRPC_PORT"),
        ({"GRPC_TLS_KEY_FILE": "/nowhere"}, "nowhere"),
        ({"MOCK_FAILURE_RATE": "2", "PAYD_PROVIDERS_FAILURE_MODE": "strict"}, "failure_rate"),
    ],
)
def test_a_wrong_configuration_is_refused_by_its_name(
    place: Place, environment: dict[str, str], said: str
) -> None:
    refused = run_payd("serve", env=place.environment(**environment))
    assert refused.returncode == 78, refused.stderr
    assert said.lower() in refused.stderr.lower()


def test_a_provider_that_cannot_start_leaves_its_methods_out(place: Place) -> None:
    with (
        running_daemon(place, MOCK_FAILURE_RATE="2") as daemon,
        daemon.client() as client,
        pytest.raises(grpc.RpcError) as refused,
    ):
        client.initiate()
    assert reason_of(refused.value) == "UNKNOWN_METHOD"


def test_secrets_reach_no_log_line(place: Place) -> None:
    with running_daemon(place, LOG_LEVEL="debug") as daemon, daemon.client() as client:
        client.wait_for(client.initiate().id, "COMPLETED")
        daemon.stop()
        password = daemon.place.environment()["DB_PASSWORD"]
        assert daemon.lines
        assert not [line for line in daemon.lines if password in json.dumps(line)]


def test_every_line_of_a_call_names_its_request_and_its_payment(place: Place) -> None:
    with running_daemon(place) as daemon, daemon.client() as client:
        payment = client.call(
            "InitiatePayment",
            pb.InitiatePaymentRequest(
                idempotency_key="k",
                customer=pb.Customer(id="u"),
                items=[
                    pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")
                ],
                method="mock",
            ),
            x_request_id="req-1",
            x_actor="checkout",
            x_forwarded_for="203.0.113.7",
        ).payment
        line = daemon.wait_for_line("rpc_finished")
        assert (line["request_id"], line["payment_id"]) == ("req-1", payment.id)
        [row] = rows(place, "SELECT * FROM payment_events WHERE version = 1")
        assert (row["actor"], row["request_id"], row["ip"]) == ("checkout", "req-1", "203.0.113.7")
        assert (row["certificate"], row["peer"]) == ("main-app", "127.0.0.1")


def test_the_audit_trail_distinguishes_two_certificates_that_claim_one_actor(place: Place) -> None:
    claims: dict[str, Any] = {"x_actor": "user:42", "x_forwarded_for": "203.0.113.7"}
    with running_daemon(place) as daemon:
        with daemon.client("client") as app, daemon.client("client-b") as other:
            payment = app.call("InitiatePayment", a_request("pending"), **claims).payment
            other.call("CancelPayment", pb.CancelPaymentRequest(payment_id=payment.id), **claims)
        trail = rows(
            place,
            "SELECT * FROM payment_events WHERE payment_id = $1 AND actor = 'user:42' "
            "AND event_type IN ('payment_creating', 'payment_canceling') ORDER BY version",
            UUID(payment.id),
        )
    assert [row["certificate"] for row in trail] == ["main-app", "main-app-b"]
    assert {(row["ip"], row["peer"]) for row in trail} == {("203.0.113.7", "127.0.0.1")}


def test_what_payd_does_by_itself_has_no_certificate(place: Place) -> None:
    with running_daemon(place) as daemon, daemon.client() as client:
        payment = client.wait_for(client.initiate().id, "COMPLETED")
        trail = rows(place, "SELECT * FROM payment_events WHERE payment_id = $1", UUID(payment.id))
    own = [row for row in trail if is_reserved(row["actor"])]
    assert {row["actor"] for row in own} == {"provider:mock"}
    assert {(row["certificate"], row["peer"]) for row in own} == {("", "")}


@pytest.mark.parametrize("claimed", ["recovery", "Provider:mock", " operator:ada "])
def test_grpcio_cannot_claim_a_name_of_payds_own(place: Place, claimed: str) -> None:
    with running_daemon(place) as daemon, daemon.client() as client:
        with pytest.raises(grpc.RpcError) as refused:
            client.call("InitiatePayment", a_request(), x_actor=claimed)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason_of(refused.value) == "INVALID_FIELD"
        assert "x-actor" in str(refused.value.details())
    assert rows(place, "SELECT 1 FROM payments") == []
