"""The bench: it waits for a log line, combines rounds, reads plans, and makes its page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from bench import chain_addresses, page, plans, report, results
from bench.measured import Row, combined
from bench.results import Results, Statement
from bench.soak import slope_per_hour
from bench.started import wait_for_line
from payd.adapters.postgres.statements import STATEMENTS

#: A daemon's log as it grows: each piece is what was written between two looks.
PIECES = [
    "Warning: not JSON\n",
    '{"event": "vault_',
    'read"}\n{"event": "daemon_sta',
    'rted", "g',
    'rpc": "127.0.0.1:50051"}',
    "\n",
]


def test_a_line_that_is_half_written_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    pieces: Iterator[str] = iter(PIECES)

    def write_more(seconds: float) -> None:
        with log.open("a") as file:
            file.write(next(pieces))

    found = wait_for_line(log, "daemon_started", 60, sleep=write_more)

    assert found == {"event": "daemon_started", "grpc": "127.0.0.1:50051"}
    assert list(pieces) == []


def test_a_log_without_the_line_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("address in use\n")

    with pytest.raises(RuntimeError, match="address in use"):
        wait_for_line(log, "daemon_started", 0)


def a_row(what: str, per_second: float, cpu_us: float, errors: int = 0) -> Row:
    return Row(
        what=what,
        call="InitiatePayment",
        concurrency=16,
        stored=1000,
        per_second=per_second,
        server_cpu_us=cpu_us,
        errors=errors,
    )


PEER, OURS = a_row("grpc.aio peer", 500, 800), a_row("payd, null provider", 400, 1000)
MEASURED = Results(
    date="2026-01-02",
    seconds=5,
    rounds=1,
    machine={"cores": 2, "python": "3.11", "system": "Linux"},
    rows=(PEER, OURS),
    daemon={"rest_mib": 90, "load_mib": 110, "ready_s": 0.9},
    statements=tuple(
        Statement(
            name="select_payment",
            stored=stored,
            runs=9,
            p50_ms=stored / 1000,
            plan="Seq Scan on inbox",
        )
        for stored in (1000, 2000)
    ),
)


def test_rounds_are_combined_by_their_medians() -> None:
    rounds = [a_row("payd", 100, 900), a_row("payd", 300, 700, errors=1), a_row("payd", 200, 800)]
    [row] = combined(rounds)
    assert (row.per_second, row.server_cpu_us, row.errors) == (200, 800, 1)


def test_a_row_is_compared_with_the_peer_of_the_same_call() -> None:
    theirs, ours = report.rows_table(MEASURED.rows).splitlines()[2:]
    assert "| 0.8 |  | 1.25 | 0 |" in ours
    assert theirs.endswith("|  |  |  | 0 |")


def test_another_checkout_is_compared_row_by_row() -> None:
    ours, other = a_row("payd", 300.0, 1000), a_row(f"payd{report.OTHER}", 200.0, 1250)

    [_, _, line] = report.beside_table([ours, other]).splitlines()

    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        *("payd", "InitiatePayment", "16", "1.5", "", "0.8")
    ]
    assert report.beside_table([ours]) == ""


def test_what_was_measured_is_compared_with_its_goal() -> None:
    table = report.goals_table(MEASURED)
    assert "16 at once, payd / grpc.aio peer: CPU | 1.25 | ≤ 1 | no |" in table
    assert "16 at once, payd / grpc.aio peer: rate | 0.8 | ≥ 1 | no |" in table
    assert "select_payment, 2,000 / 1,000 stored payments: p50 | 2 | ≤ 1.2 | no |" in table
    assert "memory at rest | 90 MiB | ≤ 100 MiB | yes |" in table


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results.write(MEASURED, tmp_path)
    assert results.read(tmp_path) == MEASURED


def test_the_page_shows_rows_statements_and_charts() -> None:
    text = "\n".join(page._sections(MEASURED))
    assert "| payd, null provider | InitiatePayment | 16 |" in text
    assert "| `select_payment` | 1.000 | 2.000 | 2.00 | all of `inbox` |" in text
    assert "90 MiB at rest" in text
    [(name, svg)] = page._charts(MEASURED).items()
    assert f"({name})" in text
    assert svg.count("<rect") == 1 + 3 + 2 * 3


def test_open_pages_have_a_section_with_their_memory() -> None:
    row = Row(what="payd, 500 open pages", call="nothing, for a second", rss_mib=116.3)
    text = "\n".join(page._sections(attrs.evolve(MEASURED, rows=[*MEASURED.rows, row])))
    [_, section] = text.split("## Open payment pages")
    assert "| payd, 500 open pages | nothing, for a second |" in section
    assert "116.3" in section


def test_addresses_have_a_section_with_a_line_for_each_number_of_them() -> None:
    case: dict[str, Any] = {
        "what": "payd",
        "open_payments": 100_000,
        "stored": 1_100_000,
        "rss_mib": 97.5,
    }
    rows = [
        Row(call=chain_addresses.EMPTY, server_cpu_us=8000, postgres_cpu_us=700, **case),
        Row(call=chain_addresses.CAUGHT_UP, per_second=16_000, **case),
        Row(call=chain_addresses.FOUND, p50_ms=280, p99_ms=560, **case),
        Row(call=chain_addresses.FOUND_LATE, p50_ms=290, p99_ms=570, **case),
    ]
    text = "\n".join(page._sections(attrs.evolve(MEASURED, rows=[*MEASURED.rows, *rows])))

    [_, section] = text.split("## Addresses on the chain")
    cells = "100,000 | 1,000,000 | 8000 | 700 | 16000 | 280 | 560 | 290 | 570 | 97.5"
    assert f"| {cells} |" in section
    assert "## Open payment pages" not in text
    assert "## Chain\n" not in text


def test_plans_are_found_in_the_log_of_postgresql() -> None:
    query = STATEMENTS["mark_published"].sql.replace("\n", "\n\t")
    entry = "2026-01-02 03:04:05.678 UTC [42] LOG:  duration: {} ms  plan:\n\tQuery Text: "
    other = "2026-01-02 03:04:05.679 UTC [43] LOG:  checkpoint starting: time\n"
    log = other.join(
        f"{entry.format(ms)}{query}\n\tUpdate on outbox {ms}\n\t  -> Index Scan\n"
        for ms in ("0.5", "0.3", "0.4", "0.2", "0.6")
    )
    [found] = plans._statements(log, 1000)
    assert (found.name, found.runs, found.p50_ms) == ("mark_published", 5, 0.4)
    assert found.plan == "Update on outbox 0.4\n  -> Index Scan"


def test_the_slope_of_a_soak_is_that_of_a_line_through_its_samples() -> None:
    assert slope_per_hour([(0, 100.0), (60, 101.0), (120, 102.0)]) == 60
