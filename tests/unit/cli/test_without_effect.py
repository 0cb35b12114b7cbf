"""A setting that does nothing, because another one is missing, is named with the other one."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.forks import run_payd
from unit.cli.conftest import Process

from payd.config import read_config
from payd.daemon.without_effect import without_effect

BASE = {"ENVIRONMENT": "test", "DB_PASSWORD": "canary-password"}
TEMPO = {
    "TEMPO_ENABLED": "true",
    "TEMPO_NETWORK": "mainnet",
    "TEMPO_RECEIVER_ADDRESS": "0x" + "ab" * 20,
    "TEMPO_MEMO_KEY": "canary-memo-key",
}
SPONSOR = {"TEMPO_FEE_SPONSOR_URL": "https://sponsor.example/canary-key"}
URL = {"PAYD_HTTP_PUBLIC_URL": "https://pay.example.com"}
PAGE_KEY = {"PAYD_HTTP_PAGE_KEY": "canary" * 8}
EURC = {"TEMPO_EUR_TOKENS": "EURC=0x20c0000000000000000000001621e21f71cf12fb"}
USD, EUR, BOTH = ("currency: USD", "currency: EUR", "currencies: [USD, EUR]")


def named(tmp_path: Path, *environ: Mapping[str, str], prices: str = USD) -> list[str]:
    file = tmp_path / "pricing.yaml"
    file.write_text(f"{prices}\nprices: {{ethereum: {{full: {{30d: 14900}}}}}}\n")
    joined = {"PRICING_FILE": str(file)} | BASE
    for one in environ:
        joined |= one
    config, problems = read_config(joined, None)
    assert not [one for one in problems if not one.key.startswith("http.")], problems
    return [f"{one.key}: {one.what}" for one in without_effect(config)]


def test_a_sponsor_without_pages_names_what_makes_them(tmp_path: Path) -> None:
    assert named(tmp_path, TEMPO, SPONSOR, URL, PAGE_KEY) == []
    url, key = named(tmp_path, TEMPO, SPONSOR)
    assert url.startswith("http.public_url: tempo has a sponsor of fees for USDC, USDT, without")
    assert "set PAYD_HTTP_PUBLIC_URL" in url
    assert "set PAYD_HTTP_PAGE_KEY_FILE" in key


def test_a_service_that_wallets_call_themselves_needs_no_pages(tmp_path: Path) -> None:
    assert named(tmp_path, TEMPO, {"TEMPO_FEE_PAYER_URL": "https://payer.example"}) == []


def test_a_provider_with_settings_that_is_not_enabled_is_named(tmp_path: Path) -> None:
    forgotten = {name: text for name, text in TEMPO.items() if name != "TEMPO_ENABLED"}
    [said] = named(tmp_path, forgotten)
    assert said.startswith("providers.tempo.enabled: environment TEMPO_MEMO_KEY, environment TEMPO")
    assert "set TEMPO_ENABLED=true, or false if that is meant" in said
    assert named(tmp_path, forgotten, {"TEMPO_ENABLED": "false"}) == []


def test_a_provider_that_a_file_disables_with_its_settings_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "payd.yaml"
    for line, number in (("enabled: false", 0), ("", 1)):
        file.write_text(f"providers:\n  tempo:\n    network: mainnet\n    {line}\n")
        assert len(named(tmp_path, {"PAYD_CONFIG": str(file)})) == number


@pytest.mark.parametrize(
    ("tokens", "prices", "said"),
    [
        ({}, USD, []),
        (EURC, BOTH, []),
        (EURC, EUR, []),
        (EURC, USD, ["has no price in EUR, so that EURC of tempo cannot be used"]),
        ({}, EUR, ["has no price in USD, so that USDC, USDT of tempo cannot be used"]),
    ],
)
def test_tokens_of_a_currency_without_prices_are_named(
    tmp_path: Path, tokens: Mapping[str, str], prices: str, said: list[str]
) -> None:
    found = named(tmp_path, TEMPO, tokens, prices=prices)
    assert len(found) == len(said)
    assert all(one in line for one, line in zip(said, found, strict=True))


def test_config_check_names_them_and_the_configuration_is_valid(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"]} | BASE | TEMPO | SPONSOR
    ran = run_payd("config", "check", env=env, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "configuration is valid\n")
    assert "http.public_url (not set): tempo has a sponsor of fees" in ran.stderr
    assert "canary" not in ran.stderr


def test_doctor_has_a_finding_for_each(process: Process) -> None:
    ran = process("doctor", "--json", **BASE, STRIPE_SECRET_KEY="canary", DB_PORT="1")
    found = [one for one in json.loads(ran.stdout) if one["what"] == "without effect"]
    assert [one["ok"] for one in found] == [False]
    assert "set STRIPE_ENABLED=true" in found[0]["detail"]
    assert "canary" not in ran.stdout


def test_the_daemon_logs_them_when_it_starts(tmp_path: Path, pki: Path) -> None:
    """Before anything opens: the rest of the start is left out here."""
    (tmp_path / "pricing.yaml").write_text("currency: USD\nprices: {a: {b: {1d: 100}}}\n")
    certificates = {
        "GRPC_TLS_CERT_FILE": str(pki / "server.crt"),
        "GRPC_TLS_KEY_FILE": str(pki / "server.key"),
        "GRPC_TLS_CA_FILE": str(pki / "ca.crt"),
        "PRICING_FILE": str(tmp_path / "pricing.yaml"),
    }
    script = "import os; from payd.cli.operate import _load, _preflight;"
    ran = subprocess.run(
        [sys.executable, "-c", f"{script} _preflight(_load(os.environ))"],
        env={"PATH": os.environ["PATH"]} | BASE | TEMPO | SPONSOR | certificates,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    settings = [one["setting"] for one in lines if one["event"] == "setting_without_effect"]
    assert settings == ["http.public_url", "http.page_key"]
