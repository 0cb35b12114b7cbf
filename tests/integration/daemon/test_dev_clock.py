"""`payd dev --clock`: an expiry, a late payment and a refund window, tried in seconds."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from integration.stripe.shop import an_event, sdk
from payd_client import (
    Customer,
    InitiateRequest,
    Item,
    PaydClientError,
    PaymentClient,
    QuoteRequest,
    TlsFiles,
)
from support import plain_http
from support.dev_process import (
    ITEM,
    PATIENCE_S,
    payd,
    payd_json,
    running_dev,
    state_folder,
    wait_for_end,
)
from support.waiting import COMMAND_INTERVAL_S, wait_until

PAGE = Path(__file__).parents[3] / "docs/clock.md"
PENDING = ("--method", "mock", "--metadata", "mock_scenario=pending", "--no-wait")
TOKENS = ("--method", "crypto", "--crypto-currency", "USDC", "--no-wait")
BOUGHT = (Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d"),)


@attrs.frozen
class Dev:
    """A running `payd dev --clock`."""

    state: Path
    document: dict[str, str]

    def payd(self, *arguments: str) -> str:
        """Run a command that has to succeed."""
        done = payd(*arguments, "--state-dir", str(self.state))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> dict[str, Any]:
        return payd_json(*arguments, "--state-dir", str(self.state))

    def pay(self, *how: str) -> str:
        """Start a payment; return its id."""
        return str(self.json("pay", *ITEM, *how)["id"])

    def ends(self, payment_id: str) -> dict[str, Any]:
        ended = wait_for_end(payment_id, self.state)
        return ended | {"status": ended["status"].removeprefix("PAYMENT_STATUS_")}

    def order(self, method: str, path: str, /, **body: Any) -> Any:
        """Send a request to the stand-in's control API."""
        url = f"{self.document['stripe_api']}/_control/{path}"
        return plain_http.request(method, url, json=body, timeout=30).raise_for_status().json()

    def paid_by_card(self) -> str:
        """A payment that a customer has paid on the stand-in's page."""
        payment = self.json("pay", *ITEM, "--method", "card", "--no-wait")
        plain_http.post(f"{payment['next_action']['redirect']['url']}/pay", timeout=30)
        assert self.ends(payment["id"])["status"] == "COMPLETED"
        return str(payment["id"])

    def refund_status(self, payment_id: str) -> str:
        [refund] = self.json("get", payment_id)["refunds"]
        return str(refund["status"]).removeprefix("REFUND_STATUS_")


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    with (
        state_folder() as folder,
        # Where a program of the page looks for it.
        running_dev(
            folder.with_name(".payd"), "--ephemeral", "--clock", STRIPE_REQUEST_TIMEOUT_S="1"
        ) as (_, document),
    ):
        yield Dev(folder.with_name(".payd"), document)


def _published(dev: Dev, payment_id: str) -> str:
    """The subject of the payment's one event, which says that it has expired."""

    def look() -> list[str]:
        tail = dev.payd("events", "tail", "--no-follow", "--json")
        return [line for line in tail.splitlines() if payment_id in line]

    [event] = wait_until(look, "the event is published", interval_s=COMMAND_INTERVAL_S)
    document = json.loads(event)
    assert "expired" in event
    return str(document["subject"])


# -- an expiry -----------------------------------------------------------------------------------


def test_an_unpaid_payment_expires_and_the_main_app_gets_the_event(dev: Dev) -> None:
    payment_id = dev.pay(*PENDING)
    dev.payd("clock", "advance", "31m")

    ended = dev.ends(payment_id)

    assert ended["status"] == "EXPIRED"
    assert ended["update_time"] >= ended["expire_time"]
    assert _published(dev, payment_id) == "payment.canceled"


def test_a_card_payment_expires_with_its_page(dev: Dev) -> None:
    payment = dev.json("pay", *ITEM, "--method", "card", "--no-wait")
    page = payment["next_action"]["redirect"]["url"]
    assert 'id="pay"' in plain_http.get(page, timeout=30).text
    dev.payd("clock", "advance", "61m")

    assert dev.ends(payment["id"])["status"] == "EXPIRED"
    assert 'id="pay"' not in plain_http.get(page, timeout=30).text


def test_a_quote_holds_its_price_for_a_quarter_of_an_hour(dev: Dev) -> None:
    async def act() -> None:
        pki = dev.state / "pki"
        tls = TlsFiles(ca=pki / "ca.crt", cert=pki / "client.crt", key=pki / "client.key")
        async with PaymentClient(dev.document["grpc"], tls) as client:
            quote = await client.quote(QuoteRequest(items=BOUGHT, method="mock"))
            order = InitiateRequest(
                idempotency_key="quoted",
                customer=Customer(id="user-1"),
                return_url="https://shop.example/paid",
                cancel_url="https://shop.example/back",
                items=BOUGHT,
                method="mock",
                quote_token=quote.quote_token,
            )
            started = await client.initiate(order)
            await asyncio.to_thread(dev.payd, "clock", "advance", "16m")
            assert (await client.initiate(order)).id == started.id, "a known key needs no quote"
            with pytest.raises(PaydClientError) as refused:
                await client.initiate(attrs.evolve(order, idempotency_key="too-late"))
            assert refused.value.reason == "QUOTE_EXPIRED"

    asyncio.run(act())


def test_webhooks_are_signed_and_judged_at_the_same_time(dev: Dev) -> None:
    dev.payd("clock", "advance", "1d")
    dev.paid_by_card()
    attempts = dev.order("GET", "webhooks")["attempts"]
    assert {one["status"] for one in attempts} == {200}

    body = json.dumps(an_event("checkout.session.expired", {"id": "cs_x"}))
    secret = dev.document["stripe_webhook_secret"]
    signed = sdk.WebhookSignature.generate_signature_header(body, secret)
    url = f"http://{dev.document['http']}/webhooks/stripe"
    answer = plain_http.post(url, content=body, headers={"Stripe-Signature": signed}, timeout=30)
    assert answer.status_code == 400, "it was signed a day ago"


# -- a refund window -----------------------------------------------------------------------------


def lost_refund(dev: Dev) -> str:
    """A payment whose refund Stripe has not got, and payd does not know it."""
    payment_id = dev.paid_by_card()
    lost = {"method": "POST", "path": "/v1/refunds", "kind": "timeout_before", "hold_s": 2}
    dev.order("POST", "faults", **lost, times=9)
    payd("refund", payment_id, "--state-dir", str(dev.state))
    assert dev.refund_status(payment_id) == "CREATING"
    dev.order("DELETE", "faults")
    return payment_id


def test_within_the_window_a_lost_refund_is_sent_again(dev: Dev) -> None:
    payment_id = lost_refund(dev)
    dev.payd("clock", "advance", "1h")
    wait_until(
        lambda: dev.refund_status(payment_id) == "SUCCEEDED",
        "the refund succeeds",
        interval_s=COMMAND_INTERVAL_S,
    )


def test_after_the_window_an_operator_settles_a_lost_refund(dev: Dev) -> None:
    payment_id = lost_refund(dev)
    [refund] = dev.json("get", payment_id)["refunds"]
    settle = ("refunds", "settle", refund["id"], "--failed", "--note", "never arrived")
    early = payd(*settle, "--state-dir", str(dev.state))
    assert "NOT_REFUNDABLE" in early.stderr, early

    dev.payd("clock", "advance", "24h")

    dev.payd(*settle)
    assert dev.refund_status(payment_id) == "FAILED"
    sent = [one for one in dev.order("GET", "refunds")["refunds"] if refund["id"] in str(one)]
    assert sent == [], "payd has not sent it again"


# -- the main app's tests ------------------------------------------------------------------------


def test_the_program_of_the_page_moves_the_time(dev: Dev) -> None:
    [program] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    before = datetime.fromisoformat(dev.json("clock", "now")["time"])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=dev.state.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert datetime.fromisoformat(done.stdout.strip()) >= before + timedelta(minutes=31)


def test_reconciliation_is_due_after_a_day(dev: Dev) -> None:
    """Its rest is stored in the database, whose clock does not move."""
    before = {
        row["provider"]: row["end_time"] for row in dev.json("reconciliations")["reconciliations"]
    }
    dev.payd("clock", "advance", "25h")

    def look() -> bool:
        after = dev.json("reconciliations")["reconciliations"]
        return any(row["end_time"] > before.get(row["provider"], "") for row in after)

    wait_until(look, "a provider is reconciled again", interval_s=COMMAND_INTERVAL_S)


# -- a late payment, on a chain ------------------------------------------------------------------


def test_a_late_transfer_completes_and_the_time_outlives_a_restart(anvil: Path) -> None:
    path = f"{anvil.parent}{os.pathsep}{os.environ['PATH']}"
    with state_folder() as state:
        with running_dev(state, "--clock", TEMPO_ENABLED="true", PATH=path) as (_, document):
            dev = Dev(state, document)
            late, too_late = dev.pay(*TOKENS), dev.pay(*TOKENS)
            dev.payd("clock", "advance", "31m")
            assert dev.ends(late)["status"] == dev.ends(too_late)["status"] == "EXPIRED"

            dev.payd("tempo", "pay", late, "--late")
            paid = _once(dev, late, "COMPLETED")
            assert paid["late"]
            frozen = dev.json("clock", "freeze")["time"]

        again = payd("dev", "--state-dir", str(state))
        assert again.returncode == 1
        assert "start with --clock" in again.stderr

        with running_dev(state, "--clock", TEMPO_ENABLED="true", PATH=path) as (_, document):
            dev = Dev(state, document)
            assert dev.json("clock", "now")["time"] == frozen, "the time is kept with the data"
            dev.payd("clock", "advance", "25h")
            assert _newest_block(dev) == _whole_s(dev.json("clock", "now")["time"])
            dev.payd("tempo", "pay", too_late, "--late")
            wait_until(
                lambda: "PAID_AFTER_CLOSE" in dev.json("get", too_late)["attention"],
                "the money waits for a person",
                interval_s=COMMAND_INTERVAL_S,
            )
            assert dev.json("get", too_late)["status"] == "PAYMENT_STATUS_EXPIRED"
            assert dev.json("clock", "run")["ahead_s"] > timedelta(hours=24).total_seconds()


def _once(dev: Dev, payment_id: str, status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        payment = dev.json("get", payment_id)
        return payment if payment["status"] == f"PAYMENT_STATUS_{status}" else None

    return wait_until(look, f"it is {status}", interval_s=COMMAND_INTERVAL_S) or {}


def _newest_block(dev: Dev) -> datetime:
    request: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber"}
    request["params"] = ["latest", False]
    block = plain_http.post(dev.document["tempo_rpc"], json=request, timeout=30).json()["result"]
    return datetime.fromtimestamp(int(block["timestamp"], 16), UTC)


def _whole_s(time: str) -> datetime:
    return datetime.fromisoformat(time).replace(microsecond=0)
