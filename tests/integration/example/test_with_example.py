"""`payd dev --with-example`: a shop in a browser, with one command."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.example.test_example_app import eventually
from support import plain_http
from support.dev_process import assert_all_gone, children_of, payd_json, running_dev, state_folder
from support.example_app import FULL_30D


@pytest.fixture
def state() -> Iterator[Path]:
    with state_folder() as state:
        yield state


def test_a_newcomer_has_a_shop_and_keeps_what_was_bought_over_a_restart(state: Path) -> None:
    bob = {"Authorization": "Bearer bob-token"}
    wish = {"idempotency_key": "order-1", "items": [FULL_30D], "method": "mock"}
    with running_dev(state, "--with-example") as (process, dev):
        url = dev["example"]
        assert "Rent a blockchain node" in plain_http.get(url).text
        payment = plain_http.post(f"{url}/api/v1/payments", json=wish, headers=bob).json()

        def status() -> str:
            found = plain_http.get(f"{url}/api/v1/subscriptions", headers=bob).json()
            return str(found["subscriptions"][0]["status"])

        eventually(status, "active")
        payment_now = payd_json("get", payment["id"], "--state-dir", str(state))
        assert payment_now["customer_id"] == "bob"
        servers = children_of(process)
    assert_all_gone(servers)
    out = (state / "out").read_text()
    assert re.search(rf"^  Shop +{re.escape(url)}$", out, re.MULTILINE)
    assert "postgresql://" not in out
    with running_dev(state, "--with-example") as (_, dev):
        assert dev["example"] == url
        assert status() == "active"
