"""`payd` as it is typed: in this process where it only reads, else in one of its own."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.forks import run_payd
from unit.cli.scripted_daemon import ScriptedDaemon, scripted_daemon

from payd.cli.main import main

Alone = Callable[..., Result]
Process = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def daemon(pki: Path) -> Iterator[ScriptedDaemon]:
    with scripted_daemon(pki) as daemon:
        yield daemon


@pytest.fixture
def alone() -> Alone:
    """`payd` with no daemon given and nothing of it in the environment."""

    def run(*arguments: str, **environment: str) -> Result:
        away = dict.fromkeys((n for n in os.environ if n.startswith(("PAYD_", "NATS_"))), None)
        return CliRunner().invoke(main, arguments, env={**away, **environment})

    return run


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """`payd` in a process of its own, an empty folder, and this environment alone."""

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        env = {"PATH": os.environ["PATH"], **environment}
        return run_payd(*arguments, env=env, cwd=tmp_path)

    return run


@pytest.fixture
def payd(process: Process, daemon: ScriptedDaemon, pki: Path) -> Process:
    """`payd` in a process of its own, whose environment names the scripted daemon."""
    target = {
        "PAYD_TARGET": f"127.0.0.1:{daemon.port}",
        "PAYD_CLIENT_CA": str(pki / "ca.crt"),
        "PAYD_CLIENT_CERT": str(pki / "client.crt"),
        "PAYD_CLIENT_KEY": str(pki / "client.key"),
    }
    return lambda *arguments, **environment: process(*arguments, **{**target, **environment})
