"""A drill keeps to servers of its own, and leaves nothing behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from payd.config import load_config
from payd.dev.companions import Added
from payd.dev.run import FIXED
from payd.dev.servers import ServerFailed
from payd.drills.own_servers import refuse_others, without_others
from payd.drills.servers import open_passable, open_site, running, temporary_folder
from payd.plugins import RunningCompanion

OURS = {"ENVIRONMENT": "development", "DB_PASSWORD": "ours"}
ELSEWHERE = {
    "STRIPE_SECRET_KEY": "sk_test_real",
    "TEMPO_RPC_URL": "https://rpc.example.com",
    "VAULT_ADDR": "https://vault.example.com",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example.com:4318",
}


@pytest.fixture
def closed_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def added(tmp_path: Path, document: str, **running: RunningCompanion) -> Added:
    """What companions leave on a configuration file; providers without one are disabled."""
    file = tmp_path / "payd.yaml"
    file.write_text(document)
    switches = {f"{name}_ENABLED": "false" for name in ("MOCK", "STRIPE", "TEMPO")}
    found = Added(environment={**OURS, **switches, "PAYD_CONFIG": str(file)})
    for provider, companion in running.items():
        found.environment[f"{provider.upper()}_ENABLED"] = "true"
        found.add(provider, companion)
    return found


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_shell_leads_a_drill_to_no_other_server(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, ELSEWHERE[name])
    # As payd dev does, which lets the shell win.
    assert without_others({**OURS, name: ELSEWHERE[name]})[name] == ""


@pytest.mark.parametrize("name", ["DB_PASSWORD_FILE", "REDIS_PASSWORD"])
def test_a_daemon_of_a_drill_has_no_address_or_password_of_the_shell(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "/elsewhere")
    settings = without_others(OURS)
    assert settings.keys() >= FIXED
    config = load_config({**os.environ, **settings})
    assert config.database.password is not None
    assert config.database.password.reveal() == "ours"


def test_a_provider_that_the_shell_disables_stays_disabled() -> None:
    assert without_others({**OURS, "STRIPE_ENABLED": "false"})["STRIPE_ENABLED"] == "false"


def test_a_provider_whose_companion_does_not_run_is_refused(tmp_path: Path) -> None:
    left = added(tmp_path, "")
    refuse_others(left)
    left.environment["MOCK_ENABLED"] = "true"
    with pytest.raises(ServerFailed, match="no server of its own for mock: set MOCK_ENABLED=false"):
        refuse_others(left)


@pytest.mark.parametrize(
    ("document", "key"),
    [
        (
            "vault: {addr: 'https://v', role_id: r, secret_id_path: s, secret_path: kv/payd}",
            r"vault\.addr",
        ),
        ("tracing: {endpoint: 'http://collector.example.com'}", r"tracing\.endpoint"),
        ("providers: {stripe: {api_base: 'https://real'}}", r"providers\.stripe\.api_base"),
    ],
)
def test_another_server_in_the_configuration_file_is_refused(
    tmp_path: Path, document: str, key: str
) -> None:
    companion = RunningCompanion(settings={"api_base": "http://127.0.0.1:1"})
    refuse_others(added(tmp_path, "", stripe=companion))
    with pytest.raises(ServerFailed, match=f"remove {key} from the configuration file"):
        refuse_others(added(tmp_path, document, stripe=companion))


@pytest.mark.usefixtures("closed_umask")
def test_the_user_of_the_database_passes_through_whatever_the_umask(folder: Path) -> None:
    with open_passable(folder / "site") as state:
        assert state.path.stat().st_mode & 0o001
        assert state.data.stat().st_mode & 0o001


@pytest.mark.usefixtures("closed_umask")
async def test_a_daemon_starts_in_a_shell_that_names_other_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell = {**ELSEWHERE, "DB_PASSWORD_FILE": "/elsewhere", "TEMPO_ENABLED": "false"}
    for name, value in shell.items():
        monkeypatch.setenv(name, value)
    with temporary_folder() as folder:
        async with open_site(folder / "site", lambda line: None) as site:
            assert site.added.running.keys() == {"mock", "stripe"}
            assert site.environment["STRIPE_SECRET_KEY"] != ELSEWHERE["STRIPE_SECRET_KEY"]
            assert (site.state.data / "postgres" / "PG_VERSION").exists()
            async with running(site.daemon("payd")):
                pass
