"""The audit trail of a running daemon: signed checkpoints, and the two questions of an operator."""

import json
import os
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.audit_exports import lines_of
from support.daemon import Daemon, Place, running_daemon
from support.forks import Fork, run_payd
from support.waiting import PATIENCE_S

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
QUESTIONS = dict(re.findall(r"\| ([^|]*\?) \| `payd (audit [^`]*)` \|", OPERATIONS.read_text()))
SIGNED = {"PAYD_AUDIT_SIGNING_KEY": "5e" * 32, "PAYD_AUDIT_CHECKPOINT_INTERVAL_S": "0.5"}


@pytest.fixture
def daemon(place: Place) -> Iterator[Daemon]:
    with running_daemon(place, **SIGNED) as daemon:
        yield daemon


def test_an_operator_knows_who_changed_what_and_that_nobody_changed_the_trail(
    place: Place, daemon: Daemon, tmp_path: Path
) -> None:
    def payd(arguments: str) -> str:
        done = run_payd(*shlex.split(arguments), env=place.environment(**SIGNED), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with daemon.client() as client:
        payment_id = client.initiate(metadata={"order": "1042"}).id
        client.wait_for(payment_id, "COMPLETED")
    first = daemon.wait_for_line("audit_checkpoint_signed")
    (tmp_path / "audit.pem").write_text(payd("audit public-key"))
    (tmp_path / "audit-2026-11.jsonl").write_text(payd("audit export"))

    shown = payd(QUESTIONS["who changed what?"].replace("ID", payment_id))
    assert "the chain of" in shown
    assert "is intact" in shown
    assert re.search(r"payment_creating +main-app +main-app +created", shown)
    verified = payd(QUESTIONS["is the trail intact?"])
    assert "audit-2026-11.jsonl is intact" in verified

    assert first["number"] == 1
    whole = json.loads(payd(f"audit show {payment_id} --json"))
    assert whole["problem"] == ""
    assert whole["rows"][0]["details"]["row"]["metadata"]["order"] == "1042"
    one = payd(f"audit export --payment {payment_id}")
    assert "1042" not in one
    assert len([line for line in one.splitlines() if line.startswith('{"actor"')]) == len(
        whole["rows"]
    )


def test_an_edited_export_exits_with_1(place: Place, daemon: Daemon, tmp_path: Path) -> None:
    environment = place.environment(**SIGNED)
    with daemon.client() as client:
        client.wait_for(client.initiate().id, "COMPLETED")
    export = run_payd("audit", "export", env=environment, cwd=tmp_path).stdout.encode()
    key = run_payd("audit", "public-key", env=environment, cwd=tmp_path).stdout
    (tmp_path / "audit.pem").write_text(key)
    heading, row, *rest = lines_of(export)
    (tmp_path / "a.jsonl").write_bytes(
        heading + row.replace(b"main-app", b"sub-app") + b"".join(rest)
    )

    done = run_payd(
        *("audit", "verify", "a.jsonl", "--public-key", "audit.pem"), env=environment, cwd=tmp_path
    )

    assert done.returncode == 1
    assert re.search(r"line 2: version 1 of payment [0-9a-f-]{36} was altered", done.stderr)


def test_without_a_key_nothing_is_signed_and_it_is_said(place: Place, tmp_path: Path) -> None:
    with running_daemon(place) as daemon, daemon.client() as client:
        payment_id = client.initiate().id
        client.wait_for(payment_id, "COMPLETED")
    environment = place.environment()
    refused = run_payd("audit", "export", env=environment, cwd=tmp_path)
    assert refused.returncode == 1
    assert "audit.signing_key is not set" in refused.stderr
    shown = run_payd("audit", "show", payment_id, env=environment, cwd=tmp_path)
    assert "is intact" in shown.stdout


def test_an_export_into_a_closed_pipe_ends_silently(
    place: Place, daemon: Daemon, tmp_path: Path
) -> None:
    with daemon.client() as client:
        client.wait_for(client.initiate().id, "COMPLETED")
    reader, writer = os.pipe()
    os.close(reader)
    errors = tmp_path / "stderr"
    with os.fdopen(writer, "w") as stdout, errors.open("w") as stderr:
        process = Fork(
            ("-m", "payd", "audit", "export"),
            env=place.environment(**SIGNED),
            cwd=tmp_path,
            stdout=stdout,
            stderr=stderr,
        )
    assert process.wait(PATIENCE_S) == -signal.SIGPIPE
    assert errors.read_text() == ""
