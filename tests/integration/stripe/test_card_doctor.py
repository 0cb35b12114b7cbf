"""`payd doctor` and a start with a key that does not fit: told before the first customer comes."""

import json
import subprocess
import sys

import httpx
from cards import SECRET_KEY, StandIn
from daemon import PATIENCE_S, Daemon, Place, running_daemon


def test_doctor_asks_stripe_for_its_health(place: Place, stripe: StandIn) -> None:
    assert _doctor(place, stripe) == (True, "version 0.1.0, takes card")


def test_doctor_tells_a_key_that_stripe_refuses(place: Place, stripe: StandIn) -> None:
    ok, detail = _doctor(place, stripe, STRIPE_SECRET_KEY="sk_test_revoked")
    assert not ok
    assert "misconfigured" in detail
    assert "revoked" not in detail


def test_doctor_tells_a_live_key_outside_production(place: Place, stripe: StandIn) -> None:
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
        answer = httpx.get(f"http://{daemon.http}/readyz")

        assert answer.status_code == 503
        assert "misconfigured" in answer.json()["checks"]["provider:stripe"]["detail"]
        assert not any("_revoked" in str(line) for line in daemon.lines)


def _doctor(place: Place, stripe: StandIn, **settings: str) -> tuple[bool, str]:
    """What it says of the provider."""
    environment = place.environment(**(stripe.environment | settings))
    done = subprocess.run(
        [sys.executable, "-m", "payd", "doctor", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    [finding] = [f for f in json.loads(done.stdout) if f["what"] == "provider stripe"]
    return finding["ok"], finding["detail"]
