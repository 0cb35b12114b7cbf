"""Every statement that a daemon runs under load: its time and its plan, from PostgreSQL's log.

auto_explain logs what really ran, with the plan that the session used: also the generic plan of a
prepared statement, which EXPLAIN in another session would not show.
"""

import asyncio
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg

from bench import call_rows, webhook_rows
from bench.results import Statement
from bench.stage import Place, Stage
from payd.adapters.postgres.statements import STATEMENTS

#: Fewer runs of a statement say little about its time.
_RUNS_MIN = 5
_WEBHOOKS = 200
_PLAN = re.compile(r"^\S+ \S+ \S+ \[\d+\] LOG:  duration: ([0-9.]+) ms  plan:$", re.MULTILINE)
_SETTINGS = {
    "session_preload_libraries": "'auto_explain'",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_parameter_max_length": "0",
    # A clock call for each row of each node would be most of what is measured.
    "auto_explain.log_timing": "off",
}


def measure(stage: Stage, place: Place, seconds: float) -> Iterator[Statement]:
    """Load a daemon one call at a time; each statement with its plan."""
    log = stage.state.logs / "postgres.log"
    began = log.stat().st_size
    asyncio.run(_explain(stage, place, on=True))
    try:
        with stage.payd(stage.null(place)) as daemon:
            for call in call_rows.CALLS:
                call_rows.load(
                    stage,
                    place,
                    daemon.process,
                    what="",
                    call=call,
                    method="null",
                    target=daemon.grpc,
                    concurrency=1,
                    seconds=seconds,
                )
        list(webhook_rows.measure(stage, place, ["null"], [1], _WEBHOOKS * 4))
    finally:
        asyncio.run(_explain(stage, place, on=False))
    yield from _statements(_text_after(log, began), place.stored)


async def _explain(stage: Stage, place: Place, *, on: bool) -> None:
    connection = await asyncpg.connect(stage.superuser_url(place))
    name = await connection.fetchval("SELECT current_database()")
    for setting, value in _SETTINGS.items():
        change = f"SET {setting} = {value}" if on else f"RESET {setting}"
        await connection.execute(f'ALTER DATABASE "{name}" {change}')
    await connection.close()


def _text_after(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def _statements(text: str, stored: int) -> Iterator[Statement]:
    found: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for duration_ms, entry in _entries(text):
        for statement in STATEMENTS.values():
            if entry.startswith(statement.sql + "\n"):
                found[statement.name].append((duration_ms, entry[len(statement.sql) + 1 :]))
    for name, runs in sorted(found.items()):
        if len(runs) >= _RUNS_MIN:
            yield Statement(
                name=name,
                stored=stored,
                runs=len(runs),
                p50_ms=round(statistics.median(duration for duration, _ in runs), 3),
                plan=_median_plan(runs),
            )


def _entries(text: str) -> Iterator[tuple[float, str]]:
    """Duration, and query with plan, of each entry; PostgreSQL indents what follows by a tab."""
    parts = _PLAN.split(text)[1:]
    for duration, rest in zip(parts[::2], parts[1::2], strict=True):
        lines = [line[1:] for line in rest.split("\n")[1:] if line.startswith("\t")]
        yield float(duration), "\n".join(lines).removeprefix("Query Text: ")


def _median_plan(runs: Sequence[tuple[float, str]]) -> str:
    return sorted(runs, key=lambda run: run[0])[len(runs) // 2][1]
