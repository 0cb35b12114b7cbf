"""`payd NAME`: what payd adds to the commands that an installed provider brings."""

from pathlib import Path

import click
import pytest
from tempo_provider.commands import pay
from unit.cli.conftest import Alone

from payd.cli.provider import provider_group


@pytest.fixture
def configured(alone: Alone, pki: Path) -> Alone:
    """`payd tempo …` where a daemon is configured, and none runs."""
    settings = {
        "ENVIRONMENT": "test",
        "DB_HOST": "127.0.0.1",
        # Every later test in this process has it masked in its log: a word that none of them logs.
        "DB_PASSWORD": "hunter-of-the-command-line",
        "GRPC_TLS_CERT_FILE": str(pki / "server.crt"),
        "GRPC_TLS_KEY_FILE": str(pki / "server.key"),
        "GRPC_TLS_CA_FILE": str(pki / "ca.crt"),
    }
    return lambda *command, **more: alone("tempo", *command, **settings, **more)


def options(command: click.Command) -> set[str]:
    """The long names."""
    return {name for one in command.params for name in one.opts if name.startswith("--")}


def test_a_provider_has_its_own_commands_and_an_audit_where_there_is_one() -> None:
    tempo = {"audit", "pay", "refund", "register-master", "status"}
    assert set(provider_group("tempo").commands) == tempo
    assert set(provider_group("mock").commands) == set()
    assert set(provider_group("stripe").commands) == set()


@pytest.mark.parametrize("name", ["mock", "stripe"])
def test_an_audit_that_does_not_exist_is_no_command(alone: Alone, name: str) -> None:
    result = alone(name, "audit")
    assert result.exit_code == 2
    assert "No such command 'audit'" in result.stderr
    assert f"The provider {name} has no commands." in alone(name, "--help").stdout


def test_its_commands_get_the_daemons_address() -> None:
    added = options(provider_group("tempo").commands["pay"]) - options(pay)
    assert added == {"--target", "--ca", "--cert", "--key", "--state-dir"}


def test_the_providers_own_object_stays_as_it_is() -> None:
    """All callers share the command: adding options twice would give every option twice."""
    before = options(pay)
    once, twice = (provider_group("tempo").commands["pay"] for _ in range(2))
    assert options(pay) == before
    assert [one.name for one in once.params] == [one.name for one in twice.params]


def test_help_lists_the_installed_providers_by_name(alone: Alone) -> None:
    output = alone("--help").stdout
    listed = output.partition("Providers:")[2].split("\n")
    assert {"mock", "stripe", "tempo"} <= {line.split()[0] for line in listed if line.strip()}


@pytest.mark.parametrize("command", [("audit",), ("pay", "7")])
def test_a_provider_that_is_not_enabled_says_how(
    configured: Alone, command: tuple[str, ...]
) -> None:
    result = configured(*command, TEMPO_ENABLED="false")
    assert result.exit_code == 1
    assert "the provider tempo is not enabled: set TEMPO_ENABLED" in result.output


@pytest.mark.parametrize("command", [("audit",), ("pay", "7")])
def test_invalid_settings_are_reported_before_anything_is_done(
    configured: Alone, command: tuple[str, ...]
) -> None:
    result = configured(
        *command,
        TEMPO_ENABLED="true",
        TEMPO_RPC_URL="http://127.0.0.1:9",
        TEMPO_CHAIN_ID="42431",
        TEMPO_RECEIVER_ADDRESS="0x" + "0" * 40,
        TEMPO_MEMO_KEY="key",
    )
    assert result.exit_code == 1
    assert "receiver_address" in result.output


def test_a_name_that_is_no_provider_is_no_command(alone: Alone) -> None:
    result = alone("nobody", "audit")
    assert result.exit_code == 2
    assert "No such command" in result.stderr
