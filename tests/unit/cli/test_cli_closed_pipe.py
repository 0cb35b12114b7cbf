"""A command whose output nobody reads ends silently: `payd … | head` and `payd … >&-`."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from payd_client.proto import payment_pb2 as pb
from support.forks import Fork
from support.waiting import PATIENCE_S
from unit.cli.scripted_daemon import ScriptedDaemon, a_payment

from payd.cli.closed_pipe import is_closed_pipe


def piped_into_nobody(
    *arguments: str, folder: Path, environment: Mapping[str, str]
) -> tuple[int, str]:
    """Run payd with a pipe whose reader is gone; return its exit code and what it said."""
    reader, writer = os.pipe()
    os.close(reader)
    errors = folder / "stderr"
    env = {"PATH": os.environ["PATH"], **environment}
    with os.fdopen(writer, "w") as stdout, errors.open("w") as stderr:
        process = Fork(
            ("-m", "payd", *arguments), env=env, cwd=folder, stdout=stdout, stderr=stderr
        )
    try:
        return process.wait(PATIENCE_S), errors.read_text()
    finally:
        process.kill()


@pytest.mark.parametrize("form", [(), ("--csv",), ("--json",)])
def test_a_list_into_a_closed_pipe_ends_by_sigpipe_and_says_nothing(
    daemon: ScriptedDaemon, pki: Path, tmp_path: Path, form: tuple[str, ...]
) -> None:
    payments = [a_payment() for _ in range(50)]
    daemon.answer_lists(pb.ListPaymentsResponse(payments=payments))
    target = {
        "PAYD_TARGET": f"127.0.0.1:{daemon.port}",
        "PAYD_CLIENT_CA": str(pki / "ca.crt"),
        "PAYD_CLIENT_CERT": str(pki / "client.crt"),
        "PAYD_CLIENT_KEY": str(pki / "client.key"),
    }
    ended = piped_into_nobody("payments", "list", *form, folder=tmp_path, environment=target)
    assert ended == (-signal.SIGPIPE, "")


def test_a_command_without_a_daemon_ends_alike(tmp_path: Path) -> None:
    ended = piped_into_nobody("providers", folder=tmp_path, environment={})
    assert ended == (-signal.SIGPIPE, "")


@pytest.mark.parametrize("command", ["providers", "providers --json", "config reference"])
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_without_any_stdout_it_works_as_usual(tmp_path: Path, command: str, closed: str) -> None:
    script = f'exec "$0" -m payd {command} {closed}'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_connection_that_breaks_is_reported_as_before() -> None:
    assert not is_closed_pipe(ValueError("no pipe"))
    assert not is_closed_pipe(BrokenPipeError("of a socket"))
    assert not is_closed_pipe(ExceptionGroup("", [BrokenPipeError("of a socket")]))
