"""What `payd plugin check` found, kept for `payd providers`: one file a provider."""

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
    """A hash of the provider's code, so that a result is known to be of what is installed."""
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
    """Instead of the last one of this provider. Raises OSError."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{report['provider']}.tmp"
    draft.write_text(json.dumps({**report, "code": code}, indent=2) + "\n")
    draft.replace(folder / f"{report['provider']}.json")


def told(name: str, version: str, code: str) -> str:
    """In a few words, for a table: how the provider's kit run ended, of this version and code."""
    try:
        report = json.loads((_folder() / f"{name}.json").read_text())
        levels = {level: said for level, said in report["levels"].items() if said != "not claimed"}
        of_version, day, passed = report["version"], report["time"][:10], report["passed"]
    except (OSError, ValueError, LookupError, AttributeError):
        return "not run"
    if of_version != version:
        return f"not run (last: {of_version})"
    if report.get("code") != code:
        return f"not run since its code changed (last: {day})"
    worst = [f"{level} {said}" for level, said in levels.items() if said != "passed"]
    if passed and not worst:
        return f"passed {', '.join(levels)} on {day}"
    return f"{', '.join(worst)} on {day}"
