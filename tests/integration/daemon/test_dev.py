"""`payd dev`: one command, a payment, its event; and it cleans up after itself."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support import plain_http
from support.dev_process import (
    ITEM,
    PATIENCE_S,
    assert_all_gone,
    children_of,
    payd,
    payd_json,
    running_dev,
    state_folder,
    wait_for_end,
)

HERE = Path(__file__).parent
PAY = ("pay", *ITEM, "--method", "mock")
PAY_BY_CARD = ("pay", *ITEM, "--method", "card", "--no-wait")


@pytest.fixture
def state() -> Iterator[Path]:
    with state_folder() as state:
        yield state


def methods_of(dev: Mapping[str, str]) -> dict[str, str]:
    """Method → provider."""
    with urllib.request.urlopen(f"http://{dev['http']}/api/v1/payment-methods") as answer:
        return {m["method"]: m["provider"] for m in json.load(answer)["methods"]}


def test_a_newcomer_pays_and_sees_the_event(state: Path) -> None:
    with running_dev(state) as (process, dev):
        paid = payd(*PAY, "--state-dir", str(state))
        assert paid.returncode == 0, paid.stderr
        assert "COMPLETED" in paid.stdout
        tail = payd("events", "tail", "--no-follow", "--state-dir", str(state))
        assert "payment.completed" in tail.stdout, tail.stderr
        as_json = payd(*PAY, "--state-dir", str(state), "--json")
        assert json.loads(as_json.stdout)["status"] == "PAYMENT_STATUS_COMPLETED"
        assert methods_of(dev) == {"card": "stripe", "mock": "mock"}
        assert {"stripe_api", "stripe_webhook_secret"} <= dev.keys()
        assert "example" not in dev, "nobody asked for it"
        with urllib.request.urlopen(f"http://{dev['metrics']}/metrics") as answer:
            metrics = answer.read().decode()
        assert 'payd_payments_total{method="mock",status="completed"} 2.0' in metrics
        servers = children_of(process)
        assert len(servers) >= 3
    assert process.returncode == 0
    assert not (state / "dev.json").exists()
    assert_all_gone(servers)


def test_a_generic_client_and_a_plain_consumer_need_nothing_of_payd(state: Path) -> None:
    with running_dev(state, "--ephemeral") as (_, dev):
        assert {"grpc", "http", "metrics", "postgres", "nats", "redis"} <= dev.keys()
        assert dev["operator_cert"] == str(state / "pki" / "operator.crt")
        assert dev["operator_key"] == str(state / "pki" / "operator.key")
        script = [sys.executable, str(HERE / "generic_client.py")]
        seen = subprocess.run(
            [*script, str(state / "dev.json"), str(state / "pki")],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert seen.returncode == 0, seen.stderr
    document = json.loads(seen.stdout)
    assert {"payd.v1.PaymentService", "grpc.health.v1.Health"} <= set(document["paid"]["services"])
    assert document["paid"]["payment"]["status"] == "PAYMENT_STATUS_PENDING"
    assert document["event"]["subject"] == "payment.completed"
    assert document["event"]["body"]["customer_id"] == "generic"
    assert document["event"]["headers"]["ce-specversion"] == "1.0"


def test_it_starts_again_on_its_kept_state_after_a_power_cut(state: Path) -> None:
    with running_dev(state) as (process, dev):
        paid = payd(*PAY, "--state-dir", str(state), "--json")
        payment_id = json.loads(paid.stdout)["id"]
        servers = children_of(process)
        process.kill()
        process.wait()
        assert_all_gone(servers)
    (state / "dev.json").unlink()
    with running_dev(state) as (_, again):
        assert again["postgres"] == dev["postgres"], "the same ports and password as before"
        found = payd("get", payment_id, "--state-dir", str(state), "--json")
        assert json.loads(found.stdout)["status"] == "PAYMENT_STATUS_COMPLETED"


def test_it_moves_to_free_ports(state: Path) -> None:
    with contextlib.ExitStack() as taken:
        base = 21000 + os.getpid() % 2000
        holders = [taken.enter_context(socket.socket()) for _ in range(6)]
        for offset, holder in enumerate(holders):
            with contextlib.suppress(OSError):
                holder.bind(("127.0.0.1", base + offset))
                holder.listen()
        with running_dev(state, "--ephemeral", "--port-base", str(base)) as (_, dev):
            ports = {int(dev[name].rpartition(":")[2]) for name in ("grpc", "http", "metrics")}
            assert ports.isdisjoint(range(base, base + 6))
            assert payd(*PAY, "--state-dir", str(state)).returncode == 0


def test_a_second_one_on_the_same_state_is_refused(state: Path) -> None:
    with running_dev(state, "--ephemeral") as (process, _):
        second = payd("dev", "--state-dir", str(state))
        assert second.returncode == 1
        assert f"pid {process.pid}" in second.stderr
        assert (state / "dev.json").exists()


def test_cards_are_taken_through_the_stand_in_before_and_after_a_restart(state: Path) -> None:
    where = ("--state-dir", str(state))
    with running_dev(state) as (_, dev):
        payment = payd_json(*PAY_BY_CARD, *where)
        page = payment["next_action"]["redirect"]["url"]
        assert page.startswith(dev["stripe_api"])
        assert payment["status"] == "PAYMENT_STATUS_PENDING"
    with running_dev(state) as (_, again):
        assert again["stripe_api"] == dev["stripe_api"], "the page is where the customer left it"
        assert 'id="pay"' in plain_http.get(page).text
        paid = plain_http.post(f"{page}/pay")
        assert paid.headers["location"].startswith(f"{dev['stripe_api']}/shop/paid?session_id=cs_")
        ended = wait_for_end(payment["id"], state)
        assert ended["status"] == "PAYMENT_STATUS_COMPLETED"
        tail = payd("events", "tail", "--no-follow", *where)
        assert tail.stdout.count("payment.completed") == 1, tail.stdout


def test_without_stripe_the_mock_takes_cards(state: Path) -> None:
    with running_dev(state, "--ephemeral", STRIPE_ENABLED="false") as (_, dev):
        assert methods_of(dev) == {"card": "mock", "mock": "mock"}
        assert not {"stripe_api", "stripe_webhook_secret"} & dev.keys()
        paid = payd("pay", *ITEM, "--method", "card", "--state-dir", str(state))
        assert paid.returncode == 0, paid.stderr
        assert "COMPLETED" in paid.stdout
