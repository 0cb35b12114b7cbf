"""Bad configurations by the hundred: every setting spoilt in every way that its kind allows."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
from planted_secrets import MARK

from payd.config import SETTINGS, Setting

#: What the test gives by variable, whatever the file says.
_OVERRIDDEN = ("ENVIRONMENT", "GRPC_PORT", "HTTP_PORT", "METRICS_PORT")
#: Read by others than the configuration, or checked below.
_FILES_READ_LATER = ("pricing.file", "vault.secret_id_path", "database.password_file")
#: A plain start on one machine, without which nothing else would be wrong.
GOOD = {"DB_PASSWORD": "canary-password", "ENVIRONMENT": "test"}


@attrs.frozen(kw_only=True)
class Mutation:
    """One mistake."""

    #: For people.
    name: str
    #: What payd must name: a key, a variable, or a file's place.
    key: str
    yaml: str | bytes = ""
    #: The price file; empty is a good one.
    prices: bytes = b""
    environment: Mapping[str, str] = attrs.field(factory=dict)


def mutations(pki: Path) -> list[Mutation]:
    """All of them, in a fixed order; `pki` has good certificates, and takes bad files."""
    bad = _bad_files(pki)
    tls = {
        "GRPC_TLS_CERT_FILE": str(pki / "server.crt"),
        "GRPC_TLS_KEY_FILE": str(pki / "server.key"),
        "GRPC_TLS_CA_FILE": str(pki / "ca.crt"),
    }
    made = [
        *_of_settings(),
        *_of_the_file(),
        *_of_prices(),
        *_of_providers(bad),
        *_of_secret_files(bad),
        *_of_files_of_another_kind(bad),
        *_of_addresses(),
        *_between_settings(pki),
        *_of_production(pki),
    ]
    return [attrs.evolve(one, environment=tls | GOOD | dict(one.environment)) for one in made]


def _of_settings() -> Iterator[Mutation]:
    """Each one, by file and by variable."""
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
                for shape in ("{nested: {deeper: 1}}", _of_another_type(setting)):
                    yield Mutation(
                        name=f"{setting.key}: {shape}",
                        key=setting.key,
                        yaml=_yaml(setting.key, shape),
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


def _of_another_type(setting: Setting) -> str:
    """As YAML has it: what a person writes who takes one type for another."""
    match setting.kind:
        case "integer":
            return random.Random(setting.key).choice(
                ("'10'", "10.5", "true", "[10]", "0x10", "10s")
            )
        case "number":
            return random.Random(setting.key).choice(("'10'", ".nan", ".inf", "true", "[10]", "5s"))
        case "switch":
            return random.Random(setting.key).choice(("'true'", "yes", "1", "[true]"))
        case _:
            return random.Random(setting.key).choice(("10", "1.5", "true", "[[10]]"))


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


def _of_prices() -> Iterator[Mutation]:
    head, chain = "currency: USD\nprices:\n", "  ethereum-mainnet:\n"
    price = "prices.ethereum-mainnet.full.30d"
    node = "prices.ethereum-mainnet.full"
    for name, text, key in (
        ("only a currency", "currency: USD", "prices"),
        ("no currency", f"prices:\n{chain}    full: {{30d: 5}}", "currency"),
        ("a list of prices", f"{head}  - 5", "prices"),
        ("no prices", f"{head}", "prices"),
        ("a chain without nodes", f"{head}  ethereum-mainnet:", "prices.ethereum-mainnet"),
        ("a node without durations", f"{head}{chain}    full:", node),
        ("a node with one price", f"{head}{chain}    full: 5", node),
        ("a list of durations", f"{head}{chain}    full: [5]", node),
        ("not closed", f"{head}{chain}    full: {{30d: 5", "pricing.yaml:"),
        ("a tab", f"{head}\tethereum-mainnet:", "pricing.yaml:3"),
        ("wrong indentation", f"{head}{chain} full: {{30d: 5}}", "pricing.yaml:4"),
        ("an unknown key", f"{head}{chain}    full: {{30d: 5}}\ndiscount: 5", "discount"),
        ("a duration twice", f"{head}{chain}    full: {{30d: 5, 30d: 6}}", price),
        ("a node twice", f"{head}{chain}    full: {{30d: 5}}\n    full: {{30d: 6}}", node),
        ("an anchor", f"{head}{chain}    full: &a {{30d: 5}}\n    archive: *a", node),
        ("two documents", f"{head}{chain}    full: {{30d: 5}}\n---\n{head}", "pricing.yaml:5"),
        ("a name in capitals", f"{head}  Ethereum:\n    full: {{30d: 5}}", "prices.Ethereum"),
        ("a name with a blank", f"{head}  a b:\n    full: {{30d: 5}}", "prices.a b"),
        ("a long name", f"{head}  {'a' * 65}:\n    full: {{30d: 5}}", f"prices.{'a' * 65}"),
        ("a number for a name", f"{head}  42:\n    full: {{30d: 5}}", "pricing.yaml:3"),
        ("NUL", f"{head}{chain}    full: {{30d: \0}}", "pricing.yaml:"),
        ("another program's file", "[section]\nkey = 1\n", "pricing.yaml:"),
    ):
        yield Mutation(name=f"prices: {name}", key=key, prices=text.encode())
    for currency in ("usd", "USX", "BTC", "840", "true", "'US D'", "[USD]", "~", "$"):
        text = f"currency: {currency}\nprices:\n{chain}    full: {{30d: 5}}"
        yield Mutation(name=f"prices in {currency}", key="currency", prices=text.encode())
    for amount in (
        *("0", "-1", "149.00", "149,00", "'14900'", "1e3", "010", "0x10", "1_000", "$5"),
        *("true", "~", "[5]", "{a: 5}", "99999999999999999999", "!!int 5", "5 USD", ".inf"),
    ):
        text = f"{head}{chain}    full:\n      30d: {amount}"
        yield Mutation(name=f"a price of {amount}", key=price, prices=text.encode())
    for name, content in (
        ("Latin-1", b"currency: USD # caf\xe9"),
        ("empty", b"\n"),
        ("a megabyte", b"#" * (1024 * 1024 + 1)),
        ("binary", b"\x7fELF\x02\x01\x01\0"),
    ):
        yield Mutation(name=f"prices: {name}", key="pricing", prices=content)


_STRIPE = {
    "STRIPE_ENABLED": "true",
    "STRIPE_SECRET_KEY": f"sk_test_{MARK}_key",
    "STRIPE_WEBHOOK_SECRET": f"whsec_{MARK}_webhook",
    "PAYD_PROVIDERS_FAILURE_MODE": "strict",
}
_TEMPO = {
    "TEMPO_ENABLED": "true",
    "TEMPO_CHAIN_ID": "42431",
    "TEMPO_RECEIVER_ADDRESS": "0x" + "5e" * 20,
    "TEMPO_RPC_URL": "https://one.example,https://two.example",
    "TEMPO_MEMO_KEY": "ca7a97" * 10 + "7f3a",
    "PAYD_PROVIDERS_FAILURE_MODE": "strict",
}
_MOCK = {"MOCK_ENABLED": "true", "PAYD_PROVIDERS_FAILURE_MODE": "strict"}


def _of_providers(bad: Mapping[str, str]) -> Iterator[Mutation]:
    wrong: tuple[tuple[dict[str, str], str, tuple[str, ...]], ...] = (
        (_STRIPE, "CURRENCIES", ("usd", ",", "USD,EURO")),
        (_STRIPE, "SESSION_TTL_MINUTES", ("30", "1440", "an hour")),
        (_STRIPE, "REQUESTS_PER_SECOND", ("0", "-1", "inf")),
        (_STRIPE, "REQUEST_TIMEOUT_S", ("0", "nan", "4s")),
        (_STRIPE, "TOLERANCE_S", ("0", "86400")),
        (_STRIPE, "API_BASE", ("api.stripe.com", "ftp://api.stripe.com", "https://a/b c")),
        (_STRIPE, "API_VERSION", ("2024-01-01",)),
        (_TEMPO, "CHAIN_ID", ("0", "-1", "mainnet", "9223372036854775808")),
        (_TEMPO, "RECEIVER_ADDRESS", ("0x5e", "5e" * 20, "0x" + "00" * 20, "0x" + "zz" * 20)),
        (_TEMPO, "RPC_URL", (",", "rpc.example", "https://one.example,wss://two.example")),
        (_TEMPO, "RPC_QUORUM", ("0", "two")),
        (_TEMPO, "TOKENS", ("USDC", "usdc=0x20c0", f"USDC=0x{'5e' * 20}")),
        (_TEMPO, "WATCHED_TOKENS", ("0x" + "5e" * 20,)),
        (_TEMPO, "PAYMENT_TTL_MINUTES", ("4", "1441")),
        (_TEMPO, "POLL_INTERVAL_S", ("0", "61")),
        (_TEMPO, "START_BLOCK", ("-1", "latest")),
        (_TEMPO, "LATE_PAYMENTS", ("refund",)),
        (_TEMPO, "PRIVATE_KEY", (f"{MARK}-nobody-asked",)),
        (_MOCK, "METHODS", (",", "Mock", "mock,a b")),
        (_MOCK, "FAILURE_RATE", ("1.1", "half")),
        (_MOCK, "DELAY_MS", ("-1", "soon")),
        (_MOCK, "SEED", ("pi",)),
        (_MOCK, "BASE_URL", ("mock.invalid",)),
        (_MOCK, "ALLOW_IN_PRODUCTION", ("maybe",)),
        (_MOCK, "ENABLED", ("maybe",)),
    )
    for good, name, values in wrong:
        provider = next(iter(good)).partition("_")[0]
        for value in values:
            yield Mutation(
                name=f"{provider}_{name}={value[:40]}",
                key=f"providers.{provider.lower()}.{name.lower()}",
                environment=good | {f"{provider}_{name}": value},
            )
    # Rules between settings name the settings in what they say.
    twice = "https://one.example,https://one.example"
    for name, key, value in (
        ("RPC_QUORUM", "rpc_quorum", "3"),
        ("RPC_URL", "rpc_url", twice),
        ("CHAIN_ID", "tokens", "77"),
        ("TOKENS", "Tempo has no ETH", f"ETH=0x20c0{'0' * 36}"),
    ):
        environment = _TEMPO | {f"TEMPO_{name}": value}
        yield Mutation(name=f"TEMPO_{name} against others", key=key, environment=environment)
    for good, credential in (
        (_STRIPE, "STRIPE_SECRET_KEY"),
        (_STRIPE, "STRIPE_WEBHOOK_SECRET"),
        (_TEMPO, "TEMPO_MEMO_KEY"),
    ):
        provider, _, setting = credential.lower().partition("_")
        key = f"providers.{provider}.{setting}"
        yield Mutation(name=f"no {credential}", key=key, environment=good | {credential: ""})
        for kind, path in bad.items():
            if kind in ("missing", "a folder", "empty", "Latin-1", "too large"):
                environment = good | {credential: "", f"{credential}_FILE": path}
                yield Mutation(name=f"{credential}_FILE: {kind}", key=key, environment=environment)
        yield Mutation(
            name=f"{credential} twice",
            key=key,
            environment=good | {f"{credential}_FILE": bad["not PEM"]},
        )
        yield Mutation(
            name=f"production: {credential} in the environment",
            key=key,
            environment=good
            | {"ENVIRONMENT": "production", "DB_PASSWORD": "", "DB_PASSWORD_FILE": bad["good"]},
        )


def _bad_files(folder: Path) -> dict[str, str]:
    """Files that cannot be what they are given for, by what is wrong with them."""
    contents = {
        "good": f"{MARK}-good-password".encode(),
        "empty": b"\n\n",
        "Latin-1": f"{MARK}-caf\xe9".encode("latin-1"),
        "two lines": f"{MARK}-one\n{MARK}-two".encode(),
        "too large": MARK.encode() * 200_000,
        "not PEM": f"{MARK} is neither certificate nor key".encode(),
    }
    for kind, content in contents.items():
        (folder / kind.replace(" ", "-")).write_bytes(content)
    return {
        "missing": "/nowhere/at/all",
        "a folder": str(folder),
        **{kind: str(folder / kind.replace(" ", "-")) for kind in contents},
    }


def _of_secret_files(bad: Mapping[str, str]) -> Iterator[Mutation]:
    for variable, key in (
        ("DB_PASSWORD", "database.password"),
        ("REDIS_PASSWORD", "redis.password"),
        ("NATS_ACCOUNT_SIGNING_SEED", "nats.account_signing_seed"),
    ):
        for kind in ("missing", "a folder", "empty", "Latin-1", "two lines", "too large"):
            yield Mutation(
                name=f"{variable}_FILE: {kind}",
                key=f"{key}_file",
                environment={variable: "", f"{variable}_FILE": bad[kind]},
            )
        section, _, name = key.partition(".")
        yield Mutation(
            name=f"{key} in the file", key=key, yaml=f"{section}: {{{name}: {MARK}-in-the-file}}"
        )
        yield Mutation(
            name=f"{variable} twice",
            key=key,
            environment={variable: f"{MARK}-first", f"{variable}_FILE": bad["good"]},
        )


def _of_files_of_another_kind(bad: Mapping[str, str]) -> Iterator[Mutation]:
    """They can be read, and are not what they should be."""
    vault = {
        "VAULT_ADDR": "https://vault:8200",
        "VAULT_ROLE_ID": "payd",
        "VAULT_SECRET_ID_PATH": bad["good"],
        "VAULT_SECRET_PATH": "secret/payd",
    }
    for variable, key, more in (
        ("PAYD_DATABASE_SSL_ROOT_CERT_FILE", "database", {"DB_SSL_MODE": "verify-full"}),
        ("PAYD_NATS_TLS_CA_FILE", "nats", {"NATS_URL": "tls://nats:4222"}),
        ("VAULT_TLS_CA_FILE", "vault", vault),
        ("GRPC_TLS_CERT_FILE", "grpc", {}),
        ("GRPC_TLS_KEY_FILE", "grpc", {}),
        ("GRPC_TLS_CA_FILE", "grpc", {}),
    ):
        setting = variable.lower().removeprefix("payd_").removeprefix(f"{key}_")
        # Of the door's three files any may be named: they are tried together.
        named = f"{key}.{setting}" if key != "grpc" else "grpc.tls_cert_file"
        for kind in ("not PEM", "empty", "a folder"):
            environment = {**more, variable: bad[kind]}
            where = f"{key}.{setting}" if kind == "a folder" else named
            yield Mutation(name=f"{variable}: {kind}", key=where, environment=environment)
    yield Mutation(
        name="a seed that is none",
        key="nats.account_signing_seed",
        environment={"NATS_ACCOUNT_SIGNING_SEED": f"{MARK}-no-seed"},
    )
    yield Mutation(
        name="credentials that are none",
        key="nats.credentials_file",
        environment={"PAYD_NATS_CREDENTIALS_FILE": bad["not PEM"]},
    )


def _of_addresses() -> Iterator[Mutation]:
    for url in (
        *("localhost", "http://nats:4222", "nats://", "nats://a b", "nats://a,nats", "nats:4222"),
        *("nats://nats:99999", "nats://nats:port", f"amqp://payd:{MARK}@nats", "nats://:4222"),
        *(f"nats://payd:{MARK}@", f"nats://payd:{MARK}@nats:x", f"http://payd:{MARK}@nats:4222"),
    ):
        yield Mutation(name=f"NATS_URL={url}", key="nats.url", environment={"NATS_URL": url})
    for addr in ("localhost", ":6379", "redis:99999", "redis:", f"redis://:{MARK}@redis:x"):
        environment = {"REDIS_ADDR": addr}
        yield Mutation(name=f"REDIS_ADDR={addr}", key="redis.addr", environment=environment)
    for variable, key in (
        ("DB_HOST", "database.host"),
        ("PAYD_GRPC_HOST", "grpc.host"),
        ("PAYD_HTTP_HOST", "http.host"),
        ("PAYD_METRICS_HOST", "metrics.host"),
    ):
        for host in ("a b", "a,b", "http://a", "10.0.0.999:80"):
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
