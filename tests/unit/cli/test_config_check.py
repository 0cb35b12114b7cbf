"""`payd config check` names every mistake in the enabled providers' configuration, all at once."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import pytest
from support.bank import IBAN
from support.forks import run_payd
from support.site import install

from payd.config import read_config

EXAMPLES = Path(__file__).parents[3] / "examples/providers"
PASSWORD = {"DB_PASSWORD": "canary-password", "ENVIRONMENT": "test"}
STRIPE = {
    "STRIPE_ENABLED": "true",
    "STRIPE_SECRET_KEY": "sk_test_canary",
    "STRIPE_WEBHOOK_SECRET": "whsec_canary",
}
TEMPO = {
    "TEMPO_ENABLED": "true",
    "TEMPO_RPC_URL": "https://one.example,https://two.example",
    "TEMPO_CHAIN_ID": "42431",
    "TEMPO_RECEIVER_ADDRESS": "0x" + "ab" * 20,
    "TEMPO_MEMO_KEY": "canary-memo-key",
}
MOCK = {"MOCK_ENABLED": "true"}
ACME = {
    "ACME_ENABLED": "true",
    "ACME_API_KEY": "canary-api-key",
    "ACME_WEBHOOK_SECRET": "canary-secret",
}
SEPA = {
    "SEPA_ENABLED": "true",
    "SEPA_IBAN": IBAN,
    "SEPA_LEDGER_FILE": "/var/lib/payd/sepa.sqlite3",
    "SEPA_STATEMENTS_DIR": "/var/lib/payd/statements",
}
GOOD = {"stripe": STRIPE, "tempo": TEMPO, "mock": MOCK, "acme": ACME, "sepa": SEPA}
PRODUCTION = {
    "ENVIRONMENT": "production",
    "DB_PASSWORD": "",
    "DB_HOST": "localhost",
    "NATS_URL": "nats://localhost",
}


@attrs.frozen
class Mistake:
    """A good configuration of one provider, with one mistake."""

    provider: str
    #: The line that must name it: its key, and part of the reason.
    key: str
    why: str
    changed: Mapping[str, str]
    yaml: str = ""


MISTAKES = [
    # -- stripe
    Mistake("stripe", "secret_key", "missing", {"STRIPE_SECRET_KEY": ""}),
    Mistake("stripe", "webhook_secret", "missing", {"STRIPE_WEBHOOK_SECRET": ""}),
    Mistake("stripe", "secret_key", "must begin with", {"STRIPE_SECRET_KEY": "whsec_canary"}),
    Mistake("stripe", "secret_key", "needs a test key", {"STRIPE_SECRET_KEY": "sk_live_canary"}),
    Mistake("stripe", "webhook_secret", "whsec_", {"STRIPE_WEBHOOK_SECRET": "sk_test_canary"}),
    Mistake("stripe", "secret_key", "by both", {"STRIPE_SECRET_KEY_FILE": "/nowhere/at/all"}),
    Mistake(
        "stripe",
        "secret_key",
        "cannot read",
        {"STRIPE_SECRET_KEY": "", "STRIPE_SECRET_KEY_FILE": "/nowhere/at/all"},
    ),
    Mistake(
        "stripe",
        "secret_key",
        "not allowed in this file",
        {"STRIPE_SECRET_KEY": ""},
        "providers: {stripe: {secret_key: sk_test_canary}}",
    ),
    Mistake("stripe", "session_ttl_minutes", "or equal to 31", {"STRIPE_SESSION_TTL_MINUTES": "5"}),
    Mistake("stripe", "session_ttl_minutes", "integer", {"STRIPE_SESSION_TTL_MINUTES": "1 h"}),
    Mistake("stripe", "currencies.1", "pattern", {"STRIPE_CURRENCIES": "USD,euro"}),
    Mistake("stripe", "currencies.0", "sources disagree", {"STRIPE_CURRENCIES": "UGX"}),
    Mistake("stripe", "currencies", "at least 1", {"STRIPE_CURRENCIES": ","}),
    Mistake(
        "stripe", "sesion_ttl_minutes", "session_ttl_minutes?", {"STRIPE_SESION_TTL_MINUTES": "60"}
    ),
    Mistake("stripe", "requests_per_second", "greater than 0", {"STRIPE_REQUESTS_PER_SECOND": "0"}),
    Mistake("stripe", "api_base", "pattern", {"STRIPE_API_BASE": "api.stripe.com"}),
    Mistake("stripe", "enabled", "true or false", {"STRIPE_ENABLED": "maybe"}),
    # -- tempo
    Mistake("tempo", "receiver_address", "TEMPO_RECEIVER_ADDRESS", {"TEMPO_RECEIVER_ADDRESS": ""}),
    Mistake("tempo", "receiver_address", "lost", {"TEMPO_RECEIVER_ADDRESS": "0x" + "0" * 40}),
    Mistake("tempo", "receiver_address", "pattern", {"TEMPO_RECEIVER_ADDRESS": "0xab"}),
    Mistake("tempo", "rpc_url", "missing", {"TEMPO_RPC_URL": ""}),
    Mistake("tempo", "rpc_url.0", "pattern", {"TEMPO_RPC_URL": "one.example"}),
    Mistake("tempo", "", "twice", {"TEMPO_RPC_URL": "https://a.example,https://a.example"}),
    Mistake("tempo", "", "`rpc_quorum` exceeds", {"TEMPO_RPC_QUORUM": "3"}),
    Mistake("tempo", "chain_id", "integer", {"TEMPO_CHAIN_ID": "mainnet"}),
    Mistake("tempo", "", "no tokens of chain 7", {"TEMPO_CHAIN_ID": "7"}),
    Mistake("tempo", "memo_key", "missing", {"TEMPO_MEMO_KEY": ""}),
    Mistake("tempo", "late_payments", "'complete' or 'hold'", {"TEMPO_LATE_PAYMENTS": "keep"}),
    Mistake("tempo", "tokens.USDC", "TIP-20", {"TEMPO_TOKENS": "USDC=0x" + "ab" * 20}),
    # -- mock
    Mistake("mock", "delay_ms", "or equal to 0", {"MOCK_DELAY_MS": "-5"}),
    Mistake("mock", "failure_rate", "or equal to 1", {"MOCK_FAILURE_RATE": "1.5"}),
    Mistake("mock", "methods.0", "pattern", {"MOCK_METHODS": "Card!"}),
    Mistake("mock", "currencies.0", "pattern", {"MOCK_CURRENCIES": "dollars"}),
    Mistake("mock", "delay", "delay_ms?", {}, "providers: {mock: {delay: 5}}"),
    # -- acme, from outside the tree
    Mistake("acme", "api_key", "missing", {"ACME_API_KEY": ""}),
    Mistake("acme", "webhook_secret", "missing", {"ACME_WEBHOOK_SECRET": ""}),
    Mistake("acme", "expiry_minutes", "or equal to 5", {"ACME_EXPIRY_MINUTES": "1"}),
    Mistake("acme", "request_timeout_s", "or equal to 9", {"ACME_REQUEST_TIMEOUT_S": "30"}),
    # -- sepa, from outside the tree
    Mistake("sepa", "iban", "not an IBAN", {"SEPA_IBAN": IBAN.replace("DE89", "DE98")}),
    Mistake("sepa", "ledger_file", "missing", {"SEPA_LEDGER_FILE": ""}),
    Mistake("sepa", "expiry_days", "or equal to 90", {"SEPA_EXPIRY_DAYS": "365"}),
    Mistake("sepa", "late_payments_complete", "boolean", {"SEPA_LATE_PAYMENTS_COMPLETE": "often"}),
]


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., list[str]]:
    """Run the command; return what it says of providers, and check how it ends."""
    site = tmp_path / "site"
    install(site, "acme", "acme_provider")
    install(site, "sepa", "sepa_provider")

    def run(yaml: str = "", **environment: str) -> list[str]:
        file = tmp_path / "payd.yaml"
        file.write_text(yaml)
        paths = (str(site), str(tmp_path), str(EXAMPLES / "acme"), str(EXAMPLES / "sepa"))
        env = {"PATH": os.environ["PATH"], "PAYD_CONFIG": str(file), **PASSWORD}
        env["PYTHONPATH"] = ":".join(paths)
        ran = run_payd("config", "check", env=env | environment, cwd=tmp_path)
        said = ran.stderr.splitlines()
        assert "canary" not in ran.stderr + ran.stdout
        assert "Traceback" not in ran.stderr
        assert (ran.returncode, ran.stdout) == (
            (78, "") if said else (0, "configuration is valid\n")
        )
        return said

    return run


@pytest.mark.parametrize("provider", GOOD)
def test_a_good_provider_is_said_to_be_good(check: Callable[..., list[str]], provider: str) -> None:
    assert check(**GOOD[provider]) == []


def test_there_are_forty_mistakes() -> None:
    assert len({(one.provider, one.key, one.why) for one in MISTAKES}) == len(MISTAKES) >= 40
    assert {one.provider for one in MISTAKES} == set(GOOD)


@pytest.mark.parametrize("one", MISTAKES, ids=lambda one: f"{one.provider}-{one.key}-{one.why}")
def test_each_mistake_is_named_by_key_place_and_reason(
    check: Callable[..., list[str]], one: Mistake
) -> None:
    [line] = check(one.yaml, **GOOD[one.provider] | dict(one.changed))
    key = ".".join(filter(None, ("providers", one.provider, one.key)))
    assert line.startswith(f"{key} (")
    assert one.why in line
    variable = f"{one.provider}_{one.key.partition('.')[0]}".upper()
    if one.changed.get(variable):
        assert f"(environment {variable})" in line


def test_all_mistakes_are_named_at_once(check: Callable[..., list[str]]) -> None:
    lines = check(
        "providers: {paypal: {enabled: true}}\n",
        **STRIPE
        | {"STRIPE_SECRET_KEY": "", "STRIPE_TOLERANCE_S": "0", "STRIPE_SESSION_TTL_MINUTES": "5"}
        | TEMPO
        | {"TEMPO_MEMO_KEY": "", "TEMPO_CHAIN_ID": ""}
        | MOCK
        | {"MOCK_DELAY_MS": "x", "GRPC_PORT": "many", "DB_PASSWORD": ""},
    )
    assert sorted(line.partition(" ")[0] for line in lines) == [
        "database.password",
        "grpc.port",
        "providers.mock.delay_ms",
        "providers.paypal",
        "providers.stripe.secret_key",
        "providers.stripe.session_ttl_minutes",
        "providers.stripe.tolerance_s",
        "providers.tempo.chain_id",
        "providers.tempo.memo_key",
    ]


def test_a_wheel_that_is_missing_is_named(check: Callable[..., list[str]]) -> None:
    [line] = check("providers:\n  paypal:\n    enabled: true\n")
    assert line.startswith("providers.paypal (")
    assert "payd.yaml:3): is enabled but not installed; install its wheel" in line


@pytest.mark.parametrize("name", ["stripe", "tempo", "mock"])
def test_a_provider_of_payd_without_its_wheel_is_named(name: str) -> None:
    """Its variable is part of every installation's environment file."""
    environ = {**PASSWORD, f"{name.upper()}_ENABLED": "true", f"{name.upper()}_OTHER": "x"}
    config, problems = read_config(environ, installed=())
    assert (list(config.providers.enabled()), problems) == ([name], [])


def test_two_providers_of_one_method_are_named(check: Callable[..., list[str]]) -> None:
    [line] = check(**STRIPE, MOCK_ENABLED="true", MOCK_METHODS="mock,card")
    assert "offers the method 'card', which" in line
    assert "disable one of them, or give it other methods" in line


PLUGIN = """\
from payd.plugins import hookimpl
from stripe_provider import MANIFEST
import attrs

DEFAULTS = dict(name="other", credentials=(), unusable=lambda c, s, e: {unusable})

@hookimpl
def payd_providers():
    return [attrs.evolve(MANIFEST, **(DEFAULTS | dict({more})))]
"""


@pytest.mark.parametrize(
    ("more", "unusable", "why"),
    [
        (
            "sdk='>=2'",
            "()",
            "providers.other (environment OTHER_ENABLED): needs plugin interface >=2",
        ),
        ("sdk='soon'", "()", "its sdk range 'soon' is invalid"),
        ("imports=('no_such_sdk',)", "()", "cannot import no_such_sdk: ModuleNotFoundError"),
        ("credentials=('key',)", "()", "providers.other.key (not set): missing: set key_file"),
        ("", "[('api_base', 'is old')]", "providers.other.api_base (not set): is old"),
        ("", "1 / 0", "cannot check its settings: ZeroDivisionError"),
        ("methods=lambda config: ()", "()", "offers no method"),
        ("for_development=True", "()", "is made for development and refused in production"),
    ],
)
def test_a_plugin_that_does_not_fit_is_named(
    check: Callable[..., list[str]], tmp_path: Path, more: str, unusable: str, why: str
) -> None:
    source = PLUGIN.format(more=more, unusable=unusable)
    install(tmp_path / "site", "other", "other_plugin", source)
    environment = {"OTHER_ENABLED": "true"}
    if "production" in why:
        environment |= PRODUCTION
    lines = check(**environment)
    assert any(why in line for line in lines), lines


def test_what_is_only_for_tests_is_refused_in_production(check: Callable[..., list[str]]) -> None:
    lines = check(**PRODUCTION, **STRIPE, MOCK_ENABLED="true", STRIPE_API_BASE="http://127.0.0.1:1")
    keys = {line.partition(" ")[0] for line in lines}
    assert {"providers.stripe.secret_key", "providers.mock.enabled"} <= keys


def test_credentials_that_may_be_in_vault_are_not_missed(
    check: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "secret-id").write_text("canary")
    vault = {
        "VAULT_ADDR": "https://vault:8200",
        "VAULT_ROLE_ID": "payd",
        "VAULT_SECRET_ID_PATH": str(tmp_path / "secret-id"),
        "VAULT_SECRET_PATH": "secret/payd",
        "DB_PASSWORD": "",
    }
    lines = check(STRIPE_ENABLED="true", STRIPE_TOLERANCE_S="0", **vault)
    assert [line.partition(" ")[0] for line in lines] == ["providers.stripe.tolerance_s"]
