"""Measure everything, or a chosen part, in one run; print a table and keep it as JSON."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs
import psutil
import trio

from bench import (
    call_rows,
    chain_addresses,
    chain_rows,
    daemon_rows,
    dust,
    ledger,
    list_rows,
    page_rows,
    plans,
    report,
    results,
    soak,
    webhook_rows,
)
from bench.call_rows import Choice
from bench.measured import Row, combined
from bench.results import Results, Soak, Statement
from bench.stage import ROOT, Place, Stage, is_complete, open_stage
from bench.stored import DiskTooSmall, check_disk
from payd.dev.state import StateDir, open_state

PARTS = ("initiate", "get", "whole", "webhooks", "dust", "memory", "daemons", "chain", "pages")
#: What takes longer, or needs many stored payments.
FULL_PARTS = ("statements", "ledger", "lists", "soak", "addresses")
MANY = 10_000_000
#: From so many on, the indexes do not fit into the cache of a development server.
_MANY_STORED = 100_000
PEERS = ("pgbench", "peer")
WHAT = (*PEERS, "mock", "null", "stripe")
_EPILOG = """
quick parts, for working on one of them:
  python -m bench --only initiate get --what peer null --concurrency 16 --seconds 5
  python -m bench --only whole --what null --concurrency 1 4 16 --seconds 5
  python -m bench --only webhooks --what peer null --webhooks 400
  python -m bench --only dust
  python -m bench --only addresses --addresses 1 1000 --closed 10000
  python -m bench --only initiate whole --what null --rounds 5 --code ../another-checkout
  python -m bench --only statements ledger --stored 1000 1000000 --keep /var/tmp/bench

Compare rows of one run with each other. --rounds repeats each measurement in turn, so that a busy
minute hits all servers, and takes medians. Another checkout runs on the same database, which has
this one's schema: it must be a neighbouring version.
"""


def main() -> None:
    """Parse, measure, report."""
    args = _arguments()
    with _state(args.keep) as state:
        missing = [count for count in args.stored if not is_complete(state, database(count))]
        try:
            check_disk(state.data, sum(missing))
        except DiskTooSmall as error:
            sys.exit(str(error))
        measured = trio.run(_run, state, args)
    results.write(measured, args.output)
    print(report.tables(measured))


def database(stored: int) -> str:
    """Return the name of the database with so many stored payments."""
    return f"stored_{stored}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Throughput, latency and cost of payd beside the smallest servers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    parts = (*PARTS, *FULL_PARTS)
    add("--only", nargs="+", choices=parts, metavar="PART", help=" ".join(parts))
    add("--full", action="store_true", help=f"all parts; also with {MANY:,} payments, 30 GB")
    add("--what", nargs="+", choices=WHAT, default=WHAT, metavar="SERVER", help=" ".join(WHAT))
    add("--seconds", type=float, default=5, help="seconds of each measurement (5)")
    add("--concurrency", type=int, nargs="+", help="calls at once (1 4 16; with --full also 64)")
    add("--rounds", type=int, default=1, help="repetitions, of which the medians count (1)")
    add("--webhooks", type=int, default=800, help="webhooks of a measurement (800)")
    add("--stored", type=int, nargs="+", help="payments stored before (1000)")
    add("--open-payments", type=int, nargs="+", help="open payments, for the chain (1 10000)")
    add("--addresses", type=int, nargs="+", help="open payments with addresses (1 10000 100000)")
    add("--closed", type=int, default=chain_addresses.CLOSED, help="closed ones of them (1000000)")
    add("--daemons", type=int, nargs="+", default=[1, 2], help="daemons on one database (1 2)")
    add("--soak-seconds", type=float, default=600, help="seconds of each soak (600)")
    add("--code", type=Path, help="another checkout, whose payd is measured beside this one")
    add("--keep", type=Path, help="folder in which the databases stay for another run")
    add("--output", type=Path, default=ROOT / "bench/results", help="folder of bench.json")
    args = parser.parse_args()
    args.only = args.only or (parts if args.full else PARTS)
    args.concurrency = args.concurrency or ([1, 4, 16, 64] if args.full else [1, 4, 16])
    args.stored = sorted(args.stored or ([1_000, MANY] if args.full else [1_000]))
    args.addresses = sorted(args.addresses or chain_addresses.OPEN)
    args.open_payments = args.open_payments or [1, 10_000, *([1_000_000] if args.full else [])]
    return args


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
    # The most that PostgreSQL's documentation advises; ten million payments have 8 GB of indexes.
    cache = f"{psutil.virtual_memory().total * 2 // 5 // 2**20}MB"
    settings = {"shared_buffers": cache} if max(args.stored) >= _MANY_STORED else {}
    async with open_stage(state, ROOT, settings) as stage:
        return await trio.to_thread.run_sync(_measure, stage, args)


def _measure(stage: Stage, args: argparse.Namespace) -> Results:
    machine = results.machine()
    rows: list[Row] = []
    statements: list[Statement] = []
    for stored in args.stored:
        place = stage.place(database(stored), stored)
        is_smallest = stored == args.stored[0]
        # First: later rows of the small database would be more than those it began with.
        if "statements" in args.only:
            statements += plans.measure(stage, place, args.seconds)
        if "ledger" in args.only:
            rows += _shown("ledger", lambda: ledger.measure(stage, place))  # noqa: B023 - at once
        if "lists" in args.only:
            rows += _shown("lists", lambda: list_rows.measure(place))  # noqa: B023 - at once
        size = stage.bytes_per_payment(place)
        rounds = [row for _ in range(args.rounds) for row in _rounds_of_all(stage, place, args)]
        rows += combined(rounds)
        if is_smallest:
            daemon = _memory(stage, place, args) if "memory" in args.only else {}
            rows += _on_the_smallest(stage, place, args)
            soaks = list(_soaks(stage, place, args)) if "soak" in args.only else []
    return Results(
        date=datetime.now(UTC).date().isoformat(),
        seconds=args.seconds,
        rounds=args.rounds,
        machine=machine,
        rows=rows,
        daemon=daemon,
        statements=statements,
        bytes_per_payment=size,
        soaks=soaks,
    )


def _on_the_smallest(stage: Stage, place: Place, args: argparse.Namespace) -> Iterator[Row]:
    """What does not depend on the number of stored payments."""
    if "dust" in args.only:
        yield from _shown("dust", lambda: dust.measure(stage, place))
    if "daemons" in args.only:
        yield from _shown(
            "daemons", lambda: daemon_rows.measure(stage, place, args.daemons, args.seconds)
        )
    if "pages" in args.only:
        yield from _shown("pages", lambda: page_rows.measure(stage, place, args.seconds))
    if "chain" in args.only:
        yield from _shown("chain", lambda: chain_rows.measure(stage, args.open_payments))
    if "addresses" in args.only:
        yield from _shown(
            "addresses", lambda: chain_addresses.measure(stage, args.addresses, args.closed)
        )


def _soaks(stage: Stage, place: Place, args: argparse.Namespace) -> Iterator[Soak]:
    for count in args.daemons:
        one = soak.measure(stage, place, count, args.soak_seconds)
        print(f"soak: {count}: {one.slope_mib_per_hour} MiB an hour", file=sys.stderr)
        yield one


def _rounds_of_all(stage: Stage, place: Place, args: argparse.Namespace) -> Iterator[Row]:
    """A round of everything, and one of the other checkout's payd on the same database."""
    yield from _round(stage, place, args, args.what)
    if args.code is not None:
        other = stage.of(args.code.resolve())
        what = [one for one in args.what if one not in PEERS]
        for row in _round(other, other.place(database(place.stored), place.stored), args, what):
            yield attrs.evolve(row, what=row.what + report.OTHER)


def _round(
    stage: Stage, place: Place, args: argparse.Namespace, what: Sequence[str]
) -> Iterator[Row]:
    calls = [part for part in args.only if part in call_rows.CALLS]
    choice = Choice(what=what, calls=calls, concurrency=args.concurrency, seconds=args.seconds)
    yield from _shown("calls", lambda: call_rows.measure(stage, place, choice))
    if "get" in calls and place.stored > call_rows.NEWEST:
        yield from _shown("calls", lambda: call_rows.measure_any(stage, place, choice))
    if "webhooks" in args.only:
        yield from _shown(
            "webhooks",
            lambda: webhook_rows.measure(stage, place, what, args.concurrency, args.webhooks),
        )


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
