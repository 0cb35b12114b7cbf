"""The providers' part: settings stay as written, credentials are parted from them."""

from pathlib import Path

import pytest

from payd.config import (
    ConfigError,
    Secret,
    load_config,
    take_credentials,
)

from .builders import MINIMAL, SHIPPED, load, production


def test_a_providers_settings_stay_as_written_and_the_environment_wins(tmp_path: Path) -> None:
    yaml = "providers: {tempo: {enabled: true, chain_id: 1, tokens: [USDC], rpc_url: a}}"
    tempo = load(tmp_path, yaml, TEMPO_RPC_URL="b", TEMPO_TOKEN_LIST="c").providers.named["tempo"]
    assert dict(tempo.settings) == {
        "chain_id": 1,
        "tokens": ["USDC"],
        "rpc_url": "b",
        "token_list": "c",
    }
    assert tempo.from_environment == {"rpc_url", "token_list"}
    assert tempo.origins["rpc_url"] == "environment TEMPO_RPC_URL"
    assert tempo.origins["chain_id"] == f"{tmp_path / 'payd.yaml'}:1"


def test_a_variable_goes_to_the_provider_with_the_longest_name(tmp_path: Path) -> None:
    config = load(tmp_path, "providers: {tempo: {}, tempo_test: {}}", TEMPO_TEST_URL="x")
    assert dict(config.providers.named["tempo"].settings) == {}
    assert dict(config.providers.named["tempo_test"].settings) == {"url": "x"}


def test_variables_of_nobody_are_left_alone(tmp_path: Path) -> None:
    config = load(tmp_path, SENTRY_ENABLED="true", PAYD_SERVICE_PORT="1", PAYD_PORT="tcp://x")
    assert dict(config.providers.named) == {}


def test_an_installed_plugin_is_known_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "acme_pay-1.0.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-pay\nVersion: 1.0\n")
    (plugin / "entry_points.txt").write_text("[payd]\nacme = acme_pay\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = load_config({**MINIMAL, "ACME_ENABLED": "true"}, SHIPPED)
    assert config.providers.named["acme"].enabled


def test_a_provider_gets_its_credentials_newest_first_and_apart_from_its_settings(
    tmp_path: Path,
) -> None:
    (tmp_path / "hooks").write_text("whsec_new\nwhsec_old\n")
    yaml = "providers: {stripe: {webhook_secret_file: hooks, api_base: https://x}}"
    config = load(tmp_path, yaml, STRIPE_SECRET_KEY="sk_test")
    stripe, found = take_credentials(config, "stripe", ("stripe_secret_key", "webhook_secret"))
    assert found == {
        "stripe_secret_key": (Secret("sk_test"),),
        "webhook_secret": (Secret("whsec_new"), Secret("whsec_old")),
    }
    assert dict(stripe.settings) == {"api_base": "https://x"}
    assert dict(stripe.origins) == {"api_base": f"{tmp_path / 'payd.yaml'}:1"}


@pytest.mark.parametrize(
    ("setting", "environ", "says"),
    [
        ("", {}, "missing: set secret_key_file, STRIPE_SECRET_KEY_FILE or STRIPE_SECRET_KEY"),
        ("secret_key: sk_canary", {}, "not allowed in this file"),
        ("secret_key_file: nothing", {}, "cannot read"),
        ("", {"STRIPE_SECRET_KEY": "sk_canary", "STRIPE_SECRET_KEY_FILE": "/x"}, "remove one"),
    ],
)
def test_a_credential_that_cannot_be_used_is_named(
    setting: str, environ: dict[str, str], says: str, tmp_path: Path
) -> None:
    config = load(tmp_path, f"providers: {{stripe: {{enabled: true, {setting}}}}}", **environ)
    with pytest.raises(ConfigError, match=r"providers\.stripe\.secret_key: ") as refused:
        take_credentials(config, "stripe", ("secret_key",))
    assert says in str(refused.value)
    assert "canary" not in str(refused.value)


def test_production_takes_no_credential_from_the_environment(tmp_path: Path) -> None:
    config = load(tmp_path, **production(tmp_path, STRIPE_SECRET_KEY="sk_canary"))
    with pytest.raises(ConfigError, match="environment STRIPE_SECRET_KEY: providers"):
        take_credentials(config, "stripe", ("secret_key",))
