"""Measure pgbench, the peer and payd in one run, and write a table and JSON."""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import trio

from bench import chain_rows, pgbench, report, webhook_rows
from bench.measured import cpu_s
from bench.started import wait_for_line
from payd.adapters.postgres.database import Database
from payd.adapters.postgres.migrate import migrate
from payd.config import load_config
from payd.daemon.builders import database_settings
from payd.dev.pki import ensure_pki
from payd.dev.ports import HOST, choose_ports
from payd.dev.postgres import Postgres, create_database, postgres
from payd.dev.servers import answers, nats_command, running
from payd.dev.state import StateDir, open_state

METHODS = ("InitiatePayment", "GetPayment")
_LOAD = [sys.executable, "-m", "bench.load"]
_READY_S = 60


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--webhooks", type=int, default=1200, help="payments completed by one")
    parser.add_argument("--output", type=Path, default=Path("bench/results"))
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="payd-bench-", ignore_cleanup_errors=True) as folder,
        open_state(Path(folder) / "state", ephemeral=False) as state,
    ):
        Path(folder).chmod(0o755)
        trio.run(_measure_all, state, args)


async def _measure_all(state: StateDir, args: argparse.Namespace) -> None:
    ensure_pki(state.pki, datetime.now(UTC))
    ports = choose_ports({}, None).chosen
    nats = nats_command(state, ports["nats"])
    async with (
        postgres(state, ports["postgres"]) as server,
        running(state, nats, partial(answers, ports["nats"])),
    ):
        results = await trio.to_thread.run_sync(_measure, state, server, ports["nats"], args)
    report.write(results, args.output)


def _measure(
    state: StateDir, server: Postgres, nats_port: int, args: argparse.Namespace
) -> dict[str, Any]:
    # Each on a database of its own: payd would look after what the others have left open.
    _database(state, server, nats_port, "peers")
    environ = _database(state, server, nats_port, "measured")
    told = _database(state, server, nats_port, "told")
    url = server.url("peers")
    results: dict[str, Any] = {"machine": report.machine(), "seconds": args.seconds, "rows": []}
    for clients in args.concurrency:
        row = pgbench.run(url, clients, args.seconds)
        results["rows"].append({"what": "pgbench", "concurrency": clients, **row})
    with _peer(url, state.pki) as (process, target):
        results["rows"] += _load_all("grpc.aio peer", process, target, state.pki, args)
    with _payd(environ) as (process, addresses, ready_s):
        target = addresses["grpc"]
        results["payd"] = {"start_to_ready_s": ready_s, "rest_mib": _rss_mib(process)}
        results["rows"] += _load_all("payd", process, target, state.pki, args)
        completing = [*_LOAD, target, str(state.pki), "InitiatePayment", "--scenario", "complete"]
        row = _load(completing, process, 16, args)
        results["rows"].append({"what": "payd, completing and publishing", **row})
        results["payd"]["load_mib"] = _rss_mib(process)
    results["rows"] += webhook_rows.measure(url, told, state, args.webhooks, _payd)

    def new_database(name: str) -> tuple[dict[str, str], str]:
        return _database(state, server, nats_port, name), server.url(name)

    results["rows"] += chain_rows.measure(new_database, _payd)
    return results


def _database(state: StateDir, server: Postgres, nats_port: int, name: str) -> dict[str, str]:
    """A new one with the schema; the environment of a daemon on it."""
    create_database(server, name)
    environ = _environment(state, server, nats_port) | {"DB_NAME": name}
    config = load_config(environ, None)
    asyncio.run(migrate(Database(database_settings(config)), lambda name: None))
    return environ


def _load_all(
    what: str, process: psutil.Process, target: str, pki: Path, args: argparse.Namespace
) -> list[dict[str, Any]]:
    return [
        {"what": what, **_load([*_LOAD, target, str(pki), method], process, clients, args)}
        for method in METHODS
        for clients in args.concurrency
    ]


def _load(
    command: list[str], process: psutil.Process, clients: int, args: argparse.Namespace
) -> dict[str, Any]:
    before = cpu_s(process)
    options = ["--concurrency", str(clients), "--seconds", str(args.seconds)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    calls = measured["calls"] + measured.pop("warmup_calls")
    return {
        "method": command[-1] if command[-1] in METHODS else "InitiatePayment",
        "concurrency": clients,
        **measured,
        "server_cpu_us": round((cpu_s(process) - before) / max(calls, 1) * 1e6),
    }


def _rss_mib(process: psutil.Process) -> float:
    return round(process.memory_info().rss / 2**20, 1)


@contextmanager
def _peer(url: str, pki: Path) -> Iterator[tuple[psutil.Process, str]]:
    command = [sys.executable, "-m", "bench.peer", url, str(pki)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = process.stdout.readline().strip()
        try:
            yield psutil.Process(process.pid), f"{HOST}:{port}"
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def _payd(
    environ: dict[str, str],
) -> Iterator[tuple[psutil.Process, dict[str, str], float]]:
    """`payd serve` with every check on; its log goes where a service manager would take it."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "payd", "serve"]
    with (
        tempfile.NamedTemporaryFile() as log,
        subprocess.Popen(command, env=environ, stderr=log) as process,
    ):
        try:
            started = wait_for_line(Path(log.name), "daemon_started", _READY_S)
            ready_s = round(time.perf_counter() - began, 2)
            yield psutil.Process(process.pid), started, ready_s
        finally:
            process.send_signal(signal.SIGTERM)


def _environment(state: StateDir, server: Postgres, nats_port: int) -> dict[str, str]:
    pki = state.pki
    return {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "test",
        "DB_HOST": HOST,
        "DB_PORT": str(server.port),
        "DB_PASSWORD": server.password,
        "DB_NAME": "bench",
        "DB_SSL_MODE": "disable",
        "NATS_URL": f"nats://{HOST}:{nats_port}",
        "GRPC_PORT": "0",
        # The generator is one client: what it can do is the question.
        "PAYD_GRPC_RATE_PER_CLIENT": "0",
        "HTTP_PORT": "0",
        "METRICS_PORT": "0",
        "GRPC_TLS_CERT_FILE": str(pki / "server.crt"),
        "GRPC_TLS_KEY_FILE": str(pki / "server.key"),
        "GRPC_TLS_CA_FILE": str(pki / "ca.crt"),
        "MOCK_ENABLED": "true",
        "MOCK_DELAY_MS": "0",
        "MOCK_STATE_FILE": str(state.data / "mock.sqlite3"),
    }


if __name__ == "__main__":
    main()
