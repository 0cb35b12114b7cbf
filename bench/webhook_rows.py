"""Webhooks per second, and from webhook to event: payd beside the smallest server that is safe."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psutil

from bench.call_rows import payd
from bench.measured import Row
from bench.stage import ROOT, WEBHOOK_SECRET, Place, Stage
from payd.dev.ports import HOST, choose_ports

TO_2XX, TO_EVENT = "webhook → 2xx", "webhook → event"
#: Each webhook is sent only after the event of the one before.
ALONE = f"{TO_EVENT}, alone"
PEER = "webhook peer"
_KEY = "sk_test_bench"


def measure(
    stage: Stage, place: Place, what: Sequence[str], concurrency: Sequence[int], count: int
) -> Iterator[Row]:
    """The rows of one round; `count` webhooks each, a quarter of that one after the other."""
    if "peer" in what:
        port = choose_ports({}, None).chosen["http"]
        command = [sys.executable, "-m", "bench.webhook_peer", place.url, WEBHOOK_SECRET, str(port)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
            try:
                _wait_for(port)
                server, address = psutil.Process(process.pid), f"{HOST}:{port}"
                for callers in concurrency:
                    yield from _rows(stage, place, PEER, callers, count, address, {}, server)
            finally:
                process.terminate()
    if "null" in what:
        yield from _payd(stage, place, "null", stage.null(place), concurrency, count, {})
    if "stripe" in what:
        with _stripe() as api:
            environ = {
                **place.environ,
                "STRIPE_ENABLED": "true",
                "STRIPE_API_BASE": api,
                "STRIPE_SECRET_KEY": _KEY,
                "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
                "STRIPE_REQUESTS_PER_SECOND": "10000",
            }
            options = {"--stripe": api}
            yield from _payd(stage, place, "stripe", environ, concurrency, count, options)


def _payd(
    stage: Stage,
    place: Place,
    provider: str,
    environ: Mapping[str, str],
    concurrency: Sequence[int],
    count: int,
    options: Mapping[str, str],
) -> Iterator[Row]:
    with stage.payd(environ) as daemon:
        options = {
            **options,
            "--provider": provider,
            "--grpc": daemon.grpc,
            "--pki": str(stage.pki),
            "--nats": place.nats,
        }
        for callers in concurrency:
            yield from _rows(
                stage, place, payd(provider), callers, count, daemon.http, options, daemon.process
            )
        yield _alone(stage, place, payd(provider), count, daemon.http, options, daemon.process)


def _rows(
    stage: Stage,
    place: Place,
    what: str,
    callers: int,
    count: int,
    http: str,
    options: Mapping[str, str],
    server: psutil.Process,
) -> Iterator[Row]:
    count = count // 4 if callers == 1 else count
    command = [*_command(http, count, options), "--concurrency", str(callers)]
    figures, costs = _load(stage, command, server)
    common: dict[str, Any] = {"what": what, "concurrency": callers, "stored": place.stored}
    answer = {name: figures[name] for name in ("per_second", "p50_ms", "p99_ms", "errors")}
    # The costs of payd are those of the whole way, up to the event.
    yield Row(**common, call=TO_2XX, **answer, **({} if options else costs))
    if options:
        yield Row(**common, call=TO_EVENT, **_to_event(figures), **costs)


def _alone(
    stage: Stage,
    place: Place,
    what: str,
    count: int,
    http: str,
    options: Mapping[str, str],
    server: psutil.Process,
) -> Row:
    command = [*_command(http, count // 4, options), "--concurrency", "1", "--alone"]
    figures, costs = _load(stage, command, server)
    common: dict[str, Any] = {"what": what, "concurrency": 1, "stored": place.stored}
    return Row(**common, call=ALONE, **_to_event(figures), **costs)


def _command(http: str, count: int, options: Mapping[str, str]) -> list[str]:
    command = [sys.executable, "-m", "bench.webhooks", http, WEBHOOK_SECRET, "--count", str(count)]
    return command + [part for option in options.items() for part in option]


def _load(
    stage: Stage, command: Sequence[str], server: psutil.Process
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the load measured, and the CPU of each webhook."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as load:
        assert load.stdout
        assert load.stdout.readline() == "ready\n"
        with stage.cpu(server) as spent:
            output, _ = load.communicate("go\n")
    figures: dict[str, Any] = json.loads(output)
    return figures, dict(spent.per_call(figures["calls"]))


def _to_event(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "p50_ms": figures["event_p50_ms"],
        "p99_ms": figures["event_p99_ms"],
        "errors": figures["calls"] - figures["events"],
    }


@contextmanager
def _stripe() -> Iterator[str]:
    """Run Stripe's stand-in; its URL."""
    command = [sys.executable, "-m", "stripe_provider.companion", "--secret-key", _KEY]
    command += ["--webhook-secret", WEBHOOK_SECRET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stripe:
        try:
            assert stripe.stdout
            yield json.loads(stripe.stdout.readline())["url"]
        finally:
            stripe.kill()


def _wait_for(port: int) -> None:
    while True:
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/")
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
