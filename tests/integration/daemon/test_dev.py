"""`payd dev`: one command, a payment, its event; and it cleans up after itself."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

HERE = Path(__file__).parent
PATIENCE_S = 60
PAY = ("pay", "--item", "ethereum-mainnet/full/30d", "--method", "mock")


@pytest.fixture
def state() -> Iterator[Path]:
    # Not in pytest's own folder: it is closed to the database's user.
    with tempfile.TemporaryDirectory(prefix="payd-dev-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "state"


def payd(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "payd", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options
    )


def wait_until_ready(state: Path, process: "subprocess.Popen[bytes]") -> dict[str, str]:
    until = time.monotonic() + PATIENCE_S
    while not (state / "dev.json").exists():
        assert process.poll() is None, (state / "out").read_text()
        assert time.monotonic() < until, (state / "out").read_text()
        time.sleep(0.05)
    document: dict[str, str] = json.loads((state / "dev.json").read_text())
    return document


@contextlib.contextmanager
def running_dev(state: Path, *arguments: str) -> Iterator[tuple[Any, dict[str, str]]]:
    state.mkdir(exist_ok=True)
    with (state / "out").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "payd", "dev", "--state-dir", str(state), *arguments],
            stdout=out,
            stderr=out,
        )
    try:
        yield process, wait_until_ready(state, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)


def children_of(process: Any) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def assert_all_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert alive == []


def test_a_newcomer_pays_and_sees_the_event(state: Path) -> None:
    with running_dev(state) as (process, dev):
        paid = payd(*PAY, "--state-dir", str(state))
        assert paid.returncode == 0, paid.stderr
        assert "COMPLETED" in paid.stdout
        told = payd("events", "tail", "--no-follow", "--state-dir", str(state))
        assert "payment.completed" in told.stdout, told.stderr
        as_json = payd(*PAY, "--state-dir", str(state), "--json")
        assert json.loads(as_json.stdout)["status"] == "PAYMENT_STATUS_COMPLETED"
        with urllib.request.urlopen(f"http://{dev['http']}/api/v1/payment-methods") as answer:
            methods = json.load(answer)["methods"]
        assert [(m["method"], m["provider"]) for m in methods] == [
            ("card", "mock"),
            ("mock", "mock"),
        ]
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
        base = 41000 + os.getpid() % 2000
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
