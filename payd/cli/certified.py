"""Store the reports of `payd plugin check` for `payd providers`, one file per provider."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def _folder() -> Path:
    """The user's state directory (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "payd" / "conformance"


def code_of(name: str) -> str:
    """Hash the provider's installed code, to detect that a stored report is of other code."""
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    digest = hashlib.sha256()
    for point in entry_points(group="payd", name=name):
        spec = find_spec(point.module.partition(".")[0])
        for folder in spec.submodule_search_locations or () if spec else ():
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def keep(report: Mapping[str, Any], code: str) -> None:
    """Store a report, replacing the provider's last one. Raises OSError."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{report['provider']}.tmp"
    draft.write_text(json.dumps({**report, "code": code}, indent=2) + "\n")
    draft.replace(folder / f"{report['provider']}.json")


def summary(name: str, version: str, code: str) -> str:
    """Summarise the stored report for a table cell; it counts only for this version and code."""
    try:
        report = json.loads((_folder() / f"{name}.json").read_text())
        levels = {level: end for level, end in report["levels"].items() if end != "not claimed"}
        of_version, day, passed = report["version"], report["time"][:10], report["passed"]
    except (OSError, ValueError, LookupError, AttributeError):
        return "not run"
    if of_version != version:
        return f"not run (last: {of_version})"
    if report.get("code") != code:
        return f"not run since its code changed (last: {day})"
    worst = [f"{level} {end}" for level, end in levels.items() if end != "passed"]
    if passed and not worst:
        return f"passed {', '.join(levels)} on {day}"
    return f"{', '.join(worst)} on {day}"
