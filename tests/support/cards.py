"""Cards in the tests: a stand-in for Stripe as a separate process, and a daemon that uses it."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from support.daemon import Client, Daemon, Place, a_request
from support.forks import Fork
from support.plain_http import NO_TLS

SECRET_KEY = "sk_test_tests"
WEBHOOK_SECRET = "whsec_tests"
RETURN_URL = "https://shop.example/paid"


class StandIn:
    """The running stand-in, with its control API."""

    def __init__(self, folder: Path) -> None:
        command = ["-m", "stripe_provider.companion", "--secret-key", SECRET_KEY]
        command += ["--webhook-secret", WEBHOOK_SECRET, "--state", str(folder / "stripe.sqlite3")]
        self.process = Fork(command, env=os.environ)
        assert self.process.stdout
        self.url = str(json.loads(self.process.stdout.readline())["url"])
        self.http = httpx.Client(verify=NO_TLS, base_url=self.url, timeout=30)

    def close(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a daemon that uses this stand-in."""
        return {
            "MOCK_METHODS": "mock",
            "STRIPE_ENABLED": "true",
            "STRIPE_API_BASE": self.url,
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }

    def order(self, path: str, /, **body: Any) -> Any:
        """Send a request to the control API; return its response."""
        answer = self.http.post(f"/_control/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, path: str) -> Any:
        """Read from the control API."""
        return self.http.get(f"/_control/{path}").json()

    def webhooks(self, **changes: Any) -> None:
        """Set how webhooks are sent: mode deliver, hold or drop; duplicates; delay_s; url."""
        self.order("webhooks", **changes)

    def send_webhooks_to(self, daemon: Daemon) -> None:
        """Send webhooks to this daemon from now on."""
        self.webhooks(url=f"http://{daemon.http}/webhooks/stripe")

    def release(self, **how: Any) -> None:
        """Deliver the held webhooks: order=[ids], shuffle_seed=n, duplicates=n."""
        self.order("webhooks/release", **how)

    def held(self) -> list[dict[str, Any]]:
        """Return the held webhooks, oldest first."""
        held: list[dict[str, Any]] = self.ask("webhooks/held")["held"]
        return held

    def act(self, session_id: str, deed: str, **body: Any) -> Any:
        """Act on a session: pay, pay_async, async_succeed, refund, …"""
        return self.order(f"sessions/{session_id}/{deed}", **body)

    def fault(self, kind: str, path: str = "/v1/checkout/sessions", **more: Any) -> None:
        """Let the next matching request fail: 500_after, timeout_before, 429, reset, …"""
        self.order("faults", method=more.pop("method", "POST"), path=path, kind=kind, **more)

    def sessions(self, payment_id: str = "") -> list[dict[str, Any]]:
        """Return all sessions, or those of one payment."""
        every: list[dict[str, Any]] = self.ask("sessions")["sessions"]
        return [s for s in every if not payment_id or s["client_reference_id"] == payment_id]

    def payable(self, payment_id: str) -> list[dict[str, Any]]:
        """Return the sessions that a customer could still pay."""
        return [s for s in self.sessions(payment_id) if s["status"] == "open"]


@contextlib.contextmanager
def stand_in(folder: Path) -> Iterator[StandIn]:
    """Run the stand-in until the end of the block."""
    stripe = StandIn(folder)
    try:
        yield stripe
    finally:
        stripe.close()


@contextlib.contextmanager
def running_with_cards(
    place: Place, stripe: StandIn, **environment: str
) -> Iterator[tuple[Daemon, Client]]:
    """Run a daemon that takes cards, with a client; the stand-in sends it webhooks."""
    daemon = Daemon(place, **(stripe.environment | environment))
    try:
        daemon.wait_started()
        stripe.send_webhooks_to(daemon)
        with daemon.client() as client:
            yield daemon, client
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
        daemon.wait_ended()


def a_card_request(key: str = "", **fields: Any) -> Any:
    """Build an InitiatePayment request by card."""
    defaults = {
        "method": "card",
        "return_url": RETURN_URL,
        "cancel_url": "https://shop.example/back",
    }
    return a_request(key=key, **(defaults | fields))


def pay_by_card(client: Client, **fields: Any) -> Any:
    """Start a payment by card."""
    return client.call("InitiatePayment", a_card_request(**fields)).payment
