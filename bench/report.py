"""The figures as a table on the terminal and in Markdown, and as JSON."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import chain_logs, chain_open_payments

_COLUMNS = (
    ("what", "what"),
    ("method", "call"),
    ("concurrency", "at once"),
    ("per_second", "per second"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("server_cpu_us", "server CPU µs"),
    ("errors", "errors"),
)


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def write(results: Mapping[str, Any], folder: Path) -> None:
    """Print the table; keep it and the JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    table = _table(results)
    (folder / "bench.json").write_text(json.dumps(results, indent=2) + "\n")
    (folder / "bench.md").write_text(table)
    print(table)


def _table(results: Mapping[str, Any]) -> str:
    lines = [
        "| " + " | ".join(title for _, title in _COLUMNS) + " |",
        "|---|---|" + "---:|" * (len(_COLUMNS) - 2),
    ]
    for row in results["rows"]:
        cells = (row[key] for key, _ in _COLUMNS)
        lines.append("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")
    payd = results["payd"]
    ratios = ", ".join(
        f"{method} {_ratio(results['rows'], method):.2f}"
        for method in ("InitiatePayment", "GetPayment")
    )
    lines += [
        "",
        f"payd / grpc.aio peer at 16 at once: {ratios}.",
        f"Logs decoded and matched, payd / web3: {_logs_ratio(results['rows']):.1f}.",
        "The chain that is caught up with is scripted, behind real HTTP: anvil mines too slowly.",
        *_open_payments(results["rows"]),
        f"payd's memory: {payd['rest_mib']} MiB at rest, {payd['load_mib']} MiB under load.",
        f"Start to ready: {payd['start_to_ready_s']} s.",
        f"On {results['machine']['cores']} cores, which PostgreSQL, NATS and the load share.",
    ]
    return "\n".join(lines) + "\n"


def _logs_ratio(rows: list[Mapping[str, Any]]) -> float:
    rate = {row["what"]: row["per_second"] for row in rows if row["method"] == chain_logs.CALL}
    return float(rate[chain_logs.OURS] / rate[chain_logs.THEIRS])


def _open_payments(rows: list[Mapping[str, Any]]) -> list[str]:
    """The cost of a receipt, and of idling, beside the number of open payments."""
    lines = []
    for row in (row for row in rows if "open_payments" in row):
        cost = f"CPU µs {row['server_cpu_us']} of payd, {row['database_cpu_us']} of PostgreSQL"
        if row["method"] == chain_open_payments.CALL:
            cost = f"{row['p50_ms']} ms and {row['statements']:g} queries a receipt, {cost}"
        else:
            cost = f"{row['method']}, {cost}"
        lines.append(f"Open payments {row['open_payments']:,}: {cost}.")
    return lines


def _ratio(rows: list[Mapping[str, Any]], method: str) -> float:
    rate = {
        row["what"]: row["per_second"]
        for row in rows
        if row["method"] == method and row["concurrency"] == 16
    }
    if not {"payd", "grpc.aio peer"} <= rate.keys():
        return float("nan")
    return float(rate["payd"] / rate["grpc.aio peer"])
