"""`payd doctor` says whether the console is on, where, and how many operators can log in."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from payd.cli.console_check import console_finding
from payd.config import Config
from payd.config.tree import Pricing
from payd.telemetry import Secret
from payd.transport.console.passwords import new_entry

ALICE, BOB = (Secret(new_entry(name, "correct horse battery")) for name in ("alice", "bob"))
PROXY = {"proxy_user_header": "X-Forwarded-User", "proxy_secret": Secret("p" * 40)}


def settings(**console: Any) -> Config:
    config = Config(pricing=Pricing(file=Path("pricing.yaml")))
    return config.model_copy(update={"console": config.console.model_copy(update=console)})


class _Login(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/login" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """A console, as far as the check asks it."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Login) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_console_that_is_off_is_no_failure() -> None:
    finding = console_finding(settings(enabled=False))
    assert (finding.ok, "PAYD_CONSOLE_ENABLED=true" in finding.detail) == (True, True)
    assert console_finding(settings(enabled=True, port=0)).ok


@pytest.mark.parametrize(
    ("logins", "said"),
    [
        ({"users": (ALICE,)}, "can log in: 1 operator by password"),
        ({"users": (Secret(f"{ALICE.reveal()}\n\n{BOB.reveal()}"),)}, "2 operators by password"),
        (PROXY, "0 operators by password, and any that the proxy names in X-Forwarded-User"),
    ],
)
def test_a_console_that_is_on_says_where_and_for_how_many(
    port: int, logins: dict[str, Any], said: str
) -> None:
    finding = console_finding(settings(enabled=True, port=port, **logins))
    assert finding.ok
    assert finding.detail.startswith(f"at http://127.0.0.1:{port};")
    assert said in finding.detail


@pytest.mark.parametrize(
    ("logins", "said"),
    [
        ({}, "payd console-user NAME"),
        ({"users": (Secret("alice"),)}, "fix console.users"),
        ({"users": (ALICE,), "port": 1}, "no answer at http://127.0.0.1:1: restart payd"),
    ],
)
def test_a_console_that_admits_no_operator_is_a_finding(logins: dict[str, Any], said: str) -> None:
    finding = console_finding(settings(enabled=True, **logins))
    assert (finding.ok, said in finding.detail) == (False, True), finding
    assert "scrypt" not in finding.detail
