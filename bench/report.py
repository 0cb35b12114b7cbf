"""The results as Markdown tables, on the terminal and in the page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench import chain_addresses, page_rows, webhook_rows
from bench.call_rows import PEER
from bench.goals import goals, ratio
from bench.measured import Row
from bench.results import Results

_TITLES = (
    "what",
    "call",
    "at once",
    "stored",
    "per second",
    "p50 ms",
    "p99 ms",
    "server CPU µs",
    "PostgreSQL CPU µs",
    "NATS CPU µs",
    "rate / peer",
    "p50 / peer",
    "CPU / peer",
    "errors",
)
_RATIOS = ("per_second", "p50_ms", "server_cpu_us")
_PEERS = (PEER, webhook_rows.PEER)
#: Ends the name of what was measured, for rows of another checkout's payd.
OTHER = ", other checkout"


def tables(results: Results) -> str:
    """Everything that was measured: rows, the other checkout's ratios, goals."""
    parts = [rows_table(results.rows)]
    if pages := [row for row in results.rows if page_rows.is_page(row)]:
        parts.append(pages_table(pages))
    if addresses := [row for row in results.rows if row.call in chain_addresses.CALLS]:
        parts.append(addresses_table(addresses))
    if beside := beside_table(results.rows):
        parts.append(beside)
    if reached := goals_table(results):
        parts.append(reached)
    return "\n".join(parts)


def rows_table(rows: Sequence[Row]) -> str:
    """One line per row, with its ratios to the peer's row of the same call."""
    return _table(_TITLES, 2, (_cells(row, rows) for row in rows))


def pages_table(rows: Sequence[Row]) -> str:
    """One line per row of open payment pages: what they cost payd, and its callers."""
    titles = ("what", "call", "per second", "p50 ms", "p99 ms", "payd CPU µs", "payd MiB")
    figures = ("per_second", "p50_ms", "p99_ms", "server_cpu_us", "rss_mib")
    return _table(
        titles,
        2,
        ((row.what, row.call, *(_text(getattr(row, one)) for one in figures)) for row in rows),
    )


def addresses_table(rows: Sequence[Row]) -> str:
    """One line for each number of addresses: what the watch costs, and how soon it finds money."""
    titles = (
        "open",
        "closed",
        "empty block: payd CPU µs",
        "PostgreSQL CPU µs",
        "blocks caught up per second",
        "found: p50 ms",
        "p99 ms",
        "expired one found: p50 ms",
        "p99 ms",
        "payd MiB",
    )
    cases: dict[tuple[int, int], dict[str, Row]] = {}
    for row in rows:
        opened, stored = row.open_payments or 0, row.stored or 0
        cases.setdefault((opened, stored - opened), {})[row.call] = row
    return _table(titles, 0, (_case(*case, by_call) for case, by_call in cases.items()))


def _case(opened: int, closed: int, by_call: Mapping[str, Row]) -> Iterator[str]:
    yield f"{opened:,}"
    yield f"{closed:,}"
    for call, figures in (
        (chain_addresses.EMPTY, ("server_cpu_us", "postgres_cpu_us")),
        (chain_addresses.CAUGHT_UP, ("per_second",)),
        (chain_addresses.FOUND, ("p50_ms", "p99_ms")),
        (chain_addresses.FOUND_LATE, ("p50_ms", "p99_ms")),
        (chain_addresses.EMPTY, ("rss_mib",)),
    ):
        for figure in figures:
            yield _text(getattr(by_call.get(call), figure, None))


def _cells(row: Row, rows: Sequence[Row]) -> Iterator[str]:
    peer = next((one for one in rows if _is_peer_of(one, row)), None)
    yield row.what
    yield row.call
    yield _text(row.concurrency)
    yield "" if row.stored is None else f"{row.stored:,}"
    for figure in ("per_second", "p50_ms", "p99_ms"):
        yield _text(getattr(row, figure))
    for figure in ("server_cpu_us", "postgres_cpu_us", "nats_cpu_us"):
        value = getattr(row, figure)
        yield "" if value is None else f"{value:,.0f}"
    for figure in _RATIOS:
        yield _text(ratio(row, peer, figure)) if peer else ""
    yield str(row.errors)


def _is_peer_of(one: Row, row: Row) -> bool:
    return (
        one.what in _PEERS
        and row.what not in _PEERS
        and (one.call, one.concurrency, one.stored) == (row.call, row.concurrency, row.stored)
    )


def beside_table(rows: Sequence[Row]) -> str:
    """One line per row that was measured with both checkouts; empty without another one."""
    others = {row.key: row for row in rows}
    lines = [
        (
            row.what,
            row.call,
            _text(row.concurrency),
            *(_text(ratio(row, other, one)) for one in _RATIOS),
        )
        for row in rows
        if (other := others.get((row.what + OTHER, *row.key[1:])))
    ]
    titles = ("what", "call", "at once", "rate / other", "p50 / other", "CPU / other")
    return _table(titles, 2, lines) if lines else ""


def goals_table(results: Results) -> str:
    """One line per goal; empty when none was measured."""
    lines = [
        (
            goal.name,
            f"{goal.value:g} {goal.unit}".strip(),
            f"{'≥' if goal.is_least else '≤'} {goal.limit:g} {goal.unit}".strip(),
            "yes" if goal.is_met else "no",
        )
        for goal in goals(results)
    ]
    return _table(("measured", "value", "goal", "met"), 1, lines) if lines else ""


def _table(titles: Sequence[str], texts: int, lines: Iterable[Iterable[str]]) -> str:
    ruler = "|" + "---|" * texts + "---:|" * (len(titles) - texts)
    body = ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join(["| " + " | ".join(titles) + " |", ruler, *body]) + "\n"


def _text(value: object) -> str:
    return "" if value is None else str(value)
