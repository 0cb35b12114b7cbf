"""Results of a run: what is kept as JSON, and read again to make the page."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from bench.measured import Row


@attrs.frozen(kw_only=True)
class Statement:
    """One statement of queries.sql, as PostgreSQL ran it for a daemon under load."""

    name: str
    stored: int
    runs: int
    p50_ms: float
    #: The plan of the median run, as EXPLAIN (ANALYZE, BUFFERS) prints it.
    plan: str


@attrs.frozen(kw_only=True)
class Soak:
    """Resident memory of daemons under load, sampled evenly."""

    seconds: float
    calls: int
    errors: int
    daemons: int
    deadlocks: int
    #: Seconds since the start, and MiB of all daemons together.
    samples: Sequence[tuple[float, float]]
    #: Of the second half: the first one fills caches.
    slope_mib_per_hour: float


@attrs.frozen(kw_only=True)
class Results:
    """Everything that one run measured."""

    date: str
    seconds: float
    rounds: int
    machine: Mapping[str, Any]
    rows: Sequence[Row] = ()
    #: payd with the null provider: memory in MiB, seconds until ready.
    daemon: Mapping[str, float] = attrs.field(factory=dict)
    statements: Sequence[Statement] = ()
    #: Of the largest database, if it is large enough to tell.
    bytes_per_payment: float = 0
    soaks: Sequence[Soak] = ()

    def row(self, what: str, call: str, concurrency: int | None = None) -> Row | None:
        """Return a row of the smallest database, if it was measured."""
        found = [
            row
            for row in self.rows
            if (row.what, row.call) == (what, call)
            and (concurrency is None or row.concurrency == concurrency)
        ]
        return min(found, key=lambda row: row.stored or 0, default=None)


def machine() -> dict[str, Any]:
    """Describe the machine that the run used."""
    return {
        "cores": os.cpu_count(),
        # Of others, when the run begins: more than a fraction of a core spoils the figures.
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def write(results: Results, folder: Path) -> None:
    """Keep the results as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(attrs.asdict(results), indent=1, ensure_ascii=False)
    (folder / "bench.json").write_text(text + "\n")


def read(folder: Path) -> Results:
    """Read the results of an earlier run."""
    stored = json.loads((folder / "bench.json").read_text())
    return Results(
        **{
            **stored,
            "rows": tuple(Row(**row) for row in stored["rows"]),
            "statements": tuple(Statement(**one) for one in stored["statements"]),
            "soaks": tuple(
                Soak(**{**one, "samples": [tuple(sample) for sample in one["samples"]]})
                for one in stored["soaks"]
            ),
        }
    )
