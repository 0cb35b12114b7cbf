"""The consumer of docs/integrating.md runs beside the example shop, and neither loses an event."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from integration.client.test_integrating import programs, read_until
from integration.example.test_example_app import eventually
from support import plain_http
from support.dev_process import running_dev, state_folder
from support.example_app import FULL_30D

BOB = {"Authorization": "Bearer bob-token"}
ORDERS = 6


@pytest.fixture
def state() -> Iterator[Path]:
    with state_folder() as state:
        yield state


@contextmanager
def docs_consumer(dev: Mapping[str, str]) -> Iterator[list[str]]:
    """The lines that the page's Python program prints, while it runs."""
    _, consume, _ = programs("python")
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", consume],
        env={"PATH": os.environ["PATH"], "NATS_URL": dev["nats"], "REDIS_URL": dev["redis"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lines.extend, args=(process.stdout,))
    reader.start()
    try:
        yield lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()


def test_each_gets_every_event(state: Path) -> None:
    with running_dev(state, "--with-example", "--ephemeral", MOCK_DELAY_MS="1") as (_, dev):
        shop = dev["example"]
        with docs_consumer(dev) as lines:
            for number in range(ORDERS):
                wish = {
                    "idempotency_key": f"order-{number}",
                    "items": [FULL_30D],
                    "method": "mock",
                }
                started = plain_http.post(f"{shop}/api/v1/payments", json=wish, headers=BOB)
                assert started.is_success, started.text

            def active() -> int:
                found = plain_http.get(f"{shop}/api/v1/subscriptions", headers=BOB).json()
                return sum(one["status"] == "active" for one in found["subscriptions"])

            def delivered() -> int:
                return sum(line.startswith("deliver (") for line in list(lines))

            eventually(lambda: (active(), delivered()), (ORDERS, ORDERS))
        assert not any("share the durable consumer" in line for line in lines)


def test_beside_the_shop_a_consumer_on_its_durable_name_is_warned(state: Path) -> None:
    with running_dev(state, "--with-example", "--ephemeral") as (_, dev):
        _, consume, _ = programs("python")
        assert 'durable="my-app"' in consume
        other = consume.replace('durable="my-app"', 'durable="main-app-payment"')
        warning = "two applications share the durable consumer main-app-payment"
        printed = read_until(
            warning,
            (sys.executable, "-u", "-c", other),
            {"PATH": os.environ["PATH"], "NATS_URL": dev["nats"], "REDIS_URL": dev["redis"]},
        )
    assert warning in printed
    assert "main_app.activation" in printed
