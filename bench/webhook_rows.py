"""Webhooks per second, and from webhook to event: payd beside the least that is safe."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psutil

from payd.dev.ports import HOST, choose_ports
from payd.dev.state import StateDir

_SECRET = "whsec_bench"
_KEY = "sk_test_bench"
_LOAD = [sys.executable, "-m", "bench.webhooks"]
Payd = Callable[
    [dict[str, str]], AbstractContextManager[tuple[psutil.Process, dict[str, str], float]]
]


def measure(
    url: str, environ: dict[str, str], state: StateDir, count: int, payd: Payd
) -> list[dict[str, Any]]:
    """The rows of the table."""
    rows = _rows("webhook peer, verify + INSERT", _peer(url, count))
    command = [sys.executable, "-m", "stripe_provider.companion", "--secret-key", _KEY]
    command += ["--webhook-secret", _SECRET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stripe:
        try:
            assert stripe.stdout
            api = json.loads(stripe.stdout.readline())["url"]
            cards = {
                "STRIPE_ENABLED": "true",
                "STRIPE_API_BASE": api,
                "STRIPE_SECRET_KEY": _KEY,
                "STRIPE_WEBHOOK_SECRET": _SECRET,
                "STRIPE_REQUESTS_PER_SECOND": "10000",
            }
            with payd(environ | cards) as (process, addresses, _):
                options = ["--stripe", api, "--grpc", addresses["grpc"], "--pki", str(state.pki)]
                options += ["--nats", environ["NATS_URL"]]
                rows += _rows("payd", _load(addresses["http"], count, options, process))
        finally:
            stripe.kill()
    return rows


def _peer(url: str, count: int) -> dict[str, Any]:
    port = choose_ports({}, None).chosen["http"]
    command = [sys.executable, "-m", "bench.webhook_peer", url, _SECRET, str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            return _load(f"{HOST}:{port}", count, [], psutil.Process(process.pid))
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    while True:
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/")
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)


def _load(http: str, count: int, options: list[str], process: psutil.Process) -> dict[str, Any]:
    command = [*_LOAD, http, _SECRET, "--count", str(count), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _rows(what: str, measured: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, concurrency in (("paced", 1), ("flood", 16)):
        one = measured[name]
        common = {"what": what, "concurrency": concurrency, "server_cpu_us": None}
        answer = {k: one[k] for k in ("per_second", "p50_ms", "p99_ms", "errors")}
        rows.append({**common, "method": "webhook → 2xx", **answer})
        if one["events"]:
            way = {"p50_ms": one["event_p50_ms"], "p99_ms": one["event_p99_ms"]}
            missing = one["calls"] - one["events"]
            rows.append(
                {
                    **common,
                    "method": "webhook → event",
                    "per_second": None,
                    **way,
                    "errors": missing,
                }
            )
    return rows
