"""What `payd doctor` finds on this machine: certificates that work, end soon, or are broken."""

import json
import shutil
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from unit.cli.conftest import Process
from unit.cli.scripted_daemon import ScriptedDaemon, on_plain_asyncio

from payd.cli.ask_daemon import ClientFiles, Finding, ask_grpc
from payd.cli.doctor import (
    _certificates,
    audit_finding,
    health_finding,
    how_to_add,
    pages_finding,
)
from payd.config import Config
from payd.config.tree import Pricing
from payd.dev.pki import ensure_pki
from payd.providers.breaker import BreakerState
from payd.providers.state import ProviderState
from payd.telemetry import Secret

LIFE = timedelta(days=365)
URL = "https://pay.example.com"
KEYS = (Secret("k" * 32),)
NAMES = ("server.crt", "server.key", "ca.crt")


def found(pki: Path) -> Finding:
    return _certificates(*(pki / name for name in NAMES))


@pytest.fixture
def own(pki: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(pki, tmp_path / "pki"))


def aged(folder: Path, left: timedelta) -> Path:
    """Certificates that end so soon."""
    ensure_pki(folder, datetime.now(UTC) - LIFE + left)
    return folder


def test_good_certificates_say_how_long_they_last(pki: Path) -> None:
    finding = found(pki)
    assert finding.ok
    assert finding.detail == "valid for 364 days"


@pytest.mark.parametrize(("left_days", "ok"), [(20, True), (13, False)])
def test_a_certificate_near_its_end_is_reported_before_it_expires(
    tmp_path: Path, left_days: int, ok: bool
) -> None:
    finding = found(aged(tmp_path, timedelta(days=left_days, hours=1)))
    assert finding.ok is ok
    assert f"{left_days} days" in finding.detail
    assert ok or "renew" in finding.detail


def test_a_certificate_past_its_end_must_be_renewed(tmp_path: Path) -> None:
    finding = found(aged(tmp_path, timedelta(days=-3)))
    assert not finding.ok
    assert finding.detail.startswith(f"renew {tmp_path / 'server.crt'}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [None, "", "-----BEGIN NONSENSE-----\n"])
def test_a_missing_or_broken_file_is_a_finding(own: Path, name: str, content: str | None) -> None:
    (own / name).unlink()
    if content is not None:
        (own / name).write_text(content)
    finding = found(own)
    assert not finding.ok
    assert str(own / name) in finding.detail


def test_a_key_of_another_certificate_is_a_finding(own: Path) -> None:
    shutil.copy(own / "client.key", own / "server.key")
    finding = found(own)
    assert not finding.ok
    assert "mismatch" in finding.detail.lower()


@pytest.mark.parametrize(
    ("age_h", "ok", "said"),
    [(None, True, "no checkpoint yet"), (2, True, "checkpoint of"), (4, False, "daemon's log")],
)
def test_an_old_checkpoint_of_the_audit_trail_is_a_finding(
    age_h: int | None, ok: bool, said: str
) -> None:
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    newest = None if age_h is None else now - timedelta(hours=age_h)
    finding = audit_finding(newest, now, timedelta(hours=1))
    assert (finding.ok, said in finding.detail) == (ok, True)


def settings(
    url: str | None = None, keys: tuple[Secret, ...] | None = None, vault: str | None = None
) -> Config:
    """A host whose password is in a file; with payment pages or a vault where a test says so."""
    config = Config(pricing=Pricing(file=Path("pricing.yaml")))
    changed = {
        "http": config.http.model_copy(update={"public_url": url, "page_key": keys}),
        "database": config.database.model_copy(update={"password_file": Path("/s/db_password")}),
        "vault": config.vault.model_copy(update={"addr": vault, "secret_path": "secret/payd"}),
    }
    return config.model_copy(update=changed)


@pytest.mark.parametrize(
    ("url", "keys", "ok", "said"),
    [
        (URL, KEYS, True, f"at {URL}"),
        (None, KEYS, True, "none: set PAYD_HTTP_PUBLIC_URL"),
        (None, None, True, "set PAYD_HTTP_PAGE_KEY_FILE=/s/page_key, and set PAYD_HTTP_PUBLIC_URL"),
        (URL, None, False, "set PAYD_HTTP_PAGE_KEY_FILE=/s/page_key"),
    ],
)
def test_what_payment_pages_need_is_named(
    url: str | None, keys: tuple[Secret, ...] | None, ok: bool, said: str
) -> None:
    finding = pages_finding(settings(url, keys))
    assert (finding.ok, said in finding.detail) == (ok, True), finding


def test_a_missing_key_is_added_where_the_other_secrets_are() -> None:
    name, variable = "audit_signing_key", "PAYD_AUDIT_SIGNING_KEY_FILE"
    assert "openssl rand -hex 32 > /s/audit_signing_key" in how_to_add(settings(), name, variable)
    in_vault = how_to_add(settings(vault="https://vault"), name, variable)
    assert "vault kv patch secret/payd audit_signing_key=" in in_vault
    assert "FILE" not in in_vault


def test_a_key_that_exists_is_named_and_never_made_again(tmp_path: Path) -> None:
    config = settings()
    here = config.database.model_copy(update={"password_file": tmp_path / "db_password"})
    (tmp_path / "page_key").write_text("key")
    said = how_to_add(
        config.model_copy(update={"database": here}), "page_key", "PAYD_HTTP_PAGE_KEY_FILE"
    )
    assert said.startswith(f"set PAYD_HTTP_PAGE_KEY_FILE={tmp_path / 'page_key'}; the file exists")
    assert "openssl" not in said


def test_everything_down_is_reported_line_by_line_and_ends_with_1(
    process: Process, own: Path, tmp_path: Path
) -> None:
    (own / "server.key").write_text("broken")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        ran = process(
            "doctor",
            "--json",
            ENVIRONMENT="test",
            DB_PASSWORD="hunter2",
            DB_PORT=port,
            NATS_URL=f"nats://127.0.0.1:{port}",
            REDIS_ADDR=f"127.0.0.1:{port}",
            GRPC_PORT=port,
            HTTP_PORT="1",
            GRPC_TLS_CERT_FILE=str(own / "server.crt"),
            GRPC_TLS_KEY_FILE=str(own / "server.key"),
            GRPC_TLS_CA_FILE=str(own / "ca.crt"),
            PRICING_FILE=str(tmp_path / "none.yaml"),
        )
    assert ran.returncode == 1, ran.stderr
    works = {finding["what"]: finding["ok"] for finding in json.loads(ran.stdout)}
    assert works == {
        "configuration": True,
        "prices": False,
        "certificates": False,
        "PostgreSQL": False,
        "NATS": False,
        "Redis": False,
        "daemon": False,
        "gRPC": False,
        "audit trail": True,
        "payment pages": True,
        "console": True,
        "providers": False,
    }
    assert "hunter2" not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("running", "healthy", "said", "detail"),
    [
        (True, True, "", "version 1.2.3, methods card, wallet"),
        (True, False, "the key is refused", "the key is refused; check its settings and crede"),
        (False, False, "", "cannot start: ConnectionError: no route; check its settings and its"),
    ],
)
def test_a_provider_that_cannot_start_and_one_that_does_not_answer_differ(
    running: bool, healthy: bool, said: str, detail: str
) -> None:
    state = ProviderState(
        name="acme",
        version="1.2.3",
        methods=("card", "wallet"),
        running=running,
        healthy=healthy,
        breaker=BreakerState.CLOSED,
        misconfigured=False,
        last_error=None if running else "ConnectionError: no route",
        restarts=0,
        watch_restarts=0,
    )
    finding = health_finding(state, said)
    assert (finding.what, finding.ok) == ("provider acme", healthy)
    assert finding.detail.startswith(detail)


# -- the daemon's gRPC -------------------------------------------------------------------------


def client(pki: Path) -> ClientFiles:
    return ClientFiles(ca=pki / "ca.crt", cert=pki / "client.crt", key=pki / "client.key")


def asked(port: int, files: ClientFiles | None) -> Finding:
    return on_plain_asyncio(ask_grpc("127.0.0.1", port, files))


def test_a_server_that_refuses_the_client_is_a_finding(
    daemon: ScriptedDaemon, own: Path, tmp_path: Path
) -> None:
    strangers = tmp_path / "strangers"
    ensure_pki(strangers, datetime.now(UTC))
    finding = asked(daemon.port, attrs.evolve(client(strangers), ca=own / "ca.crt"))
    assert not finding.ok


def test_a_server_without_health_is_a_finding(daemon: ScriptedDaemon, own: Path) -> None:
    finding = asked(daemon.port, client(own))
    assert not finding.ok
    assert "refuses" in finding.detail


def test_without_a_client_it_says_how_to_ask_for_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        finding = asked(listening.getsockname()[1], None)
    assert finding.ok
    assert "pass --ca, --cert and --key" in finding.detail


def test_client_files_that_are_missing_are_a_finding(own: Path) -> None:
    (own / "client.key").unlink()
    finding = asked(9, client(own))
    assert not finding.ok
    assert "client.key" in finding.detail


def test_a_chain_that_is_away_is_named_with_its_endpoint_and_without_a_key(
    process: Process,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = process(
            "doctor",
            "--json",
            ENVIRONMENT="test",
            DB_PASSWORD="hunter2",
            DB_PORT="1",
            TEMPO_ENABLED="true",
            TEMPO_CHAIN_ID="42431",
            TEMPO_RPC_URL=f"http://{endpoint}/canary-key",
            TEMPO_RECEIVER_ADDRESS="0x" + "ab" * 20,
            TEMPO_MEMO_KEY="canary-memo-key",
        )
    [finding] = [one for one in json.loads(ran.stdout) if one["what"] == "provider tempo"]
    assert not finding["ok"]
    assert f"the chain cannot be read: {endpoint}: ConnectError" in finding["detail"]
    assert "canary" not in ran.stdout + ran.stderr
