"""Measure everything, or a chosen part, in one run; print a table and keep it as JSON."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs
import trio

from bench import call_rows, chain_rows, dust, report, results, webhook_rows
from bench.call_rows import Choice
from bench.measured import Row, combined
from bench.results import Results
from bench.stage import ROOT, Place, Stage, open_stage
from payd.dev.state import StateDir, open_state

PARTS = ("initiate", "get", "whole", "webhooks", "dust", "memory", "chain")
WHAT = ("pgbench", "peer", "mock", "null", "stripe")
_EPILOG = """
quick parts, for working on one of them:
  python -m bench --only initiate get --what peer null --concurrency 16 --seconds 5
  python -m bench --only whole --what null --concurrency 1 4 16 --seconds 5
  python -m bench --only webhooks --what peer null --webhooks 400
  python -m bench --only dust
  python -m bench --only initiate --what null --code ../another-checkout

Compare rows of one run with each other. --rounds repeats each measurement in turn, so that a busy
minute hits all servers, and takes medians.
"""


def main() -> None:
    """Parse, measure, report."""
    args = _arguments()
    with _state(args.keep) as state:
        measured = trio.run(_run, state, args)
    results.write(measured, args.output)
    print(report.tables(measured))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Throughput, latency and cost of payd beside the smallest servers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS))
    add("--what", nargs="+", choices=WHAT, default=WHAT, metavar="SERVER", help=" ".join(WHAT))
    add("--seconds", type=float, default=5, help="seconds of each measurement (5)")
    add("--concurrency", type=int, nargs="+", default=[1, 4, 16], help="calls at once (1 4 16)")
    add("--rounds", type=int, default=1, help="repetitions, of which the medians count (1)")
    add("--webhooks", type=int, default=800, help="webhooks of a measurement (800)")
    add("--stored", type=int, default=1_000, help="payments stored before (1000)")
    add("--open-payments", type=int, nargs="+", default=[1, 10_000], help="for the chain")
    add("--code", type=Path, default=ROOT, help="checkout of the payd to measure (this one)")
    add("--keep", type=Path, help="folder in which the databases stay for another run")
    add("--output", type=Path, default=ROOT / "bench/results", help="folder of bench.json")
    return parser.parse_args()


@contextmanager
def _state(keep: Path | None) -> Iterator[StateDir]:
    if keep is not None:
        with open_state(keep, ephemeral=False) as state:
            yield state
        return
    with tempfile.TemporaryDirectory(prefix="payd-bench-", ignore_cleanup_errors=True) as folder:
        # PostgreSQL's user must be able to pass through.
        Path(folder).chmod(0o755)
        with open_state(Path(folder) / "state", ephemeral=False) as state:
            yield state


async def _run(state: StateDir, args: argparse.Namespace) -> Results:
    async with open_stage(state, args.code.resolve()) as stage:
        return await trio.to_thread.run_sync(_measure, stage, args)


def _measure(stage: Stage, args: argparse.Namespace) -> Results:
    place = stage.place(f"stored_{args.stored}", args.stored)
    measured = Results(
        date=datetime.now(UTC).date().isoformat(),
        seconds=args.seconds,
        rounds=args.rounds,
        machine=results.machine(),
        rows=[],
    )
    rounds = [row for _ in range(args.rounds) for row in _round(stage, place, args)]
    rows = list(combined(rounds))
    if "chain" in args.only:
        rows += _shown("chain", lambda: chain_rows.measure(stage, args.open_payments))
    daemon = _memory(stage, place, args) if "memory" in args.only else {}
    return attrs.evolve(measured, rows=rows, daemon=daemon)


def _round(stage: Stage, place: Place, args: argparse.Namespace) -> Iterator[Row]:
    calls = [part for part in args.only if part in call_rows.CALLS]
    choice = Choice(what=args.what, calls=calls, concurrency=args.concurrency, seconds=args.seconds)
    yield from _shown("calls", lambda: call_rows.measure(stage, place, choice))
    if "webhooks" in args.only:
        yield from _shown(
            "webhooks",
            lambda: webhook_rows.measure(stage, place, args.what, args.concurrency, args.webhooks),
        )
    if "dust" in args.only:
        yield from _shown("dust", lambda: dust.measure(stage, place))


def _shown(part: str, measure: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """Show each row on stderr as soon as it is measured: a whole run takes minutes."""
    for row in measure():
        figures = (row.per_second, row.p50_ms, row.server_cpu_us)
        print(f"{part}: {row.what}, {row.call}, {row.concurrency}: {figures}", file=sys.stderr)
        yield row


def _memory(stage: Stage, place: Place, args: argparse.Namespace) -> dict[str, float]:
    """Memory of a daemon at rest and after whole payments, and its time until ready."""
    with stage.payd(stage.null(place)) as daemon:
        rest_mib = daemon.rss_mib()
        call_rows.load(
            stage,
            place,
            daemon.process,
            what=call_rows.payd("null"),
            call="whole",
            method="null",
            target=daemon.grpc,
            concurrency=16,
            seconds=args.seconds * 2,
        )
        load_mib = daemon.rss_mib()
    return {"rest_mib": rest_mib, "load_mib": load_mib, "ready_s": daemon.ready_s}


if __name__ == "__main__":
    main()
