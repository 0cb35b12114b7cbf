"""`payd dev` as a process, and `payd` commands beside it, as a developer runs them."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from payd.dev.ports import USUAL
from support.forks import Fork, run_payd
from support.kept_logs import kept_log
from support.planted_secrets import WATCH, search_processes
from support.waiting import COMMAND_INTERVAL_S, Process, wait_until

PATIENCE_S = 180
#: Ports that companions ask for, by their names in ports.json.
COMPANION_PORTS = ("acme.api", "sepa.bank", "stripe.api", "tempo.rpc")
OPEN = ("CREATING", "PENDING", "PROCESSING", "CANCELING")
ITEM = ("--item", "ethereum-mainnet/full/30d")


@contextlib.contextmanager
def state_folder() -> Iterator[Path]:
    """A folder for a state directory, until the end of the block."""
    # Not in pytest's own folder, which the database's user cannot enter.
    with tempfile.TemporaryDirectory(prefix="payd-dev-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "state"


def payd(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `payd …` to its end."""
    done = run_payd(*arguments)
    WATCH.search(done.stdout + done.stderr, f"payd {' '.join(arguments)}")
    return done


def payd_json(*arguments: str) -> dict[str, Any]:
    """Return the document that `payd … --json` prints."""
    done = payd(*arguments, "--json")
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def wait_for_end(payment_id: str, state: Path) -> dict[str, Any]:
    """Wait until the payment is no longer open."""

    def look() -> dict[str, Any] | None:
        payment = payd_json("get", payment_id, "--state-dir", str(state))
        return payment if payment["status"].removeprefix("PAYMENT_STATUS_") not in OPEN else None

    return wait_until(look, "the payment ends", interval_s=COMMAND_INTERVAL_S) or {}


def wait_until_ready(state: Path, process: Process) -> dict[str, str]:
    """Wait for dev.json; return its content."""
    wait_until((state / "dev.json").exists, (state / "out").read_text, process=process)
    document: dict[str, str] = json.loads((state / "dev.json").read_text())
    return document


@contextlib.contextmanager
def running_dev(
    state: Path, *arguments: str, **environment: str
) -> Iterator[tuple[Any, dict[str, str]]]:
    """`payd dev` on this state, until the end of the block; the process and dev.json.

    Without the local chain, unless TEMPO_ENABLED says so: it would be fetched for each.
    """
    state.mkdir(exist_ok=True)
    if not (state / "ports.json").exists():
        # Not the default ports, which tests that run at the same time may use.
        names = (*USUAL, *COMPANION_PORTS)
        (state / "ports.json").write_text(json.dumps(dict.fromkeys(names, 0)))
    with (state / "out").open("ab") as out:
        process = Fork(
            ("-m", "payd", "dev", "--state-dir", str(state), *arguments),
            stdout=out,
            env={**os.environ, "TEMPO_ENABLED": "false", **environment},
        )
    try:
        with kept_log("payd dev", partial((state / "out").read_text, errors="replace")):
            yield process, wait_until_ready(state, process)
    finally:
        _search_its_output(state, process.pid)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)


def _search_its_output(state: Path, pid: int) -> None:
    """Note secrets in the output; those of the environment must not appear, its own may."""
    for file in (state / "out", *state.glob("**/*.log")):
        with contextlib.suppress(OSError):
            WATCH.search(file.read_text(errors="replace"), f"payd dev's {file.name}")
    search_processes(pid)


def children_of(process: Any) -> list[psutil.Process]:
    """Return the processes that it has started."""
    return psutil.Process(process.pid).children(recursive=True)


def assert_all_gone(processes: list[psutil.Process]) -> None:
    """Wait until the condition is true."""
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert alive == []
