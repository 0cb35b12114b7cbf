"""Invalid configurations by the hundred: every setting with every mistake that its kind allows."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from payd.config import SETTINGS, Setting

#: Settings that the test passes as variables, whatever the file contains.
_OVERRIDDEN = ("ENVIRONMENT", "GRPC_PORT", "HTTP_PORT", "METRICS_PORT")
#: Settings that are not read by the configuration, or are checked below.
_FILES_READ_LATER = ("pricing.file", "vault.secret_id_path", "database.password_file")
#: A valid configuration on one machine, so that the mutation is the only mistake.
GOOD = {"DB_PASSWORD": "canary-password", "ENVIRONMENT": "test"}


@attrs.frozen(kw_only=True)
class Mutation:
    """One mistake in the configuration."""

    #: Description for the test's output.
    name: str
    #: What payd's error must name: a key, a variable, or a position in the file.
    key: str
    yaml: str = ""
    environment: Mapping[str, str] = attrs.field(factory=dict)


def mutations(pki: Path) -> list[Mutation]:
    """Return all mutations in a fixed order; `pki` has valid certificates."""
    tls = {
        "GRPC_TLS_CERT_FILE": str(pki / "server.crt"),
        "GRPC_TLS_KEY_FILE": str(pki / "server.key"),
        "GRPC_TLS_CA_FILE": str(pki / "ca.crt"),
    }
    made = [
        *_of_settings(),
        *_of_the_file(),
        *_of_addresses(),
        *_between_settings(pki),
        *_of_production(pki),
    ]
    return [attrs.evolve(one, environment=tls | GOOD | dict(one.environment)) for one in made]


def _of_settings() -> Iterator[Mutation]:
    """Yield each mutation twice: in the file and as a variable."""
    for setting in SETTINGS:
        if ".NAME." in setting.key:
            continue
        for number, text in enumerate(_spoilt(setting)):
            yield Mutation(
                name=f"{setting.env}={text[:30]}",
                key=setting.key,
                environment={setting.env: text},
            )
            by_file = setting.kind not in ("secret", "file") and setting.env not in _OVERRIDDEN
            if number == 0 and by_file:
                yield Mutation(
                    name=f"{setting.key}: a mapping",
                    key=setting.key,
                    yaml=_yaml(setting.key, "{nested: {deeper: 1}}"),
                )
        if setting.key.count("."):
            typo = _mistyped(setting.key)
            yield Mutation(name=f"{typo}: typo", key=typo, yaml=_yaml(typo, "1"))


def _spoilt(setting: Setting) -> Iterator[str]:
    match setting.kind:
        case "integer" | "number":
            yield from ("many", "-1", "1e99999", "99999999999999")
        case "switch":
            yield "perhaps"
        case "choice":
            yield "none-of-them"
        case "file":
            if setting.key not in _FILES_READ_LATER:
                yield "/nowhere/at/all"
        case "text" if setting.form:
            yield from (" , ", "\t!")


def _yaml(key: str, value: str) -> str:
    section, _, name = key.partition(".")
    return f"{section}: {{{name}: {value}}}" if name else f"{section}: {value}"


def _mistyped(key: str) -> str:
    section, _, name = key.rpartition(".")
    seeded = random.Random(key)
    at = seeded.randrange(len(name))
    return f"{section}.{name[:at]}q{name[at:]}"


def _of_the_file() -> Iterator[Mutation]:
    for name, yaml, key in (
        ("not closed", "log: [", "payd.yaml:2"),
        ("a tab", "log:\n\tlevel: info", "payd.yaml:2"),
        ("a list", "- log", "top level"),
        ("a number", "42", "top level"),
        ("twice", "log: {level: info}\nlog: {level: debug}", "log"),
        ("an alias", "log: &a {level: info}\nhttp: *a", "log"),
        ("a tag", "log: {level: !!python/object:os.system info}", "log"),
        ("two documents", "log: {}\n---\nlog: {}", "top level"),
        ("a section that is none", "loging: {level: info}", "loging"),
        ("a seed in the file", "nats: {account_signing_seed: SA}", "nats.account_signing_seed"),
        ("a provider without mapping", "providers: {stripe: yes}", "providers.stripe"),
        ("a provider of no name", "providers: {Stripe!: {}}", "providers.Stripe!"),
        (
            "a provider not installed",
            "providers: {failure_mode: strict, paypal: {enabled: true}}",
            "paypal",
        ),
        ("a switch that is none", "providers: {mock: {enabled: 1}}", "providers.mock.enabled"),
        (
            "a provider's unknown key",
            "providers: {failure_mode: strict, mock: {enabled: true, delay: 5}}",
            "providers.mock.delay",
        ),
        (
            "a provider's bad value",
            "providers: {failure_mode: strict, mock: {enabled: true, delay_ms: -5}}",
            "providers.mock.delay_ms",
        ),
        (
            "cards without a key",
            "providers: {stripe: {enabled: true}}",
            "providers.stripe.secret_key",
        ),
        (
            "cards with a key in the file",
            "providers: {stripe: {enabled: true, secret_key: canary-key, webhook_secret: x}}",
            "providers.stripe.secret_key",
        ),
        (
            "a chain without its settings",
            "providers: {failure_mode: strict, tempo: {enabled: true, memo_key_file: /dev/null}}",
            "providers.tempo",
        ),
    ):
        yield Mutation(name=name, yaml=yaml, key=key)


def _of_addresses() -> Iterator[Mutation]:
    for variable, key in (
        ("DB_HOST", "database.host"),
        ("PAYD_GRPC_HOST", "grpc.host"),
        ("PAYD_HTTP_HOST", "http.host"),
        ("PAYD_METRICS_HOST", "metrics.host"),
    ):
        for host in ("a b", "a,b", "http://a", "10.0.0.9:80", "postgres://payd:canary@db/payd"):
            yield Mutation(name=f"{variable}={host}", key=key, environment={variable: host})
    for addr in ("vault:8200", "ftp://vault", "https://", "https://vault:99999"):
        environment = {
            "VAULT_ADDR": addr,
            "VAULT_ROLE_ID": "payd",
            "VAULT_SECRET_ID_PATH": "/run/secret-id",
            "VAULT_SECRET_PATH": "secret/payd",
        }
        yield Mutation(name=f"VAULT_ADDR={addr}", key="vault.addr", environment=environment)


def _between_settings(pki: Path) -> Iterator[Mutation]:
    vault = {
        "VAULT_ADDR": "https://vault:8200",
        "VAULT_ROLE_ID": "payd",
        "VAULT_SECRET_ID_PATH": "/run/secret-id",
        "VAULT_SECRET_PATH": "secret/payd",
    }
    for variable in vault:
        missing = {name: "" if name == variable else value for name, value in vault.items()}
        key = f"vault.{variable.removeprefix('VAULT_').lower()}"
        yield Mutation(name=f"Vault without {variable}", key=key, environment=missing)
    for name, key, environment in (
        ("no password", "database.password", {"DB_PASSWORD": ""}),
        (
            "a password's file that is none",
            "database.password_file",
            {"DB_PASSWORD": "", "DB_PASSWORD_FILE": "/nowhere/at/all"},
        ),
        ("two passwords", "database.password", {"DB_PASSWORD_FILE": str(pki / "ca.crt")}),
        ("two ports", "http.port", {"HTTP_PORT": "7001", "GRPC_PORT": "7001"}),
        ("an unknown variable", "PAYD_GRPC_PROT", {"PAYD_GRPC_PROT": "1"}),
        ("an unknown variable of a section", "PAYD_OUTBOX_X", {"PAYD_OUTBOX_X": "1"}),
        ("no key", "grpc.tls_key_file", {"GRPC_TLS_KEY_FILE": ""}),
        ("no certificate", "grpc.tls_cert_file", {"GRPC_TLS_CERT_FILE": ""}),
        ("another's key", "tls_cert_file", {"GRPC_TLS_KEY_FILE": str(pki / "client.key")}),
        ("a key for a certificate", "tls_cert_file", {"GRPC_TLS_CERT_FILE": str(pki / "ca.key")}),
        ("a key for a CA", "tls_cert_file", {"GRPC_TLS_CA_FILE": str(pki / "client.key")}),
        ("no prices", "pricing.file", {"PRICING_FILE": "/nowhere/pricing.yaml"}),
        ("prices that are none", "ca.crt", {"PRICING_FILE": str(pki / "ca.crt")}),
        ("a crash point of no name", "crash_at", {"PAYD_CRASH_AT": "initiate.never"}),
        (
            "timeouts the wrong way",
            "statement_timeout_ms",
            {"PAYD_DATABASE_COMMAND_TIMEOUT_S": "1"},
        ),
        (
            "two who take cards",
            "stripe",
            {
                "MOCK_ENABLED": "true",
                "MOCK_METHODS": "card",
                "STRIPE_ENABLED": "true",
                "STRIPE_SECRET_KEY": "sk_test_canary",
                "STRIPE_WEBHOOK_SECRET": "whsec_canary",
                "PAYD_PROVIDERS_FAILURE_MODE": "strict",
            },
        ),
    ):
        yield Mutation(name=name, key=key, environment=environment)


def _of_production(pki: Path) -> Iterator[Mutation]:
    production = {
        "ENVIRONMENT": "production",
        "DB_PASSWORD": "",
        "DB_PASSWORD_FILE": str(pki / "password"),
    }
    for name, key, environment in (
        ("a password in the environment", "database.password", {"DB_PASSWORD": "canary-x"}),
        (
            "no TLS to the database",
            "database.ssl_mode",
            {"DB_SSL_MODE": "disable", "DB_HOST": "db"},
        ),
        ("a mock", "providers.mock.enabled", {"MOCK_ENABLED": "true"}),
        ("a crash point", "crash_at", {"PAYD_CRASH_AT": "settle.before_commit"}),
        (
            "a seed in the environment",
            "nats.account_signing_seed",
            {"NATS_ACCOUNT_SIGNING_SEED": "canary-seed"},
        ),
        (
            "Vault without TLS",
            "vault.addr",
            {
                "VAULT_ADDR": "http://vault:8200",
                "VAULT_ROLE_ID": "payd",
                "VAULT_SECRET_ID_PATH": str(pki / "password"),
                "VAULT_SECRET_PATH": "secret/payd",
            },
        ),
    ):
        yield Mutation(name=f"production: {name}", key=key, environment=production | environment)
