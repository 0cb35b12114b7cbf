"""Make docs/benchmarks.md, its charts and its plans from the results of a run."""

import argparse
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench import (
    chain_addresses,
    chart,
    dust,
    ledger,
    list_rows,
    page_rows,
    report,
    results,
    webhook_rows,
)
from bench.call_rows import CALLS, PEER, PGBENCH, PROVIDERS, payd
from bench.daemon_rows import what as daemons_row
from bench.goals import total_cpu_us
from bench.measured import Row
from bench.results import Results, Statement
from bench.stage import ROOT

_NULL, _WHOLE = payd("null"), CALLS["whole"]
_DOCS = ROOT / "docs"
_SCAN = re.compile(
    r"(Index Only Scan|Index Scan|Bitmap Index Scan|Seq Scan)(?: Backward)?"
    r"(?: using (\w+))?(?: on (\w+))?"
)


def main() -> None:
    """Write the page, the charts and the plans."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=ROOT / "bench/results")
    parser.add_argument("--note", default="", help="what a reader has to know about the run")
    args = parser.parse_args()
    measured = results.read(args.results)
    for name, svg in _charts(measured).items():
        (_DOCS / name).write_text(svg)
    (_DOCS / "benchmarks.md").write_text("\n".join(_sections(measured, args.note)))
    if measured.statements:
        (_DOCS / "benchmarks-plans.md").write_text("\n".join(_plans(measured)))


def _sections(measured: Results, note: str = "") -> Iterator[str]:
    cores, python = measured.machine["cores"], measured.machine["python"]
    load = measured.machine.get("load_average", "not noted")
    run = _wrapped(
        f"The run of {measured.date}: {cores} cores, shared by payd, PostgreSQL, NATS and the "
        f"load; load average before it: {load}; Python {python}; mutual TLS; "
        f"{measured.seconds:g} s per row; rounds: {measured.rounds}. {note} Compare rows of one "
        "run with each other: absolute figures depend on the machine and its load."
    )
    yield f"""# Benchmarks

`make bench` measures payd beside minimal servers on one machine; `make bench-full` adds ten million
stored payments, query plans and a soak. `python -m bench --help` shows how to run a part. This page
is made from the results by `python -m bench.page`.

{run}
- **{PGBENCH}** sends the two SQL statements of InitiatePayment and nothing else.
- **{PEER}** is the smallest server that writes the same rows
  ([bench/peer.py](../bench/peer.py)): grpc.aio, asyncpg and payd's two statements, without
  validation, prices, a provider, metrics or logs.
- **{webhook_rows.PEER}** verifies a webhook and stores its bytes
  ([bench/webhook_peer.py](../bench/webhook_peer.py)).
- **{_NULL}**: a provider that answers at once and stores nothing
  ([bench/null_provider.py](../bench/null_provider.py)), so these rows are payd's own cost. The
  mock keeps its sessions in SQLite.
- A **{_WHOLE}** is a closed loop: InitiatePayment, the customer's payment as soon as its URL
  is known, the provider's report, settlement, and the event in NATS; the time is that from the call
  to the event. The mock pays by itself, at times before the answer to the call.
- **{webhook_rows.TO_2XX}** sends the next webhook at the answer to the one before, so that
  events wait for each other; **{webhook_rows.ALONE}** sends it after the event.
- **CPU** is that of a process tree, per call: payd or the peer, PostgreSQL with its background
  processes, and NATS. **/ peer** compares with the peer's row of the same call.
"""
    if reached := report.goals_table(measured):
        yield f"## Goals\n\n{reached}"
    yield f"## Calls and webhooks\n\n{_images(measured)}{report.rows_table(_main_rows(measured))}"
    for title, table in _tables(measured).items():
        yield f"## {title}\n\n{table}"
    yield _limit(measured)


def _main_rows(measured: Results) -> list[Row]:
    names = {PGBENCH, PEER, webhook_rows.PEER, *(payd(one) for one in (*PROVIDERS, "stripe"))}
    return [row for row in measured.rows if row.what in names and "receipt" not in row.call]


def _tables(measured: Results) -> Mapping[str, str]:
    """Title and content of the sections that the run measured."""
    rows = measured.rows
    sections: dict[str, str] = {}
    if receipts := [row for row in rows if row.call in map(dust.call, dust.RECEIPTS)]:
        sections["Many receipts of one payment"] = report.rows_table(receipts)
    counts = [daemons_row(count) for count in range(1, 17)]
    if several := [row for row in rows if row.what in counts]:
        sections["Several daemons"] = report.rows_table(several)
    if pages := [row for row in rows if page_rows.is_page(row)]:
        sections["Open payment pages"] = _pages(pages)
    if audits := [row for row in rows if row.call == ledger.CALL]:
        sections["Audit of the ledger"] = report.rows_table(audits)
    if listed := [row for row in rows if row.what == list_rows.WHAT]:
        sections["Lists, by every filter"] = _lists(listed)
    if measured.statements:
        sections["Statements and the number of stored payments"] = _statement_table(measured)
    if measured.daemon or measured.soaks:
        sections["Memory"] = _memory(measured)
    if addresses := [row for row in rows if row.call in chain_addresses.CALLS]:
        sections["Addresses on the chain"] = _addresses(addresses)
    elsewhere = (*receipts, *several, *pages, *audits, *listed, *addresses, *_main_rows(measured))
    shown = {id(row) for row in elsewhere}
    if chain := [row for row in rows if id(row) not in shown]:
        sections["Chain"] = (
            "A scripted node serves the chain over HTTP ([bench/chain_node.py]"
            "(../bench/chain_node.py));\nPostgreSQL is real.\n\n" + report.rows_table(chain)
        )
    return sections


def _pages(rows: Sequence[Row]) -> str:
    return f"{report.pages_table(rows)}\n" + _wrapped(
        "Each page has a connection of its own and waits for news of its payment. Its browser asks "
        "again every 25 seconds, and the row of a second at rest contains that."
    )


def _addresses(rows: Sequence[Row]) -> str:
    return f"{report.addresses_table(rows)}\n" + _wrapped(
        "With `TEMPO_MASTER_ID` each payment has an address of its own on the chain. A scripted "
        "node serves the blocks ([bench/chain_node.py](../bench/chain_node.py)); of those that are "
        "caught up one in a hundred has a receipt. Found is the time from a final block with a "
        "payment's money to the stored completion, with a poll every "
        f"{chain_addresses.POLL_S:g} s ± 10 %, at a random time between two polls."
    )


def _lists(rows: Sequence[Row]) -> str:
    """Each filter alone as rows; of the pairs, which are many, the slowest."""
    pairs = [row for row in rows if list_rows.is_pair(row)]
    slowest = max(pairs, key=lambda row: row.p50_ms or 0)
    alone = [row for row in rows if not list_rows.is_pair(row)]
    return f"{report.rows_table(alone)}\n" + _wrapped(
        f"Of {len(pairs)} rows of pairs of filters the slowest is {slowest.call} with "
        f"{slowest.stored:,} stored payments: p50 {slowest.p50_ms} ms, p99 {slowest.p99_ms} ms. "
        "A page has 50 payments if so many are found; reading them is most of the time."
    )


# -- statements -----------------------------------------------------------------------------------


def _statement_table(measured: Results) -> str:
    sizes = sorted({one.stored for one in measured.statements})
    by_key = {(one.name, one.stored): one for one in measured.statements}
    names = sorted({one.name for one in measured.statements})
    titles = ["statement", *(f"p50 ms, {size:,} stored" for size in sizes), "ratio", "reads by"]
    lines = [f"| {' | '.join(titles)} |", "|---|" + "---:|" * (len(sizes) + 1) + "---|"]
    for name in names:
        found = [by_key.get((name, size)) for size in sizes]
        times = [f"{one.p50_ms:.3f}" if one else "" for one in found]
        first, last = found[0], found[-1]
        ratio = f"{last.p50_ms / first.p50_ms:.2f}" if first and last and first != last else ""
        reads = _reads(last or first)
        lines.append(f"| {' | '.join([f'`{name}`', *times, ratio, reads])} |")
    return (
        "Times are PostgreSQL's own, one call at a time, as auto_explain logged them for a daemon "
        "under load.\nThe [plans](benchmarks-plans.md) are those of the median run.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _reads(statement: Statement | None) -> str:
    """The indexes of a plan, and the tables that it reads as a whole."""
    reads: dict[str, None] = {}
    for line in statement.plan.splitlines() if statement else ():
        match = _SCAN.search(line)
        if match and "never executed" not in line:
            kind, index, table = match.groups()
            name = f"all of `{table}`" if kind == "Seq Scan" else f"`{index or table}`"
            reads[name] = None
    return ", ".join(reads)


def _plans(measured: Results) -> Iterator[str]:
    yield """# Query plans

What PostgreSQL did for every statement of a daemon under load: the plan of the median run, from
auto_explain. See [Benchmarks](benchmarks.md) for the times. Made by `python -m bench.page`.
"""
    sizes = {one.stored for one in measured.statements}
    for one in measured.statements:
        if one.stored == max(sizes):
            yield f"## {one.name}\n\n{one.stored:,} stored payments, {one.p50_ms:g} ms\n"
            yield f"```text\n{one.plan.rstrip()}\n```\n"


# -- charts and memory ----------------------------------------------------------------------------


def _charts(measured: Results) -> Mapping[str, str]:
    costs: dict[str, dict[str, float]] = {}
    for call in (*CALLS.values(), webhook_rows.TO_EVENT):
        for what in (PEER, _NULL):
            row = measured.row(what, call, 16)
            if row is not None and row.server_cpu_us is not None:
                costs[f"{call}: {what}"] = {
                    "server": row.server_cpu_us,
                    "PostgreSQL": row.postgres_cpu_us or 0,
                    "NATS": row.nats_cpu_us or 0,
                }
    charts = {"benchmarks-cpu.svg": chart.bars("CPU per call, 16 at once", "µs", costs)}
    if measured.soaks:
        series = {f"{one.daemons} daemon(s)": one.samples for one in measured.soaks}
        charts["benchmarks-memory.svg"] = chart.lines("Memory under load", "MiB", series)
    return charts


def _images(measured: Results) -> str:
    return "![CPU per call](benchmarks-cpu.svg)\n\n" if measured.rows else ""


def _memory(measured: Results) -> str:
    parts = []
    if daemon := measured.daemon:
        parts.append(
            f"{daemon['rest_mib']:g} MiB at rest, {daemon['load_mib']:g} MiB after "
            f"{measured.seconds * 2:g} s of whole payments. Ready {daemon['ready_s']:g} s after "
            "the start.\n"
        )
    if measured.soaks:
        parts.append("![Memory under load](benchmarks-memory.svg)\n")
    parts += [
        _wrapped(
            f"{one.daemons} daemon(s), {one.calls:,} whole payments in {one.seconds:g} s: "
            f"{one.samples[0][1]:g} → {one.samples[-1][1]:g} MiB, slope of the second half "
            f"{one.slope_mib_per_hour:g} MiB an hour; {one.errors} errors, {one.deadlocks} "
            "deadlocks."
        )
        for one in measured.soaks
    ]
    return "\n".join(parts)


# -- where PostgreSQL ends ------------------------------------------------------------------------


def _limit(measured: Results) -> str:
    row = measured.row(_NULL, _WHOLE, 16)
    figures = "Run `make bench-full` for the figures of this section.\n"
    if row is not None and row.postgres_cpu_us and row.server_cpu_us:
        a_core = 1e6 / row.postgres_cpu_us
        figures = _wrapped(
            f"A whole payment costs PostgreSQL {row.postgres_cpu_us / 1000:.1f} ms of CPU and payd "
            f"{row.server_cpu_us / 1000:.1f} ms, of {total_cpu_us(row) / 1000:.1f} ms with NATS. "
            f"So one core of PostgreSQL carries about {a_core:,.0f} whole payments a second, "
            f"which takes {row.server_cpu_us / row.postgres_cpu_us:.1f} daemons; eight cores carry "
            f"about {a_core * 8:,.0f}, unless the disk ends first."
        )
    if measured.bytes_per_payment:
        size = measured.bytes_per_payment
        figures += _wrapped(
            f"A stored payment takes {size / 1000:.1f} kB in all tables and indexes: "
            f"{size * 864_000 / 1e9:.1f} GB a day at ten a second, {size * 8_640_000 / 1e9:.0f} GB "
            "at a hundred."
        )
    return (_DOCS.parent / "bench/limit.md").read_text().format(figures=figures)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False) + "\n"


if __name__ == "__main__":
    main()
