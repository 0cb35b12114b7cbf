"""A bad configuration: every mistake is refused, with its key and its place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payd.config import (
    EXIT_BAD_CONFIGURATION,
    ConfigError,
    load_config,
    unencrypted_connections,
)

from .builders import MINIMAL, TLS, VAULT, load, production, refusals

#: Content of the file, environment, and the key that the refusal must name.
BROKEN: list[tuple[str, dict[str, str], str]] = [
    # the file itself
    ("- a\n- b", {}, "(top level)"),
    ("environment: [", {}, "(syntax)"),
    ("log: {level: info}\nlog: {level: debug}", {}, "log"),
    ("log:\n  level: info\n  level: debug", {}, "log.level"),
    ("log: &a {level: info}", {}, "log"),
    ("log: {level: !!str info}", {}, "log.level"),
    ("1: {level: info}", {}, "(top level)"),
    ("log: {level: info}\n---\nlog: {}", {}, "(top level)"),
    # keys that nobody knows
    ("databse: {host: x}", {}, "databse"),
    ("Database: {host: x}", {}, "Database"),
    ("port: 5", {}, "port"),
    ("database: {hots: x}", {}, "database.hots"),
    ("grpc: {tls: {cert: x}}", {}, "grpc.tls"),
    ("outbox: {retention: 40}", {}, "outbox.retention"),
    ("", {"PAYD_OUTBOX_RETENTION": "40"}, "PAYD_OUTBOX_RETENTION"),
    ("", {"PAYD_DATABASE_HOST": "x"}, "PAYD_DATABASE_HOST"),
    ("", {"PAYD_OUTBX_LEASE_S": "40"}, "PAYD_OUTBX_LEASE_S"),
    ("", {"PAYD_CRASHAT": "x"}, "PAYD_CRASHAT"),
    # sections that are none
    ("log: info", {}, "log"),
    ("database: [host]", {}, "database"),
    ("providers: [mock]", {}, "providers"),
    ("providers: {mock: true}", {}, "providers.mock"),
    ("providers: {failure_mod: strict}", {}, "providers.failure_mod"),
    # a collector of spans
    ("tracing: {endpoint: localhost:4318}", {}, "tracing.endpoint"),
    ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:word@host"}, "tracing.endpoint"),
    ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://"}, "tracing.endpoint"),
    # values of another type
    ("environment: 5", {}, "environment"),
    ("environment:", {}, "environment"),
    ("database: {host: 5}", {}, "database.host"),
    ("database: {host: ''}", {}, "database.host"),
    ("database: {port: '5432'}", {}, "database.port"),
    ("database: {port: 5432.0}", {}, "database.port"),
    ("database: {port: true}", {}, "database.port"),
    ("database: {port: 0o12}", {}, "database.port"),
    ("database: {port: [5432]}", {}, "database.port"),
    ("database:\n  port:", {}, "database.port"),
    ("database: {name: 2026}", {}, "database.name"),
    ("database: {user: ''}", {}, "database.user"),
    ("database: {command_timeout_s: 3s}", {}, "database.command_timeout_s"),
    ("database: {command_timeout_s: .nan}", {}, "database.command_timeout_s"),
    ("nats: {create_stream: 'yes'}", {}, "nats.create_stream"),
    ("nats: {create_stream: 1}", {}, "nats.create_stream"),
    ("grpc: {allowed_cns: main-app}", {}, "grpc.allowed_cns"),
    ("grpc: {allowed_cns: [main-app, 5]}", {}, "grpc.allowed_cns"),
    ("grpc: {tls_cert_file: 5}", {}, "grpc.tls_cert_file"),
    ("pricing: {file: [a]}", {}, "pricing.file"),
    ("providers: {mock: {enabled: 1}}", {}, "providers.mock.enabled"),
    ("providers: {mock: {enabled: 'true'}}", {}, "providers.mock.enabled"),
    ("", {"DB_PORT": "5432x"}, "database.port"),
    ("", {"DB_PORT": "5e3"}, "database.port"),
    ("", {"HTTP_PORT": "tcp://10.0.0.1:80"}, "http.port"),
    ("", {"PAYD_NATS_CREATE_STREAM": "maybe"}, "nats.create_stream"),
    ("", {"PAYD_OUTBOX_LEASE_S": "inf"}, "outbox.lease_s"),
    ("", {"MOCK_ENABLED": "maybe"}, "providers.mock.enabled"),
    # values out of bounds
    ("environment: prod", {}, "environment"),
    ("log: {level: trace}", {}, "log.level"),
    ("log: {format: xml}", {}, "log.format"),
    ("database: {port: 0}", {}, "database.port"),
    ("database: {port: 65536}", {}, "database.port"),
    ("database: {ssl_mode: allow}", {}, "database.ssl_mode"),
    ("database: {pool_size: 0}", {}, "database.pool_size"),
    ("database: {acquire_timeout_s: 0}", {}, "database.acquire_timeout_s"),
    ("database: {acquire_timeout_s: -1}", {}, "database.acquire_timeout_s"),
    ("database: {acquire_timeout_s: 1e9}", {}, "database.acquire_timeout_s"),
    ("redis: {addr: localhost}", {}, "redis.addr"),
    ("nats: {url: 'localhost:4222'}", {}, "nats.url"),
    ("nats: {url: 'nats://a:1, nats://b:1'}", {}, "nats.url"),
    ("nats: {stream: 'pay.ments'}", {}, "nats.stream"),
    ("nats: {in_flight: 0}", {}, "nats.in_flight"),
    ("grpc: {port: -1}", {}, "grpc.port"),
    ("grpc: {allowed_cns: []}", {}, "grpc.allowed_cns"),
    ("grpc: {allowed_cns: ['']}", {}, "grpc.allowed_cns"),
    ("", {"GRPC_ALLOWED_CNS": " , "}, "grpc.allowed_cns"),
    ("", {"GRPC_OPERATOR_CNS": "alice,a/b"}, "grpc.operator_cns"),
    ("grpc: {operator_cns: ['']}", {}, "grpc.operator_cns"),
    # `operator:console/NAME` is who works in the console, also while it is off.
    ("grpc: {operator_cns: [console]}", {}, "grpc.operator_cns"),
    ("", {"GRPC_OPERATOR_CNS": "alice,Console"}, "grpc.operator_cns"),
    ("", {"GRPC_OPERATOR_CNS": "console", "PAYD_CONSOLE_ENABLED": "false"}, "grpc.operator_cns"),
    ("", {"GRPC_ALLOWED_CNS": "main-app,Recovery"}, "grpc.allowed_cns"),
    ("grpc: {max_message_bytes: 99999999999}", {}, "grpc.max_message_bytes"),
    ("outbox: {retention_days: 29}", {}, "outbox.retention_days"),
    ("payments: {quote_ttl_s: 0}", {}, "payments.quote_ttl_s"),
    ("", {"PAYD_PAYMENTS_QUOTE_KEY": "short"}, "payments.quote_key"),
    (f"payments: {{quote_key: {'k' * 32}}}", {}, "payments.quote_key"),
    (f"payments: {{quote_key: [{'k' * 32}]}}", {}, "payments.quote_key"),
    ("", {"PAYD_AUDIT_SIGNING_KEY": "ab" * 31}, "audit.signing_key"),
    ("providers: {failure_mode: lenient}", {}, "providers.failure_mode"),
    ("", {"PAYD_CRASH_AT": "after the insert"}, "crash_at"),
    # settings that do not go together
    ("database: {statement_timeout_ms: 3000}", {}, "database.statement_timeout_ms"),
    ("database: {lock_timeout_ms: 1000}", {}, "database.lock_timeout_ms"),
    ("http: {port: 9086}", {}, "metrics.port"),
    ("", {"HTTP_PORT": "50051"}, "http.port"),
    ("grpc: {tls_cert_file: payd.yaml}", {}, "grpc.tls_key_file"),
    # files that are not there
    ("grpc: {tls_ca_file: nothing.crt}", {}, "grpc.tls_ca_file"),
    ("database: {ssl_root_cert_file: .}", {}, "database.ssl_root_cert_file"),
    ("database: {password_file: nothing}", {"DB_PASSWORD": ""}, "database.password_file"),
    ("redis: {password_file: .}", {}, "redis.password_file"),
    # secrets
    ("", {"DB_PASSWORD": ""}, "database.password"),
    ("database: {password: hunter2}", {"DB_PASSWORD": ""}, "database.password"),
    ("redis: {password: 12345}", {}, "redis.password"),
    ("", {"DB_PASSWORD_FILE": "/etc/hostname"}, "database.password"),
    ("database: {password_file: payd.yaml} #\n#", {"DB_PASSWORD": ""}, "database.password_file"),
    # providers' names
    ("providers: {Stripe: {}}", {}, "providers.Stripe"),
    ("providers: {grpc: {}}", {}, "providers.grpc"),
    ("providers: {db: {}}", {}, "providers.db"),
    # Vault: half of what it takes is a mistake
    *(
        ("", {**VAULT, "VAULT_TLS_CA_FILE": "", name: ""}, f"vault.{name[6:].lower()}")
        for name in VAULT
        if name != "VAULT_TLS_CA_FILE"
    ),
    ("", VAULT, "vault.tls_ca_file"),
    ("vault: {addr: vault}", {}, "vault.addr"),
    ("", {**VAULT, "VAULT_TLS_CA_FILE": "", "VAULT_SECRET_PATH": "payd"}, "vault.secret_path"),
    # an identity at NATS: one only, and whole
    ("nats: {account: payd}", {}, "nats.account"),
    ("nats: {account_key_is_scoped: true}", {}, "nats.account"),
    ("nats: {credentials_file: /nowhere/payd.creds}", {}, "nats.credentials_file"),
    ("nats: {account_signing_seed: SA}", {}, "nats.account_signing_seed"),
]


@pytest.mark.parametrize(("yaml", "environ", "key"), BROKEN)
def test_a_broken_configuration_names_its_key_and_place(
    yaml: str, environ: dict[str, str], key: str, tmp_path: Path
) -> None:
    problems = refusals(tmp_path, yaml, **environ)
    (problem,) = [problem for problem in problems if problem.key == key]
    assert problem.what
    assert problem.where == "not set" or problem.where.startswith(
        (f"{tmp_path / 'payd.yaml'}:", "environment ", "default")
    )


#: What production refuses: overrides of a good environment, the file, and the key named.
REFUSED_IN_PRODUCTION: list[tuple[dict[str, str], str, str]] = [
    *(({name: ""}, "", f"grpc.{name[5:].lower()}") for name in TLS),
    ({"GRPC_TLS_KEY_FILE": "/nowhere/server.key"}, "", "grpc.tls_key_file"),
    ({"DB_SSL_MODE": "disable", "DB_HOST": "db.internal"}, "", "database.ssl_mode"),
    ({"DB_SSL_MODE": "disable", "DB_HOST": "10.0.0.5"}, "", "database.ssl_mode"),
    ({"DB_SSL_MODE": "prefer", "DB_HOST": "db.internal"}, "", "database.ssl_mode"),
    ({"DB_HOST": "db.internal"}, "", "database.ssl_mode"),
    ({"DB_HOST": "127.0.0.1.evil.example"}, "", "database.ssl_mode"),
    ({"NATS_URL": "nats://nats.internal:4222"}, "", "nats.url"),
    ({"NATS_URL": "tls://a:4222,nats://user:canary@b:4222"}, "", "nats.url"),
    ({"NATS_URL": "nats://127.0.0.1:4222,nats://[2001:db8::1]:4222"}, "", "nats.url"),
    ({"DB_PASSWORD": "canary", "DB_PASSWORD_FILE": ""}, "", "database.password"),
    ({"REDIS_PASSWORD": "canary"}, "", "redis.password"),
    ({"DB_PASSWORD_FILE": ""}, "", "database.password"),
    ({"PAYD_CRASH_AT": "initiate.inserted"}, "", "crash_at"),
    ({**VAULT, "VAULT_TLS_CA_FILE": "", "VAULT_ADDR": "http://vault"}, "", "vault.addr"),
    ({"NATS_ACCOUNT_SIGNING_SEED": "canary"}, "", "nats.account_signing_seed"),
    ({"MOCK_ENABLED": "true"}, "", "providers.mock.enabled"),
    ({}, "providers: {mock: {enabled: true}}", "providers.mock.enabled"),
]


@pytest.mark.parametrize(("environ", "yaml", "key"), REFUSED_IN_PRODUCTION)
def test_production_refuses_what_is_for_development(
    environ: dict[str, str], yaml: str, key: str, tmp_path: Path
) -> None:
    problems = refusals(tmp_path, yaml, **production(tmp_path, **environ))
    assert [problem.key for problem in problems] == [key]
    assert "canary" not in str(problems)


#: What production accepts: traffic that is encrypted, or does not leave this host.
ACCEPTED_IN_PRODUCTION: list[dict[str, str]] = [
    {"DB_SSL_MODE": "disable"},
    {"DB_SSL_MODE": "prefer", "DB_HOST": "localhost"},
    {"DB_SSL_MODE": "prefer", "DB_HOST": "::1"},
    {"DB_SSL_MODE": "disable", "DB_HOST": "/var/run/postgresql"},
    {"DB_SSL_MODE": "require", "DB_HOST": "db.internal"},
    {"DB_SSL_MODE": "verify-full", "DB_HOST": "db.internal"},
    {"NATS_URL": "tls://nats.internal:4222"},
    {"NATS_URL": "nats://localhost:4222,nats://[::1]:4222,nats://127.0.0.9:4222"},
]


@pytest.mark.parametrize("environ", ACCEPTED_IN_PRODUCTION)
def test_production_accepts_what_is_encrypted_or_stays_on_this_host(
    environ: dict[str, str], tmp_path: Path
) -> None:
    config = load(tmp_path, **production(tmp_path, **environ))
    assert unencrypted_connections(config) == []


def test_a_trusted_network_may_carry_unencrypted_traffic(tmp_path: Path) -> None:
    """Both connections are allowed, and both are listed for the log."""
    environ = {"DB_HOST": "postgres", "NATS_URL": "nats://nats:4222", "DB_SSL_MODE": "prefer"}
    trusted = production(tmp_path, **environ, PAYD_TRUSTED_NETWORK="true")
    found = unencrypted_connections(load(tmp_path, **trusted))
    assert [key for key, _ in found] == ["database.ssl_mode", "nats.url"]

    refused = refusals(tmp_path, "", **production(tmp_path, **environ))
    assert [problem.key for problem in refused] == ["database.ssl_mode", "nats.url"]
    assert all("PAYD_TRUSTED_NETWORK=true" in problem.what for problem in refused)


def test_outside_production_any_network_will_do(tmp_path: Path) -> None:
    assert load(tmp_path, DB_HOST="postgres", NATS_URL="nats://nats:4222").database.host


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("PAYD_DATABASE_SSL_ROOT_CERT_FILE", "database.ssl_root_cert_file"),
        ("PAYD_NATS_TLS_CA_FILE", "nats.tls_ca_file"),
    ],
)
def test_a_ca_file_without_a_certificate_is_refused(
    variable: str, key: str, tmp_path: Path
) -> None:
    file = tmp_path / "ca.crt"
    file.write_text("no certificate")
    (problem,) = refusals(tmp_path, "", **{variable: str(file)})
    assert (problem.key, problem.what) == (key, f"{file} contains no CA certificate in PEM format")


def test_every_mistake_is_shown_at_once_each_with_its_place(tmp_path: Path) -> None:
    yaml = "log:\n  levle: info\ndatabase:\n  port: many\nhttp: {port: 9086}\n"
    problems = refusals(tmp_path, yaml, GRPC_PORT="x", DB_PASSWORD="", VAULT_ADDR="https://v")
    file = tmp_path / "payd.yaml"
    assert {(problem.key, problem.where) for problem in problems} == {
        ("log.levle", f"{file}:2"),
        ("database.port", f"{file}:4"),
        ("grpc.port", "environment GRPC_PORT"),
        ("metrics.port", "default"),
        ("vault.role_id", "not set"),
        ("vault.secret_id_path", "not set"),
        ("vault.secret_path", "not set"),
    }


@pytest.mark.parametrize(
    ("yaml", "environ", "says"),
    [
        ("databse: {}", {}, "did you mean database?"),
        ("log: {levle: info}", {}, "did you mean level?"),
        ("metrics: {xyz: 1}", {}, "valid: host, port"),
        ("", {"PAYD_RECOVERY_BATCHSIZE": "1"}, "did you mean PAYD_RECOVERY_BATCH_SIZE?"),
        ("environment: prod", {}, "must be one of development | test | staging | production"),
        ("database: {port: 70000}", {}, "less than or equal to 65535; is 70000"),
        ("redis: {addr: here}", {}, "must be host:port; is 'here'"),
        ("database: {host: 5}", {}, "must be a host name or an address; is 5"),
        ("database: {port: '5'}", {}, "must be a valid integer; is '5'"),
        (
            "database: {lock_timeout_ms: 1000}",
            {},
            "must be more than 1000, the default deadlock_timeout",
        ),
        ("grpc: {allowed_cns: [payd]}", {}, "is reserved for payd's audit trail"),
    ],
)
def test_a_refusal_says_what_would_be_right(
    yaml: str, environ: dict[str, str], says: str, tmp_path: Path
) -> None:
    assert says in str(refusals(tmp_path, yaml, **environ)[0])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\xff", "not UTF-8"),
        (b"a\nb", "one line"),
        (b"a" * (1024 * 1024 + 1), "larger than"),
    ],
)
def test_a_password_file_holds_one_line(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(content)
    problems = refusals(tmp_path, "database: {password_file: secret}", DB_PASSWORD="")
    assert says in str(problems[0])


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    gone = tmp_path / "gone.yaml"
    with pytest.raises(ConfigError, match=r"environment PAYD_CONFIG: PAYD_CONFIG: cannot read"):
        load_config({**MINIMAL, "PAYD_CONFIG": str(gone)}, None)
    with pytest.raises(ConfigError, match=r"gone\.yaml: PAYD_CONFIG: cannot read"):
        load_config(MINIMAL, gone)


def test_bad_configuration_has_the_exit_code_of_sysexits() -> None:
    assert EXIT_BAD_CONFIGURATION == 78


@given(
    yaml=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text("abc:{}[]&*!-#'\"% \n", max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["log", "database", "host", "port", "x"]), inner)
        ),
        max_leaves=8,
    ).map(str)
    | st.binary(max_size=64)
)
def test_whatever_the_file_holds_it_loads_or_is_refused(
    yaml: str | bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "garbage.yaml"
    file.write_bytes(yaml.encode() if isinstance(yaml, str) else yaml)
    try:
        load_config(MINIMAL, file, installed=())
    except ConfigError as refused:
        problems = refused.problems
        assert all(p.key and p.where and p.what for p in problems)


@pytest.mark.parametrize("variable", ["DB_HOST", "REDIS_ADDR", "NATS_URL", "VAULT_ADDR", "DB_PORT"])
def test_a_url_in_the_wrong_place_does_not_give_its_password_away(
    variable: str, tmp_path: Path
) -> None:
    problems = refusals(tmp_path, "", **{variable: "postgres://payd:canary@db/payd payd"})
    assert problems
    assert "canary" not in str(problems)


def test_pages_need_a_key_an_address_in_tls_and_room_for_webhooks(tmp_path: Path) -> None:
    pages = {"PAYD_HTTP_PUBLIC_URL": "https://pay.example.com"}
    assert refused_keys(tmp_path, **pages) == ["http.page_key"]
    pages["PAYD_HTTP_PAGE_KEY"] = "k" * 32
    assert refused_keys(tmp_path, **pages) == []
    assert refused_keys(tmp_path, **{**pages, "PAYD_HTTP_PUBLIC_URL": "pay.example.com"}) == [
        "http.public_url"
    ]
    assert refused_keys(tmp_path, **pages, PAYD_HTTP_MAX_LIVE_PAGES="512") == [
        "http.max_live_pages"
    ]


def refused_keys(tmp_path: Path, **environ: str) -> list[str]:
    try:
        load(tmp_path, **environ)
    except ConfigError as refused:
        return [problem.key for problem in refused.problems]
    return []


def test_a_console_needs_operators_and_this_machine(tmp_path: Path) -> None:
    console = {"PAYD_CONSOLE_ENABLED": "true"}
    assert refused_keys(tmp_path, **console) == ["console.users"]
    assert refused_keys(tmp_path, **console, PAYD_CONSOLE_USERS="alice:password") == [
        "console.users"
    ]
    proxy = {**console, "PAYD_CONSOLE_PROXY_USER_HEADER": "X-Forwarded-User"}
    assert refused_keys(tmp_path, **proxy) == ["console.proxy_secret"]
    proxy["PAYD_CONSOLE_PROXY_SECRET"] = "s" * 31
    assert refused_keys(tmp_path, **proxy) == ["console.proxy_secret"]
    proxy["PAYD_CONSOLE_PROXY_SECRET"] = "s" * 32
    assert refused_keys(tmp_path, **proxy) == []
    everywhere = {**proxy, "PAYD_CONSOLE_HOST": "0.0.0.0"}
    assert refused_keys(tmp_path, **everywhere) == ["console.host"]
    assert refused_keys(tmp_path, **everywhere, PAYD_TRUSTED_NETWORK="true") == []
    assert refused_keys(tmp_path, **proxy, PAYD_CONSOLE_PORT="8085") == ["console.port"]
    assert refused_keys(tmp_path, **proxy, PAYD_CONSOLE_SESSION_IDLE_S="86400") == [
        "console.session_idle_s"
    ]
