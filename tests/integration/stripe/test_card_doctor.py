"""`payd doctor` and a start with a key that does not fit: told before the first customer comes."""

import json

import grpc
import pytest
from support import plain_http
from support.cards import SECRET_KEY, StandIn, pay_by_card, running_with_cards
from support.daemon import Daemon, Place, running_daemon
from support.forks import run_payd
from support.waiting import wait_until


def test_doctor_asks_stripe_for_its_health(place: Place, stripe: StandIn) -> None:
    assert _doctor(place, stripe) == (True, "version 0.1.0, methods card")


def test_doctor_reports_a_key_that_stripe_refuses(place: Place, stripe: StandIn) -> None:
    ok, detail = _doctor(place, stripe, STRIPE_SECRET_KEY="sk_test_revoked")
    assert not ok
    assert "Stripe refuses stripe_secret_key (401)" in detail
    assert "revoked" not in detail


def test_doctor_reports_a_live_key_outside_production(place: Place, stripe: StandIn) -> None:
    ok, detail = _doctor(place, stripe, STRIPE_SECRET_KEY="sk_live_something")
    assert not ok
    assert "stripe_secret_key: test needs a test key" in detail
    assert "something" not in detail


def test_the_daemon_does_not_start_with_a_live_key_outside_production(
    place: Place, stripe: StandIn
) -> None:
    settings = {**stripe.environment, "STRIPE_SECRET_KEY": "sk_live_something"}
    daemon = Daemon(place, PAYD_PROVIDERS_FAILURE_MODE="strict", **settings)

    assert daemon.wait_ended() == 78
    assert any("test needs a test key" in str(line) for line in daemon.lines)
    assert not any("something" in str(line) for line in daemon.lines)


def test_a_key_that_stripe_refuses_makes_the_daemon_unready(place: Place, stripe: StandIn) -> None:
    refused = {**stripe.environment, "STRIPE_SECRET_KEY": SECRET_KEY + "_revoked"}
    with running_daemon(place, **refused) as daemon:
        answer = plain_http.get(f"http://{daemon.http}/readyz")

        assert answer.status_code == 503
        assert "misconfigured" in answer.json()["checks"]["provider:stripe"]["detail"]
        assert not any("_revoked" in str(line) for line in daemon.lines)


def test_a_stripe_that_refuses_every_payment_is_reported_though_its_health_is_good(
    place: Place, stripe: StandIn
) -> None:
    with running_with_cards(place, stripe) as (daemon, client):
        stripe.fault("unknown_parameter", times=3)
        for _ in range(3):
            with pytest.raises(grpc.RpcError, match="unknown parameter: submit_type"):
                pay_by_card(client)

        ready = plain_http.get(f"http://{daemon.http}/readyz")
        # The daemon serves other methods.
        assert ready.status_code == 200
        check = ready.json()["checks"]["provider:stripe"]
        assert check["ok"] is False
        assert "the last 3 payments were refused" in check["detail"]
        assert "unknown parameter: submit_type" in check["detail"]
        wait_until(lambda: _refused(daemon) == 3, "the metric says it")

        pay_by_card(client)
        assert plain_http.get(f"http://{daemon.http}/readyz").json()["checks"]["provider:stripe"][
            "ok"
        ]
        wait_until(lambda: _refused(daemon) == 0, "the metric says that it is over")


def _refused(daemon: Daemon) -> float | None:
    """The metric; None before it was first set."""
    text = plain_http.get(f"http://{daemon.metrics}/metrics").text
    series = 'payd_provider_creates_refused{provider="stripe"} '
    found = [line for line in text.splitlines() if line.startswith(series)]
    return float(found[0].removeprefix(series)) if found else None


def _doctor(place: Place, stripe: StandIn, **settings: str) -> tuple[bool, str]:
    """What it says of the provider."""
    environment = place.environment(**(stripe.environment | settings))
    done = run_payd("doctor", "--json", env=environment)
    [finding] = [f for f in json.loads(done.stdout) if f["what"] == "provider stripe"]
    return finding["ok"], finding["detail"]
