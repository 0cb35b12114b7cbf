"""Every command finds a running `payd dev` by its state directory alone, and shows no traceback."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import click
import pytest
from support.dev_process import WATCH, running_dev, state_folder
from support.forks import run_payd
from unit.cli.conftest import Alone, alone

from payd.cli.main import main
from payd.config.providers import installed_providers

__all__ = ["alone"]

ITEM = ("--item", "ethereum-mainnet/full/30d", "--method", "mock")
NO_ONE = "00000000-0000-0000-0000-000000000007"
JANUARY_1970 = ("--from", "1970-01-01", "--to", "1970-01-31")
#: What starts something, or works on files only.
NEEDS_NO_DAEMON = {
    *("dev", "serve", "init", "config reference"),
    *("audit verify", "console-user"),
    *("drill peers", "drill restore", "drill upgrade"),
    *("plugin new", "plugin check", "plugin checks"),
}
#: Command → its arguments, its exit code, and what it prints.
COMMANDS: Mapping[str, tuple[tuple[str, ...], int, str]] = {
    "clock now": ((), 1, "start it with payd dev --clock"),
    "clock advance": (("31m",), 1, "start it with payd dev --clock"),
    "clock freeze": ((), 1, "start it with payd dev --clock"),
    "clock run": ((), 1, "start it with payd dev --clock"),
    "quote": (ITEM, 0, "149.00 USD"),
    "pay": (ITEM, 0, "COMPLETED"),
    "get": ((NO_ONE,), 1, "PAYMENT_NOT_FOUND"),
    "cancel": ((NO_ONE,), 1, "PAYMENT_NOT_FOUND"),
    "explain": ((NO_ONE,), 1, "PAYMENT_NOT_FOUND"),
    "payments list": (("--reference", NO_ONE), 0, "no payments"),
    "payments get": ((NO_ONE,), 1, "PAYMENT_NOT_FOUND"),
    "payments sync": ((NO_ONE,), 1, "PAYMENT_NOT_FOUND"),
    "payments watch": ((NO_ONE,), 1, "PAYMENT_NOT_FOUND"),
    "payments rows": ((NO_ONE,), 1, "PAYMENT_NOT_FOUND"),
    "payments export": (JANUARY_1970, 0, "no movements of money"),
    "refund": ((NO_ONE,), 1, "PAYMENT_NOT_FOUND"),
    "refunds list": ((), 0, "no refunds"),
    "refunds get": ((NO_ONE,), 1, "REFUND_NOT_FOUND"),
    # Not CLIENT_NOT_ALLOWED: they are called as an operator.
    "refunds approve": ((NO_ONE,), 1, "REFUND_NOT_FOUND"),
    "refunds cancel": ((NO_ONE, "--note", "n"), 1, "REFUND_NOT_FOUND"),
    "refunds settle": ((NO_ONE, "--failed", "--note", "n"), 1, "REFUND_NOT_FOUND"),
    "attention list": ((), 0, "no payments"),
    "attention resolve": ((NO_ONE, "--note", "n"), 1, "PAYMENT_NOT_FOUND"),
    "customers forget": (("nobody", "--dry-run"), 1, "CUSTOMER_NOT_FOUND"),
    "events tail": (("--no-follow",), 0, ""),
    "events dead-letters": ((), 0, "no dead letters"),
    "events create-stream": ((), 0, "PAYMENTS already exists with these settings"),
    "events republish": (("--since", "1h"), 0, "republished"),
    "migrate": (("--check",), 0, "schema is up to date"),
    "restored hold": ((), 1, "Aborted"),
    "restored show": ((), 0, "no restore was noted"),
    "restored release": ((), 0, "nothing is held"),
    "config check": ((), 0, "configuration is valid"),
    "config show": ((), 0, "database.password"),
    "pricing check": ((), 0, "prices (USD)"),
    "pricing show": ((), 0, "149.00 USD"),
    "providers": ((), 0, "mock"),
    "overview": ((), 0, "events to publish"),
    "receipts list": ((), 0, "no unmatched receipts"),
    "receipts attach": (("tempo:7", NO_ONE), 1, "no payment has this id"),
    "audit show": ((NO_ONE,), 1, "has an audit trail"),
    "audit export": ((), 0, '"kind":"trailer"'),
    "audit public-key": ((), 0, "BEGIN PUBLIC KEY"),
    "reconciliations": ((), 0, "provider"),
    "doctor": ((), 0, "serving, over mutual TLS"),
    "tempo audit": ((), 1, "the provider tempo is not enabled: set TEMPO_ENABLED"),
    "tempo pay": ((NO_ONE,), 1, "the provider tempo is not enabled: set TEMPO_ENABLED"),
    "tempo register-master": ((), 1, "the provider tempo is not enabled: set TEMPO_ENABLED"),
    "tempo status": ((), 1, "the provider tempo is not enabled: set TEMPO_ENABLED"),
    "tempo refund": ((NO_ONE,), 1, "the provider tempo is not enabled: set TEMPO_ENABLED"),
}


def leaves(group: click.Group, prefix: str = "") -> Iterator[str]:
    """Every command that can be called, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


@attrs.frozen
class Dev:
    """A running `payd dev`, whose state directory has the usual name."""

    state: Path

    def payd(self, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
        """`payd …` in a shell that knows of no daemon."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.state.parent)}
        done = run_payd(*arguments, env=env, cwd=cwd)
        WATCH.search(done.stdout + done.stderr, f"payd {' '.join(arguments)}")
        return done


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    with state_folder() as folder:
        state = folder.with_name(".payd")
        with running_dev(state, "--ephemeral"):
            yield Dev(state)


def test_the_walk_covers_every_command() -> None:
    assert set(leaves(main)) - NEEDS_NO_DAEMON == COMMANDS.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_finds_payd_dev_in_the_working_directory(dev: Dev, command: str) -> None:
    arguments, code, printed = COMMANDS[command]
    done = dev.payd(*command.split(), *arguments, cwd=dev.state.parent)
    assert (done.returncode, done.stderr if code == 0 else "") == (code, ""), done
    assert printed in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["get", "events tail", "config show", "pricing show"])
def test_from_elsewhere_a_command_finds_it_by_the_state_directory(
    dev: Dev, command: str, tmp_path: Path
) -> None:
    arguments, code, printed = COMMANDS[command]
    where = ("--state-dir", str(dev.state))
    done = dev.payd(*command.split(), *arguments, *where, cwd=tmp_path)
    assert done.returncode == code, done
    assert printed in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_where_no_payd_dev_runs_a_command_says_so(alone: Alone, command: str) -> None:
    arguments, _, _ = COMMANDS[command]
    done = alone(*command.split(), *arguments, "--state-dir", "nowhere", DB_HOST="127.0.0.1")
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("Error: no `payd dev` is running on nowhere"), done.stderr


#: These read files only.
READS_FILES = {
    *("config check", "config show", "pricing check", "pricing show", "providers"),
    "audit public-key",
}
#: The settings that say where servers are, with ports that nobody can listen on.
AWAY = {"DB_PORT": "1", "GRPC_PORT": "2", "HTTP_PORT": "3", "METRICS_PORT": "4"}
AWAY |= {"NATS_URL": "nats://127.0.0.1:5", "REDIS_ADDR": "127.0.0.1:6"}


def test_with_every_server_away_each_command_says_so_without_a_traceback(dev: Dev) -> None:
    with state_folder() as folder:
        shutil.copytree(dev.state / "pki", folder / "pki")
        announced = {"grpc": "127.0.0.1:2", "nats": AWAY["NATS_URL"]}
        (folder / "dev.json").write_text(json.dumps(announced))
        settings = json.loads((dev.state / "environment.json").read_text())
        (folder / "environment.json").write_text(json.dumps({**settings, **AWAY}))

        def run(command: str) -> "subprocess.CompletedProcess[str]":
            arguments, _, _ = COMMANDS[command]
            where = ("--state-dir", str(folder))
            return dev.payd(*command.split(), *arguments, *where, cwd=folder.parent)

        with ThreadPoolExecutor(4) as pool:
            ended = dict(zip(COMMANDS, pool.map(run, COMMANDS), strict=True))
    for command, done in ended.items():
        assert done.returncode == (0 if command in READS_FILES else 1), done
        assert "Traceback" not in done.stdout + done.stderr, done
        assert command in READS_FILES | {"doctor"} or done.stderr, done


def test_doctor_asks_the_daemon_both_ways(dev: Dev, tmp_path: Path) -> None:
    done = dev.payd("doctor", "--json", "--state-dir", str(dev.state), cwd=tmp_path)
    details = {one["what"]: one["detail"] for one in json.loads(done.stdout)}
    assert details["daemon"].startswith("ready at 127.0.0.1:")
    assert details["gRPC"].endswith(" serving, over mutual TLS")
    assert str(dev.state) in details["configuration"]


def test_doctor_fails_when_the_daemon_does_not_answer(dev: Dev, tmp_path: Path) -> None:
    """With every server up, and the settings of a daemon that was never started."""
    settings = json.loads((dev.state / "environment.json").read_text())
    away = {"HTTP_PORT": "1", "GRPC_PORT": "2"}
    env = {"PATH": os.environ["PATH"], **settings, **away}
    done = run_payd("doctor", "--json", env=env, cwd=tmp_path)
    assert done.returncode == 1, done
    wrong = {one["what"] for one in json.loads(done.stdout) if not one["ok"]}
    assert wrong == {"daemon", "gRPC"}


def test_doctor_fails_where_no_provider_is_enabled(dev: Dev, tmp_path: Path) -> None:
    """With all else up, such a payd starts, answers, and can take no payment."""
    settings = json.loads((dev.state / "environment.json").read_text())
    none = {f"{name.upper()}_ENABLED": "false" for name in installed_providers()}
    env = {"PATH": os.environ["PATH"], **settings, **none}
    done = run_payd("doctor", "--json", env=env, cwd=tmp_path)
    assert done.returncode == 1, done
    wrong = {one["what"]: one["detail"] for one in json.loads(done.stdout) if not one["ok"]}
    assert wrong == {"providers": "none enabled: set STRIPE_ENABLED=true, for example"}
