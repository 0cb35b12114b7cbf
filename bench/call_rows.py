"""InitiatePayment, GetPayment, whole payments: pgbench, the peer, and payd with each provider."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import psutil

from bench import pgbench
from bench.measured import Row
from bench.stage import ROOT, Place, Stage

#: GetPayment reads one of so many newest payments, as callers that wait for a result do.
NEWEST = 100
#: What the table calls the measured methods.
CALLS = {"initiate": "InitiatePayment", "get": "GetPayment", "whole": "whole payment"}
PGBENCH, PEER = "pgbench", "grpc.aio peer"
PROVIDERS = ("mock", "null")


@attrs.frozen(kw_only=True)
class Choice:
    """What a run measures, and for how long."""

    what: Sequence[str]
    calls: Sequence[str]
    concurrency: Sequence[int]
    seconds: float


def payd(provider: str) -> str:
    """Return what the table calls payd with a provider."""
    return f"payd, {provider} provider"


def measure(stage: Stage, place: Place, choice: Choice) -> Iterator[Row]:
    """The rows of one round, each server on the same database."""
    if "pgbench" in choice.what and "initiate" in choice.calls:
        for clients in choice.concurrency:
            with stage.cpu() as spent:
                figures = pgbench.run(place.url, clients, choice.seconds)
            calls = figures.pop("calls")
            stage.forget_open_payments(place)
            costs: dict[str, Any] = {**spent.per_call(calls), "server_cpu_us": None}
            yield Row(what=PGBENCH, concurrency=clients, stored=place.stored, **figures, **costs)
    if "peer" in choice.what:
        with stage.peer(place.url) as (process, target):
            for call in choice.calls:
                if call != "whole":
                    yield from _load(stage, place, choice, PEER, call, "null", target, process)
    for provider in PROVIDERS:
        if provider in choice.what:
            environ = stage.mock(place) if provider == "mock" else stage.null(place)
            with stage.payd(environ) as daemon:
                for call in choice.calls:
                    yield from _load(
                        stage,
                        place,
                        choice,
                        payd(provider),
                        call,
                        provider,
                        daemon.grpc,
                        daemon.process,
                    )


def measure_any(stage: Stage, place: Place, choice: Choice) -> Iterator[Row]:
    """GetPayment of any stored payment, most of which are in no cache."""
    with stage.payd(stage.null(place)) as daemon:
        for concurrency in choice.concurrency:
            row = load(
                stage,
                place,
                daemon.process,
                what=payd("null"),
                call="get",
                method="null",
                target=daemon.grpc,
                concurrency=concurrency,
                seconds=choice.seconds,
                newest=place.stored,
            )
            yield attrs.evolve(row, call=f"{row.call}, any of all")


def _load(
    stage: Stage,
    place: Place,
    choice: Choice,
    what: str,
    call: str,
    method: str,
    target: str,
    *servers: psutil.Process,
) -> Iterator[Row]:
    for concurrency in choice.concurrency:
        yield load(
            stage,
            place,
            *servers,
            what=what,
            call=call,
            method=method,
            target=target,
            concurrency=concurrency,
            seconds=choice.seconds,
        )


def load(  # noqa: PLR0913 - the parameters of one row
    stage: Stage,
    place: Place,
    *servers: psutil.Process,
    what: str,
    call: str,
    method: str,
    target: str,
    concurrency: int,
    seconds: float,
    connections: int = 1,
    newest: int = NEWEST,
) -> Row:
    """Load a server, and measure it with its process trees."""
    options = {
        "--method": method,
        "--concurrency": str(concurrency),
        "--connections": str(connections),
        "--seconds": str(seconds),
        "--stored": str(min(place.stored, newest)),
        "--nats": place.nats,
    }
    command = [sys.executable, "-m", "bench.load", target, str(stage.pki), call]
    command += [part for option in options.items() for part in option]
    with stage.cpu(*servers) as spent:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    stage.forget_open_payments(place)
    figures: dict[str, Any] = json.loads(done.stdout)
    calls = figures.pop("calls")
    return Row(
        what=what,
        call=CALLS[call],
        concurrency=concurrency,
        stored=place.stored,
        **figures,
        **spent.per_call(calls),
    )
