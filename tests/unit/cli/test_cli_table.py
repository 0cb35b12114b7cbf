"""The table of commands: each loads, explains itself, and costs nothing until it runs."""

import os
import subprocess
import sys

import pytest
from unit.cli.conftest import Alone

from payd import __version__
from payd.cli.main import main

COMMANDS = main.list_commands(None)  # type: ignore[arg-type]  # the table needs no context
HEAVY = {
    *("grpclib", "asyncpg", "nats", "trio", "trio_asyncio", "quart"),
    *("pydantic", "structlog", "yaml", "rich", "google.protobuf"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_each_command_explains_itself(alone: Alone, command: str, option: str) -> None:
    result = alone(command, option)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"Usage: main {command} ")


@pytest.mark.parametrize(
    "path",
    [
        ("config", "check"),
        ("config", "show"),
        ("pricing", "check"),
        ("pricing", "show"),
        ("events", "tail"),
        ("events", "dead-letters"),
        ("events", "republish"),
        ("plugin", "check"),
        ("plugin", "checks"),
        ("plugin", "new"),
    ],
    ids=" ".join,
)
def test_each_command_of_a_group_explains_itself(alone: Alone, path: tuple[str, str]) -> None:
    result = alone(*path, "--help")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"Usage: main {' '.join(path)} ")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_command_with_a_word_on_it(alone: Alone, option: str) -> None:
    result = alone(option)
    assert result.exit_code == 0
    listed = {words[0]: words[1:] for line in result.stdout.splitlines() if (words := line.split())}
    assert all(listed[command] for command in COMMANDS)


def test_the_version_is_printed(alone: Alone) -> None:
    result = alone("--version")
    assert (result.exit_code, result.stdout) == (0, f"payd, version {__version__}\n")


def test_an_unknown_command_is_wrong_usage(alone: Alone) -> None:
    result = alone("charge")
    assert result.exit_code == 2
    assert "No such command 'charge'" in result.stderr


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(option: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "payd", option],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "payd.cli.main" in imported
    loaded = {
        name
        for name in imported
        if any(name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY)
    }
    assert loaded == set()


@pytest.mark.parametrize(
    ("typed", "meant"), [("refnds", "refunds"), ("migrat", "migrate"), ("stirpe", "stripe")]
)
def test_a_misspelt_command_names_the_one_that_was_meant(
    alone: Alone, typed: str, meant: str
) -> None:
    result = alone(typed)

    assert result.exit_code == 2
    assert "Did you mean" in result.stderr
    assert f"'{meant}'" in result.stderr


def test_a_shell_completes_commands() -> None:
    completed = subprocess.run(
        [f"{sys.prefix}/bin/payd"],
        env=dict(os.environ, _PAYD_COMPLETE="bash_complete", COMP_WORDS="payd ref", COMP_CWORD="1"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert completed.stdout.split() == ["plain,refund", "plain,refunds"]
