"""A good configuration: file, environment and defaults, and how it is shown without secrets."""

import copy
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from pydantic import ValidationError
from support.authority import Authority

from payd.config import (
    SETTINGS,
    Config,
    ConfigError,
    Secret,
    describe,
    load_config,
    with_vault,
)
from payd.transport.console.passwords import new_entry

from .builders import MINIMAL, SHIPPED, TLS, VAULT, load, production

#: The variables that the contract fixes, with a value for each, and where it must arrive.
CONTRACT_VARIABLES: dict[str, tuple[str, str, object]] = {
    "ENVIRONMENT": ("staging", "environment", "staging"),
    "LOG_LEVEL": ("DEBUG", "log.level", "debug"),
    "DB_HOST": ("db.internal", "database.host", "db.internal"),
    "DB_PORT": ("6543", "database.port", 6543),
    "DB_USER": ("someone", "database.user", "someone"),
    "DB_PASSWORD": ("hunter2", "database.password", Secret("hunter2")),
    "DB_NAME": ("other", "database.name", "other"),
    "DB_SSL_MODE": ("verify-full", "database.ssl_mode", "verify-full"),
    "REDIS_ADDR": ("redis:6379", "redis.addr", "redis:6379"),
    "REDIS_PASSWORD": ("hunter3", "redis.password", Secret("hunter3")),
    "NATS_URL": ("tls://a:4222,tls://b:4222", "nats.servers", ["tls://a:4222", "tls://b:4222"]),
    "GRPC_PORT": ("50052", "grpc.port", 50052),
    "GRPC_ALLOWED_CNS": ("main-app, main-app-b", "grpc.allowed_cns", ("main-app", "main-app-b")),
    "GRPC_OPERATOR_CNS": ("operator,recovery", "grpc.operator_cns", ("operator", "recovery")),
    "HTTP_PORT": ("8086", "http.port", 8086),
    "METRICS_PORT": ("0", "metrics.port", 0),
    "PRICING_FILE": ("/srv/prices.yaml", "pricing.file", Path("/srv/prices.yaml")),
    "STRIPE_ENABLED": ("true", "providers.named.stripe.enabled", True),
    "TEMPO_ENABLED": ("1", "providers.named.tempo.enabled", True),
    "MOCK_ENABLED": ("yes", "providers.named.mock.enabled", True),
    "TEMPO_RPC_URL": ("http://rpc", "providers.named.tempo.settings.rpc_url", "http://rpc"),
    "TEMPO_CHAIN_ID": ("42431", "providers.named.tempo.settings.chain_id", "42431"),
    "TEMPO_RECEIVER_ADDRESS": ("0x1", "providers.named.tempo.settings.receiver_address", "0x1"),
}


def reach(config: object, path: str) -> object:
    for part in path.split("."):
        config = config[part] if isinstance(config, Mapping) else getattr(config, part)
    return config


def test_a_password_is_all_that_a_start_on_this_machine_needs(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config.environment == "development"
    assert config.database.password == Secret("hunter2")
    assert config.grpc.port == 50051
    assert config.http.port == 8085
    assert config.metrics.port == 9086
    assert config.nats.stream == "PAYMENTS"
    assert config.providers.enabled() == {}


@pytest.mark.parametrize("name", CONTRACT_VARIABLES)
def test_every_variable_that_operators_use_arrives(name: str, tmp_path: Path) -> None:
    text, path, expected = CONTRACT_VARIABLES[name]
    config = load(tmp_path, **{name: text})
    assert reach(config, path) == expected


def test_the_tls_files_arrive(tmp_path: Path) -> None:
    environ = production(tmp_path)
    files = load(tmp_path, **environ).grpc.tls_files()
    assert [str(files.cert), str(files.key), str(files.ca)] == [environ[name] for name in TLS]


def test_missing_tls_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path).grpc.tls_files()
    assert [problem.key for problem in refused.value.problems] == [
        "grpc.tls_cert_file",
        "grpc.tls_key_file",
        "grpc.tls_ca_file",
    ]


def test_every_setting_can_come_from_its_variable(tmp_path: Path) -> None:
    present = tmp_path / "present"
    present.write_text("5e" * 32)
    unset = {"file": str(present), "secret": "5e" * 32, "secrets": "k" * 32, "text": "a:1"}
    unset["integer"] = "1"
    operators = tmp_path / "operators"
    operators.write_text(new_entry("alice", "a long password"))
    authority = tmp_path / "ca.crt"
    authority.write_bytes(Authority.new().pem())
    trusted = ("database.ssl_root_cert_file", "nats.tls_ca_file")
    needs = {"nats.account": "A" * 56, **dict.fromkeys(trusted, str(authority))}
    needs |= {"http.public_url": "https://pay.example.com"}
    needs |= {
        "console.users": new_entry("alice", "a long password"),
        "console.proxy_user_header": "X-Forwarded-User",
    }
    needs |= {"tracing.endpoint": "http://localhost:4318"}
    for setting in SETTINGS:
        if ".NAME." in setting.key or setting.key.startswith("vault."):
            continue
        default = setting.default
        text = ",".join(default) or "alice" if isinstance(default, tuple) else str(default)
        text = needs.get(setting.key, unset[setting.kind]) if default is None else text
        environ = {setting.env: text}
        if setting.env in TLS:
            environ = dict.fromkeys(TLS, str(present))
        if setting.key == "database.password_file":
            environ["DB_PASSWORD"] = ""
        if setting.key == "console.users_file":
            environ[setting.env] = str(operators)
        if setting.key == "http.public_url":
            environ["PAYD_HTTP_PAGE_KEY"] = "k" * 32
        config = load(tmp_path, **environ)
        assert config.origin(setting.key) == f"environment {setting.env}"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, "http: {port: 1000}\nmetrics: {port: 1001}", HTTP_PORT="2000")
    assert (config.http.port, config.metrics.port) == (2000, 1001)
    assert config.origin("http.port") == "environment HTTP_PORT"
    assert config.origin("metrics.port") == f"{tmp_path / 'payd.yaml'}:2"
    assert config.origin("grpc.port") == "default"


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert load(tmp_path, HTTP_PORT="", PAYD_CRASH_AT="").http.port == 8085


def test_a_section_whose_lines_are_all_comments_counts_as_absent(tmp_path: Path) -> None:
    assert load(tmp_path, "redis:\n  # addr: x:1\nproviders:\n").redis.addr is None


def test_payd_config_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("log: {format: json}")
    config = load_config({**MINIMAL, "PAYD_CONFIG": str(file)}, None, installed=())
    assert config.log.format == "json"


def test_without_any_file_the_environment_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(MINIMAL, None, installed=())
    assert config.pricing.file == tmp_path / "config" / "pricing.yaml"


def test_a_path_in_the_file_is_relative_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(tmp_path).pricing.file == tmp_path / "pricing.yaml"
    assert load(tmp_path, "pricing: {file: ../p.yaml}").pricing.file == tmp_path / "../p.yaml"
    monkeypatch.chdir("/")
    assert load(tmp_path, PRICING_FILE="p.yaml").pricing.file == Path("/p.yaml")


def test_production_changes_what_is_safe_by_default(tmp_path: Path) -> None:
    relaxed, strict = load(tmp_path), load(tmp_path, **production(tmp_path))
    assert (relaxed.nats.create_stream, strict.nats.create_stream) == (True, False)
    assert (relaxed.providers.failure_mode, strict.providers.failure_mode) == ("degraded", "strict")
    assert strict.origin("nats.create_stream") == "default in production"
    config = load(tmp_path, "nats: {create_stream: true}", **production(tmp_path))
    assert config.nats.create_stream is True


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "/run/postgresql"])
def test_production_may_talk_to_its_own_machine_in_the_clear(host: str, tmp_path: Path) -> None:
    environ = production(tmp_path, DB_SSL_MODE="disable", DB_HOST=host)
    assert load(tmp_path, **environ).database.ssl_mode == "disable"


def test_the_mock_runs_in_production_when_allowed(tmp_path: Path) -> None:
    yaml = "providers: {mock: {enabled: true, allow_in_production: true}}"
    assert load(tmp_path, yaml, **production(tmp_path)).providers.named["mock"].enabled


def test_the_tree_is_frozen(tmp_path: Path) -> None:
    config = load(tmp_path, "providers: {mock: {delay_ms: 1}}")
    with pytest.raises(ValidationError):
        config.http.port = 1
    named: Any = config.providers.named
    with pytest.raises(TypeError):
        named["x"] = named["mock"]


def test_the_shipped_file_loads_as_it_is() -> None:
    config = load_config(MINIMAL, SHIPPED, installed=())
    assert config.pricing.file == SHIPPED.parent / "pricing.yaml"
    assert config.grpc.allowed_cns == ("main-app",)
    assert not config.providers.enabled()


def test_the_shipped_file_does_not_soften_production(tmp_path: Path) -> None:
    config = load_config(production(tmp_path), SHIPPED, installed=())
    assert config.providers.failure_mode == "strict"
    assert not config.nats.create_stream


# What is shown


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    (tmp_path / "redis").write_text("canary-redis")
    yaml = "redis: {password_file: redis}\nproviders: {stripe: {secret_key: canary-file}}"
    config = load(
        tmp_path,
        yaml,
        DB_PASSWORD="canary-db",
        NATS_URL="nats://user:canary-nats@nats:4222",
        STRIPE_WEBHOOK_SECRET="canary-hook",
        TEMPO_RPC_URL="https://me:canary-user@rpc.example/v2/canary-path?key=canary-query",
        TEMPO_MEMO_KEY="canary-memo",
    )
    shown = f"{config!r} {config} {describe(config)} {config.database.password:>20}"
    assert "canary" not in shown
    rows = {row.key: row.value for row in describe(config)}
    assert rows["database.password"] == "**********"
    assert rows["nats.url"] == "nats://**********@nats:4222"
    assert rows["providers.tempo.rpc_url"] == "https://rpc.example/…"


def test_a_quote_key_may_have_a_successor(tmp_path: Path) -> None:
    new, old = Secret("n" * 32), Secret("o" * 32)
    (tmp_path / "quote_key").write_text(f"{'n' * 32}\n{'o' * 32}\n")
    from_file = load(tmp_path, "payments: {quote_key_file: quote_key}")
    assert from_file.payments.quote_key == (new, old)
    assert {row.key: row.value for row in describe(from_file)}["payments.quote_key"] == "*" * 10
    both = f"{'n' * 32}\n{'o' * 32}"
    assert load(tmp_path, PAYD_PAYMENTS_QUOTE_KEY=both).payments.quote_key == (new, old)
    from_vault = with_vault(from_file, {"quote_key": (old, new)})
    assert from_vault.payments.quote_key == (old, new)
    assert load(tmp_path).payments.quote_key is None


def test_a_secret_gives_itself_away_to_reveal_alone() -> None:
    secret = Secret("canary")
    assert secret.reveal() == "canary"
    assert "canary" not in f"{secret} {secret!r} {[secret]}"
    assert secret == Secret("canary") != Secret("other")
    assert secret != "canary"
    assert len({secret, Secret("canary")}) == 1
    assert copy.copy(secret) is copy.deepcopy(secret) is secret
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_show_has_every_setting_with_its_source(tmp_path: Path) -> None:
    config = load(tmp_path, "log: {level: debug}", MOCK_ENABLED="true", MOCK_DELAY_MS="5")
    rows = {row.key: row for row in describe(config)}
    assert {s.key for s in SETTINGS if ".NAME." not in s.key} <= rows.keys()
    assert attrs.astuple(rows["log.level"])[1:] == (
        "LOG_LEVEL",
        "debug",
        f"{tmp_path / 'payd.yaml'}:1",
    )
    assert rows["providers.mock.enabled"].value == "true"
    assert rows["providers.mock.delay_ms"].source == "environment MOCK_DELAY_MS"


def test_every_setting_is_described_and_has_a_variable_of_its_own() -> None:
    assert all(setting.description.endswith((".", "limit.")) for setting in SETTINGS)
    variables = [setting.env for setting in SETTINGS]
    assert len(variables) == len(set(variables))


def test_a_variable_is_the_contracts_or_says_its_key() -> None:
    named = {*CONTRACT_VARIABLES, *TLS, *VAULT, "DB_PASSWORD_FILE", "REDIS_PASSWORD_FILE"}
    named |= {"NATS_ACCOUNT_SIGNING_SEED", "NATS_ACCOUNT_SIGNING_SEED_FILE"}
    # OpenTelemetry's own names, which operators already set for other programs.
    named |= {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME"}
    for setting in SETTINGS:
        said = "PAYD_" + setting.key.upper().replace(".", "_")
        assert setting.env in {said, *named} or setting.env.startswith("NAME_")


@pytest.mark.parametrize("build", [Config, lambda: Config(environment="production")])
def test_defaults_alone_make_a_tree(build: Callable[[], Config]) -> None:
    assert build().database.password is None
