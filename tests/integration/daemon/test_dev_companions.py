"""`payd dev` with other people's wheels: their companions start, serve, stop, and may fail."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import plain_http
from support.dev_process import payd_json, running_dev, state_folder, wait_for_end
from support.waiting import wait_until

ROOT = Path(__file__).parents[3]
#: Not what these tests are about.
WITHOUT_OURS = {"STRIPE_ENABLED": "false", "TEMPO_ENABLED": "false"}
ITEM = "ethereum-mainnet/full/30d"
#: A provider whose companion fails in the way that its test names.
FAILING = """
from contextlib import asynccontextmanager
from acme_provider import MANIFEST
import attrs, trio
from payd.plugins import Companion, CompanionFailed, Method, RunningCompanion, hookimpl

@hookimpl
def payd_providers():
    return (attrs.evolve(MANIFEST, name="{name}"),)

@asynccontextmanager
async def open_companion(context):
    {body}
    yield RunningCompanion()

COMPANION = Companion(open=open_companion)
"""
BODIES = {
    "planned": "raise CompanionFailed('no license file: put one into ~/.planned')",
    "broken": "{}['key']",
    "lacking": "import no_such_server",
    "ending": "async with context.server('api', ['/bin/false'], context.port('api', 0)): pass",
}


@pytest.fixture
def state() -> Iterator[Path]:
    with state_folder() as state:
        yield state


def install(site: Path, name: str, module: str, companion: str) -> None:
    """Write what pip leaves of a wheel."""
    info = site / f"payd_{name}_provider-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: payd-{name}-provider\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(
        f"[payd]\n{name} = {module}\n[payd.companions]\n{name} = {companion}:COMPANION\n"
    )


def path_of(site: Path) -> str:
    examples = ROOT / "examples/providers"
    return os.pathsep.join(map(str, (site, examples / "acme", examples / "sepa")))


def methods(dev: dict[str, str]) -> dict[str, str]:
    """Method → provider."""
    answer = plain_http.get(f"http://{dev['http']}/api/v1/payment-methods").json()
    return {method["method"]: method["provider"] for method in answer["methods"]}


def test_a_third_partys_fake_api_starts_is_paid_with_and_stops(state: Path, tmp_path: Path) -> None:
    install(tmp_path, "acme", "acme_provider", "acme_provider.companion")
    where = ("--state-dir", str(state))
    environment = {**WITHOUT_OURS, "PYTHONPATH": path_of(tmp_path)}
    with running_dev(state, "--verbose", **environment) as (_, dev):
        assert methods(dev) == {"acme": "acme", "mock": "mock", "card": "mock"}
        payment = payd_json("pay", "--item", ITEM, "--method", "acme", "--no-wait", *where)
        page = payment["next_action"]["redirect"]["url"]
        assert page.startswith(dev["acme_api"])
        assert plain_http.post(page).status_code == 200
        assert wait_for_end(payment["id"], state)["status"] == "PAYMENT_STATUS_COMPLETED"
        settings = json.loads((state / "environment.json").read_text())
        assert settings["ACME_API_BASE"] == dev["acme_api"]
    banner = (state / "out").read_text()
    for method in ("acme", "mock", "card"):
        assert banner.count(f"pay --item {ITEM} --method {method} --state-dir {state}\n") == 1
    api = urlsplit(dev["acme_api"])
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection((str(api.hostname), api.port or 0), 5),
    ):
        pass
    with running_dev(state, **environment) as (_, again):
        assert again["acme_api"] == dev["acme_api"], "the same port as in the last run"


def test_the_real_remote_side_is_used_where_one_is_configured(state: Path, tmp_path: Path) -> None:
    install(tmp_path, "acme", "acme_provider", "acme_provider.companion")
    real = {
        "ACME_API_BASE": "http://127.0.0.1:9",
        "ACME_API_KEY": "key of ours",
        "ACME_WEBHOOK_SECRET": "secret of ours",
    }
    environment = {**WITHOUT_OURS, **real, "PYTHONPATH": path_of(tmp_path)}
    with running_dev(state, "--ephemeral", "--verbose", **environment) as (_, dev):
        assert "acme_api" not in dev
        settings = json.loads((state / "environment.json").read_text())
        assert real.items() <= settings.items()
    assert f"pay --item {ITEM} --method acme --state-dir {state}\n" in (state / "out").read_text()


def test_a_customer_transfers_at_the_fake_bank(state: Path, tmp_path: Path) -> None:
    install(tmp_path, "sepa", "sepa_provider", "sepa_provider.companion")
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "currencies: [USD, EUR]\n"
        "prices: {ethereum-mainnet: {full: {30d: {USD: 15900, EUR: 14900}}}}\n"
    )
    environment = {
        **WITHOUT_OURS,
        "PYTHONPATH": path_of(tmp_path),
        "PRICING_FILE": str(prices),
        "PAYD_RECOVERY_SCAN_INTERVAL_S": "1",
    }
    with running_dev(state, "--ephemeral", "--verbose", **environment) as (_, dev):
        where = ("--state-dir", str(state))
        pay = f"pay --item {ITEM} --method sepa --currency EUR"
        command = f"{pay} --state-dir {state}\n"
        wait_until(lambda: command in (state / "out").read_text(), "the banner is written")
        payment = payd_json(*pay.split(), "--no-wait", *where)
        fields = payment["next_action"]["show"]["fields"]
        shown = {field["label"].lower(): field["value"] for field in fields}
        assert (shown["amount"], shown["currency"]) == ("149.00", "EUR")
        assert shown["iban"] in plain_http.get(dev["sepa_bank"]).text
        assert plain_http.post(dev["sepa_bank"], data=shown).status_code == 200
        assert wait_for_end(payment["id"], state)["status"] == "PAYMENT_STATUS_COMPLETED"


def test_companions_that_fail_cost_their_providers_and_nothing_else(
    state: Path, tmp_path: Path
) -> None:
    for name, body in BODIES.items():
        (tmp_path / f"{name}_provider.py").write_text(FAILING.format(name=name, body=body))
        install(tmp_path, name, f"{name}_provider", f"{name}_provider")
    environment = {**WITHOUT_OURS, "PYTHONPATH": path_of(tmp_path)}
    with running_dev(state, "--ephemeral", **environment) as (process, dev):
        assert methods(dev) == {"mock": "mock", "card": "mock"}
    assert process.returncode == 0
    out = (state / "out").read_text()
    for name, reason in {
        "planned": "no license file: put one into ~/.planned",
        "broken": "KeyError: 'key'",
        "lacking": "No module named 'no_such_server'; install what the extra `dev`",
        "ending": "ending-api did not start",
    }.items():
        assert f"provider {name} is left out, its companion did not start: {reason}" in out
        assert f"or set {name.upper()}_ENABLED=false" in out
