"""The price on the shop's button is charged, whatever the price list says by then."""

import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from support.daemon import Daemon, Place, running_daemon
from support.event_stream import EventStream
from support.example_app import FULL_30D, ExampleApp, a_wish

PRICES = "currency: USD\nprices: {{ethereum-mainnet: {{full: {{30d: {price}}}}}}}\n"


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("prices") / "pricing.yaml"
    file.write_text(PRICES.format(price=14900))
    return file


@pytest.fixture(scope="module")
def daemon(new_place: Callable[[], Place], stream: EventStream, prices: Path) -> Iterator[Daemon]:
    place = attrs.evolve(new_place(), nats=stream.url)
    settings = {"PRICING_FILE": str(prices), "PAYD_PAYMENTS_QUOTE_KEY": "k" * 32}
    with running_daemon(place, **settings) as daemon:
        yield daemon


def start(client: httpx.Client, quote_token: str, key: str = "") -> Any:
    wish = a_wish(key or uuid.uuid4().hex, quote_token=quote_token)
    return client.post("/api/v1/payments", json=wish)


def test_the_price_on_the_button_is_charged(app: ExampleApp, daemon: Daemon, prices: Path) -> None:
    with app.client() as client:
        wanted = {"items": [FULL_30D], "method": "mock"}
        quote = client.post("/api/v1/quotes", json=wanted).json()
        prices.write_text(PRICES.format(price=19900))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_line("configuration_reloaded")

        key = uuid.uuid4().hex
        started = start(client, quote["quote_token"], key)
        assert (started.status_code, started.json()["amount"]) == (201, quote["total"])
        renewed = client.post("/api/v1/quotes", json=wanted).json()
        assert renewed["total"]["minor_units"] == 19900
        # The same press of the button, sent again with a newer quote.
        again = start(client, renewed["quote_token"], key)
        assert (again.status_code, again.json()["id"]) == (201, started.json()["id"])


def test_an_invalid_token_is_refused_with_a_reason_for_the_page(app: ExampleApp) -> None:
    with app.client() as client:
        refused = start(client, "nonsense")
    assert (refused.status_code, refused.json()["reason"]) == (400, "QUOTE_INVALID")
